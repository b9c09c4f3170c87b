"""Real source trees: the source packages of the machine's own Debian, downloaded once, below build/benchmarks/.

apt brings them from where the machine's packages come from, with lists of its own: nothing of the machine's is changed.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from benchmarks.common import BUILD

WHERE = BUILD / "debian"
TREES = BUILD / "trees"


def fetch(*packages: str) -> None:
    """Download the upstream archives of source packages that are not there yet.

    Raises SystemExit where there is no apt, or no network.
    """
    WHERE.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if not _archives(package)]
    if missing:
        _download(missing)
    for package in packages:
        archive(package)


def archive(package: str) -> Path:
    """The upstream archive of a package that was fetched. Raises SystemExit where there is none."""
    found = _archives(package)
    if not found:
        raise SystemExit(f"apt brought no archive of {package}. See what it says above.")
    return found[0]


def versions(*packages: str) -> dict[str, str]:
    """The upstream version of each package that was fetched."""
    return {package: archive(package).name.split("_")[1].partition(".orig")[0] for package in packages}


def tree(package: str, *folders: str) -> Path:
    """The sources of a package as a directory, fetched and unpacked once; only what is below `folders`, where some are given.

    Links are left out. Raises SystemExit where it cannot be fetched.
    """
    root = TREES / "-".join((package, *(folder.replace("/", "_") for folder in folders)))
    if root.is_dir():
        return root
    fetch(package)
    part = root.with_name(f".{root.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for path, content in files(package, *folders):
        target = part / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    part.rename(root)
    return root


def files(package: str, *folders: str) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the plain files in a package's archive, the archive's own top folder left out; in its order."""
    with tarfile.open(archive(package)) as held:
        for member in held:
            path = "/".join(PurePosixPath(member.name).parts[1:])
            wanted = not folders or any(path.startswith(f"{folder.rstrip('/')}/") for folder in folders)
            if member.isfile() and wanted and (file := held.extractfile(member)) is not None:
                yield path, file.read()


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


def _archives(package: str) -> list[Path]:
    return sorted(WHERE.glob(f"{package}_*.orig.tar.[gx]z"))


def _others(package: str, options: Iterable[str]) -> list[str]:
    """The versions in the lists, newest first, without those of security updates: a mirror may lack their archives."""
    asked = ["apt-cache", *(word for option in options for word in ("-o", option)), "madison", package]
    lines = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()
    columns = [[column.strip() for column in line.split("|")] for line in lines]
    return [
        version
        for _, version, where in reversed(columns)
        if where.endswith("Sources") and "security" not in where
    ]


def _download(packages: Iterable[str]) -> None:
    lists = WHERE / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    try:
        options = [*write_sources(_machine_lists(), WHERE), f"Dir::State::lists={lists}"]
        apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
        # A list that has no sources, or a signature that is no longer on the mirror, fails the command, not the archives.
        subprocess.run([*apt, "update"], check=False, cwd=WHERE)
        for package in packages:
            for version in ("", *_others(package, options)):
                wanted = f"{package}={version}" if version else package
                subprocess.run([*apt, "source", "--download-only", wanted], check=False, cwd=WHERE)
                if _archives(package):
                    break
    except (OSError, subprocess.CalledProcessError) as e:
        raise SystemExit(
            f"The source packages cannot be fetched: {e}. Run this on Debian, with a network."
        ) from e
