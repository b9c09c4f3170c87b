"""What validation found as one table: check, result, time, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

from phases.pipeline.validation.finding import Finding, Result

HEAD = ("check", "result", "time", "what was found, and what to do")
WIDTH = 100  # of the last column


def table(found: Iterable[tuple[str, Finding]]) -> str:
    """One row for each finding; a check's name stands at its first."""
    rows: list[Sequence[str]] = [HEAD]
    last = ""
    for check, one in found:
        entry = f"{one.result.value}: {one.error.recovery}" if one.error else one.result.value
        text = one.text.removeprefix(f"{Result.IDLE.value}: ")  # the column says it
        said = wrap(f"{text}.", WIDTH, break_on_hyphens=False) + (
            wrap(f"-> {one.do}", WIDTH, break_on_hyphens=False) if one.do else []
        )
        name, last = ("" if check == last else check), check
        rows.append((name, entry, f"{one.seconds:.2f} s", said[0]))
        rows += [("", "", "", line) for line in said[1:]]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(word.ljust(width) for word, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )


def summary(found: Sequence[tuple[str, Finding]]) -> str:
    """One sentence: how many questions, and how they were answered."""
    counts = {r: sum(one.result is r for _, one in found) for r in Result}
    said = ", ".join(f"{count} {r.value}" for r, count in counts.items() if count)
    return f"{len(found)} findings: {said}"


def paragraph(found: Iterable[tuple[str, Finding]]) -> str:
    """All that failed, each with what to do about it."""
    return " ".join(f"{check}: {one.text}. {one.do}".strip() for check, one in found if one.bad)
