"""What holds for every file of the tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = (".venv", "build", "runs", "work", "output")
# in pieces, so that this file does not name one either
HOSTS = tuple(
    ".".join(pieces)
    for pieces in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("ftp", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("deb", "nodesource", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("rubygems", "org"),
        ("repo", "maven", "apache", "org"),
        ("conda", "anaconda", "org"),
        ("download", "pytorch", "org"),
        ("registry-1", "docker", "io"),
    )
)


def tracked() -> Iterator[Path]:
    """The files of the tree, as git knows them; of an unpacked archive, all that lie there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        yield from (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    else:
        for folder in (p for p in ROOT.iterdir() if p.name not in LEFT_OUT):
            yield from (p for p in (folder.rglob("*") if folder.is_dir() else [folder]))


def named_in(paths: Iterator[Path]) -> list[tuple[str, str]]:
    """(file, host) for each host of a package registry that a file names."""
    found = []
    for path in paths:
        if path.is_file():
            text = path.read_bytes().decode("utf-8", "replace").lower()
            found += [(str(path), host) for host in HOSTS if host in text]
    return found


def test_no_file_names_the_host_of_a_package_registry() -> None:
    """Where packages come from is the machine's to say: mirrors and closed networks are usual."""
    paths = list(tracked())
    assert len(paths) > 300
    assert named_in(iter(paths)) == []


@pytest.mark.parametrize("host", HOSTS)
def test_a_file_that_names_one_is_found(tmp_path: Path, host: str) -> None:
    (tmp_path / "sources").write_text(f"deb-src https://{host.upper()}/x main\n")
    assert named_in(tmp_path.iterdir()) == [(str(tmp_path / "sources"), host)]
