"""What a check found, and the table of all of them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Result(Enum):
    """How a check came out. NOT_KNOWN: whoever asks may not, or cannot, be told; it is no failure."""

    GOOD = "good"
    NOTHING = "nothing to check"
    WARNING = "warning"
    NOT_KNOWN = "not known"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One row: what was checked, how it came out, what was found, and what to do next. `seconds` it took to find out."""

    check: str
    result: Result
    text: str
    do: str = ""
    seconds: float | None = None

    @property
    def good(self) -> bool:
        """Whether a run may begin with it."""
        return self.result is not Result.BAD

    def to_json(self) -> dict[str, str]:
        """What a run keeps of it: nothing that differs between two runs in a line."""
        return {"check": self.check, "result": self.result.value, "text": self.text, "do": self.do}

    @classmethod
    def from_json(cls, said: dict[str, str], seconds: float | None = None) -> Finding:
        return cls(said["check"], Result(said["result"]), said["text"], said["do"], seconds)


def good(check: str, text: str) -> Finding:
    return Finding(check, Result.GOOD, text)


def nothing(check: str, text: str) -> Finding:
    return Finding(check, Result.NOTHING, text)


def warning(check: str, text: str, do: str = "") -> Finding:
    return Finding(check, Result.WARNING, text, do)


def not_known(check: str, text: str, do: str) -> Finding:
    """`do` says what follows from not knowing."""
    return Finding(check, Result.NOT_KNOWN, text, do)


def bad(check: str, text: str, do: str) -> Finding:
    return Finding(check, Result.BAD, text, do)


def table(findings: Sequence[Finding], width: int = 120) -> Iterator[str]:
    """The findings as lines for a person, what was found and what to do below each other."""
    widest = max((len(f.check) for f in findings), default=0)
    indent = widest + 30
    for f in findings:
        took = f"{f.seconds:6.2f} s" if f.seconds is not None else ""
        said = textwrap.wrap(f.text, max(width - indent, 40)) or [""]
        yield f"{f.check.ljust(widest)}  {f.result.value:16}  {took:8}  {said[0]}"
        more = said[1:] + (
            [f"-> {line}" for line in textwrap.wrap(f.do, max(width - indent - 3, 40))] if f.do else []
        )
        yield from (f"{'':{indent}}{line}" for line in more)
