"""Texts to score: real C from Debian's source packages, and the functions of it, each out of its project."""

from __future__ import annotations

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import BUILD
from phases.quality_scoring.heaps import Unreadable
from phases.quality_scoring.structure import Structure

SUITE = "bookworm"
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
    """The C files of each package, in the order of their paths; downloaded once, by apt, with lists of its own.

    Raises SystemExit where there is no apt, or no network.
    """
    _WHERE.mkdir(parents=True, exist_ok=True)
    if not all(list(_WHERE.glob(f"{package}_*.orig.tar.[gx]z")) for package in PACKAGES):
        _download()
    return {package: _files(package) for package in PACKAGES}


def _download() -> None:
    lists, sources = _WHERE / "lists", _WHERE / "sources.list"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb-src [signed-by={key}] http://deb.debian.org/debian {SUITE} main\n")
    options = [
        f"Dir::Etc::sourcelist={sources}",
        "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State::lists={lists}",
    ]
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    try:
        subprocess.run([*apt, "update"], check=True, cwd=_WHERE)
        # A signature that is no longer on the mirror fails the command, not the archives.
        subprocess.run([*apt, "source", "--download-only", *PACKAGES], check=False, cwd=_WHERE)
    except (OSError, subprocess.CalledProcessError) as e:
        raise SystemExit(
            f"The source packages cannot be fetched: {e}. Run this on Debian, with a network."
        ) from e


def _files(package: str) -> list[Text]:
    archives = sorted(_WHERE.glob(f"{package}_*.orig.tar.[gx]z"))
    if not archives:
        raise SystemExit(f"apt brought no archive of {package}. See what it says above.")
    found = []
    with tarfile.open(archives[0]) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            if (
                member.isfile()
                and member.name.endswith(".c")
                and (file := archive.extractfile(member)) is not None
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
