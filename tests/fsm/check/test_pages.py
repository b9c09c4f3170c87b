"""docs/checks.md: every rule has a drawing that breaks it and one that does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fsm.check import Finding, check, program
from fsm.drawing import chart
from fsm.engine import COUNTED, Context, Detail, Machine, Phase, Program, Verdict

PAGE = (Path(__file__).parents[3] / "docs" / "checks.md").read_text("utf-8")
SECTIONS = re.findall(r"^### (C\d+): .*?\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(mermaid|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORDS = {
    "COUNTED": COUNTED,
    "Context": Context,
    "Detail": Detail,
    "Machine": Machine,
    "Phase": Phase,
    "Verdict": Verdict,
}


@dataclass(frozen=True)
class Example:
    """Drawings, and what is said of them; without words each is a machine by itself."""

    drawings: tuple[str, ...]
    words: str

    def findings(self, here: Path) -> list[Finding]:
        names = ("FIRST", "SECOND")
        charts = {
            name: chart.parse(text, name.lower(), f"{name.lower()}.mmd")
            for name, text in zip(names, self.drawings, strict=False)
        }
        found: dict[str, Any] = {**WORDS, **charts}
        words = self.words or 'MACHINE = Machine("first", FIRST)'
        here.write_text(words)  # where a handler's source is looked for
        exec(compile(words, str(here), "exec"), found)
        machines = {v.name: v for v in found.values() if isinstance(v, Machine)}
        phases = {v.machine: v for v in found.values() if isinstance(v, Phase)}
        recovery = found["RECOVERY"].name if "RECOVERY" in found else None
        made = Program("first", machines, phases, recovery)
        return check(made, phases=bool(phases) or "PHASES" in found)


def examples(section: str) -> tuple[Example, Example]:
    wrong, right = (
        FENCE.findall(half) for half in section.partition("Wrong:\n")[2].partition("Right:\n")[::2]
    )
    made = [
        Example(
            tuple(text for kind, text in half if kind == "mermaid"),
            "".join(text for kind, text in half if kind == "python"),
        )
        for half in (wrong, right)
    ]
    return made[0], made[1]


@pytest.mark.parametrize(("code", "section"), SECTIONS, ids=[code for code, _ in SECTIONS])
def test_the_wrong_drawing_breaks_the_rule_and_the_right_one_none(
    code: str, section: str, tmp_path: Path
) -> None:
    wrong, right = examples(section)
    assert code in [f.code for f in wrong.findings(tmp_path / "wrong.py")]
    assert [str(f) for f in right.findings(tmp_path / "right.py")] == []


def test_every_rule_is_on_the_page() -> None:
    assert program.__doc__ is not None
    named = set(re.findall(r"\bC[123]\d\d\b", program.__doc__)) | {f"C40{n}" for n in range(1, 9)}
    assert [code for code, _ in SECTIONS] == sorted(named)
