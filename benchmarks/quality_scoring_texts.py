"""Texts to score: real C from the source packages of the machine's own Debian, and the functions of it, each out of its project."""

from __future__ import annotations

import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import BUILD
from phases.quality_scoring.heaps import Unreadable
from phases.quality_scoring.structure import Structure

PACKAGES = {
    "linuxptp": "Write a C function for a TSN time-sensitive networking stack.",
    "lldpd": "Write a C function for an AVB endpoint.",
    "iproute2": "Write a C function that configures TSN traffic scheduling.",
}
_WHERE = BUILD / "debian"


@dataclass(frozen=True)
class Text:
    """A piece of C: `name` is package/path, and for a function its own name after a colon."""

    package: str
    name: str
    code: str


def fetch() -> dict[str, list[Text]]:
    """The C files of each package, in the order of their paths; downloaded once, by apt, from where the machine's packages
    come from, with lists of its own.

    Raises SystemExit where there is no apt, or no network.
    """
    _WHERE.mkdir(parents=True, exist_ok=True)
    if not all(list(_WHERE.glob(f"{package}_*.orig.tar.[gx]z")) for package in PACKAGES):
        _download()
    return {package: _files(package) for package in PACKAGES}


def source_lines(text: str) -> str:
    """A sources.list with the sources of its packages: `deb` as `deb-src`, once each; all else left out."""
    found = [re.sub(r"^\s*deb(?=\s)", "deb-src", line.rstrip()) for line in text.splitlines()]
    return "".join(f"{line}\n" for line in dict.fromkeys(found) if line.startswith("deb-src"))


def source_stanzas(text: str) -> str:
    """A deb822 .sources with the sources of its packages: each stanza with `Types: deb-src`, those disabled left out."""
    kept = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if line.strip() and not line.startswith("#")]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        types = fields.get("types", "").split()
        if {"deb", "deb-src"} & set(types) and fields.get("enabled", "yes").lower() not in (
            "no",
            "false",
            "0",
        ):
            kept.append(re.sub(r"(?im)^types:.*$", "Types: deb-src", "\n".join(lines)) + "\n")
    return "\n".join(kept)


def write_sources(lists: Iterable[Path], where: Path) -> list[str]:
    """Write the sources of a machine's lists (.list and .sources) into lists of our own; apt's options that name those."""
    one_line, parts = where / "sources.list", where / "sources.list.d"
    parts.mkdir(parents=True, exist_ok=True)
    for old in parts.iterdir():
        old.unlink()
    lines = []
    for path in lists:
        text = path.read_text("utf-8")
        if path.suffix == ".sources":
            (parts / path.name).write_text(source_stanzas(text), "utf-8")
        else:
            lines.append(source_lines(text))
    one_line.write_text("".join(lines), "utf-8")
    return [f"Dir::Etc::sourcelist={one_line}", f"Dir::Etc::sourceparts={parts}"]


def _machine_lists() -> list[Path]:
    """The files in which this machine says where its packages come from, as apt itself finds them."""
    asked = ["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]
    said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    found = dict(word.split("=", 1) for line in said.splitlines() for word in shlex.split(line))
    parts = Path(found["PARTS"])
    return [
        path
        for path in (Path(found["LIST"]), *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources")))
        if path.is_file()
    ]


def _download() -> None:
    lists = _WHERE / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    try:
        options = [*write_sources(_machine_lists(), _WHERE), f"Dir::State::lists={lists}"]
        apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
        # A list that has no sources, or a signature that is no longer on the mirror, fails the command, not the archives.
        subprocess.run([*apt, "update"], check=False, cwd=_WHERE)
        subprocess.run([*apt, "source", "--download-only", *PACKAGES], check=False, cwd=_WHERE)
    except (OSError, subprocess.CalledProcessError) as e:
        raise SystemExit(
            f"The source packages cannot be fetched: {e}. Run this on Debian, with a network."
        ) from e


def versions() -> dict[str, str]:
    """The upstream version of each package that was fetched."""
    return {package: archive(package).name.split("_")[1].partition(".orig")[0] for package in PACKAGES}


def archive(package: str) -> Path:
    """The archive of a package that was fetched. Raises SystemExit where there is none."""
    archives = sorted(_WHERE.glob(f"{package}_*.orig.tar.[gx]z"))
    if not archives:
        raise SystemExit(f"apt brought no archive of {package}. See what it says above.")
    return archives[0]


def _files(package: str) -> list[Text]:
    found = []
    with tarfile.open(archive(package)) as packed:
        for member in sorted(packed.getmembers(), key=lambda m: m.name):
            if (
                member.isfile()
                and member.name.endswith(".c")
                and (file := packed.extractfile(member)) is not None
            ):
                path = Path(member.name)
                name = "/".join((package, *path.parts[1:]))
                found.append(Text(package, name, file.read().decode("utf-8", "replace")))
    return found


def functions(files: list[Text], most: int) -> list[Text]:
    """Functions of the files, with the comment before each, evenly from all of them, `most` at most."""
    found = []
    for text in files:
        try:
            structure = Structure(text.code)
        except Unreadable:
            continue
        source, before = structure.source, 0
        for function in structure.functions:
            start = _with_comment(source, before, function.start)
            code = source[start : function.end].decode("utf-8", "replace") + "\n"
            found.append(Text(text.package, f"{text.name}:{function.name}", code))
            before = function.end
    step = max(1.0, len(found) / most)
    return [found[int(i * step)] for i in range(min(most, len(found)))]


def _with_comment(source: bytes, after: int, start: int) -> int:
    """Where the comment right above an offset begins; the offset if there is none."""
    above = source[after:start].rstrip()
    if not above.endswith(b"*/"):
        return start
    opened = above.rfind(b"/*")
    return after + opened if opened >= 0 else start
