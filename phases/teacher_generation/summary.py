"""What came of a run's prompts: counts, tokens and dollars, added up result by result, and shown as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from phases.teacher_generation.asking import Result


@dataclass
class Summary:
    """The sums. `teacher` is who answered."""

    teacher: str
    prompts: int = 0
    answered: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: Decimal = Decimal(0)
    failures: Counter[str] = field(default_factory=Counter)
    turned_away: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, teacher: str, results: Iterable[Result]) -> Summary:
        found = cls(teacher)
        for result in results:
            found.add(result)
        return found

    def add(self, result: Result) -> None:
        self.prompts += 1
        self.answered += result.answered
        self.retries += result.retries
        self.input_tokens += result.input_tokens
        self.output_tokens += result.output_tokens
        self.dollars += Decimal(result.dollars or 0)
        if result.turned_away:
            self.turned_away[result.cause] += 1
        elif not result.answered:
            self.failures[result.cause or "unknown"] += 1

    def as_dict(self) -> dict[str, Any]:
        """JSON values: teacher, prompts, answered, failed, retries, input_tokens, output_tokens; where there is something to
        say, dollars, failures {cause: number}, turned_away, turned_away_share and turned_away_for {cause: number}."""
        said: dict[str, Any] = {
            "teacher": self.teacher,
            "prompts": self.prompts,
            "answered": self.answered,
            "failed": self.failures.total(),
            "retries": self.retries,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }
        if self.dollars:
            said["dollars"] = round(float(self.dollars), 6)
        if self.failures:
            said["failures"] = ordered(self.failures)
        if away := self.turned_away.total():
            said["turned_away"] = away
            said["turned_away_share"] = round(away / self.prompts, 4)
            said["turned_away_for"] = ordered(self.turned_away)
        return said


def ordered(causes: Mapping[str, int]) -> dict[str, int]:
    """The causes with their numbers, the most frequent first."""
    return dict(sorted(causes.items(), key=lambda found: (-found[1], found[0])))


def rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, how much) of a summary, for people."""
    found = [
        ("teacher", str(summary["teacher"])),
        ("prompts", f"{summary['prompts']:,}"),
        ("answered", _share(summary["answered"], summary["prompts"])),
        ("failed", _share(summary["failed"], summary["prompts"])),
        *(("  " + cause, f"{n:,}") for cause, n in summary.get("failures", {}).items()),
        ("turned away", _share(summary.get("turned_away", 0), summary["prompts"])),
        *(("  " + cause, f"{n:,}") for cause, n in summary.get("turned_away_for", {}).items()),
        ("retries", f"{summary['retries']:,}"),
        ("tokens in", f"{summary['input_tokens']:,}"),
        ("tokens out", f"{summary['output_tokens']:,}"),
    ]
    return found + ([("dollars", f"{summary['dollars']:.4f}")] if "dollars" in summary else [])


def text(summary: Mapping[str, Any]) -> list[str]:
    """The lines of the table for a terminal."""
    found = rows(summary)
    left, right = (max(len(row[n]) for row in found) for n in (0, 1))
    return [f"{what.ljust(left)}  {much.rjust(right)}" for what, much in found]


def markdown(summary: Mapping[str, Any]) -> str:
    """The table as an artifact."""
    body = "".join(f"| {what.replace('  ', '&emsp;')} | {much} |\n" for what, much in rows(summary))
    return f"| teacher generation | |\n|---|---:|\n{body}"


def _share(number: int, of: int) -> str:
    return f"{number:,} ({100 * number / of:.1f}%)" if of else str(number)
