"""Texts to score: real C from the source packages of the machine's own Debian, and the functions of it, each out of its project."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import trees
from phases.quality_scoring.heaps import Unreadable
from phases.quality_scoring.structure import Structure

PACKAGES = {
    "linuxptp": "Write a C function for a TSN time-sensitive networking stack.",
    "lldpd": "Write a C function for an AVB endpoint.",
    "iproute2": "Write a C function that configures TSN traffic scheduling.",
}


@dataclass(frozen=True)
class Text:
    """A piece of C: `name` is package/path, and for a function its own name after a colon."""

    package: str
    name: str
    code: str


def fetch() -> dict[str, list[Text]]:
    """The C files of each package, in the order of their paths. Raises SystemExit where they cannot be fetched."""
    trees.fetch(*PACKAGES)
    return {package: _files(package) for package in PACKAGES}


def versions() -> dict[str, str]:
    """The upstream version of each package that was fetched."""
    return trees.versions(*PACKAGES)


def _files(package: str) -> list[Text]:
    return [
        Text(package, f"{package}/{path}", content.decode("utf-8", "replace"))
        for path, content in sorted(trees.files(package))
        if path.endswith(".c")
    ]


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
