"""The prelude: declarations that code out of its project gets, each only where it is used and not declared."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from phases.quality_scoring.structure import Structure

_INCLUDE = re.compile(r"#include\s+<([^>]+)>\s*//\s*(.+)")


@dataclass(frozen=True)
class Prelude:
    """`names` maps a name to what brings it: the header of an #include, or the text of a declaration."""

    names: dict[str, str]
    headers: frozenset[str]
    uses: dict[str, frozenset[str]]  # names that a declaration itself needs

    def lines(self, code: Structure, available: Callable[[str], bool]) -> list[str]:
        """What is to stand before the code: headers first, each line once, in the order of the prelude."""
        wanted: set[str] = set()
        todo = [n for n in code.names if n in self.names and n not in code.declared]
        while todo:
            name = todo.pop()
            text = self.names[name]
            if text not in wanted:
                wanted.add(text)
                todo.extend(self.uses.get(text, ()))
        ordered = [t for t in dict.fromkeys(self.names.values()) if t in wanted]
        headers = [f"#include <{t}>" for t in ordered if t in self.headers and available(t)]
        return headers + [t for t in ordered if t not in self.headers]


@lru_cache(maxsize=8)
def read_prelude(path: Path | None = None) -> Prelude:
    """Read a prelude file; the one that is shipped by default.

    Raises FileNotFoundError if it is not there, ValueError for a line that is neither include, macro nor declaration.
    """
    path = path or Path(__file__).with_name("prelude.h")
    names: dict[str, str] = {}
    headers: set[str] = set()
    bare = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), path.read_text("utf-8"), flags=re.DOTALL)
    uses: dict[str, frozenset[str]] = {}
    for number, line in enumerate(bare.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("//"):
            continue
        if include := _INCLUDE.match(line):
            headers.add(include[1])
            names.update(dict.fromkeys(include[2].split(), include[1]))
            continue
        declared = Structure(line).declared
        if not declared:
            raise ValueError(
                f"{path}:{number}: this declares nothing that code could use by name: {line!r}. Write one declaration or "
                "macro on a line, or an #include followed by `// ` and the names it brings."
            )
        for name in declared:
            names[name] = line
        uses[line] = Structure(line).names - declared
    known = {line: frozenset(n for n in needed if n in names) for line, needed in uses.items()}
    return Prelude(names, frozenset(headers), {line: needed for line, needed in known.items() if needed})
