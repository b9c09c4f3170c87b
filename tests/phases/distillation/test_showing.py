"""What a teacher that is a model is shown of an attempt, and what becomes of its correction."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from phases.distillation.showing import can_be_shown, question
from phases.quality_scoring import QualityScoringConfig, score
from phases.teacher_generation.offline import OfflineTeacher
from phases.teacher_generation.takes import Takes
from phases.turns import turns
from tests.needs import needing
from tests.phases.distillation.test_loop import Loop, sections

__all__ = ["sections"]

PROMPT = "Write the C function `add_ten` for TSN to add an offset of 10 to a value."
RIGHT = "uint32_t add_ten(uint32_t value)\n{\n    return value + 10U;\n}\n"
WRONG = RIGHT.replace("10U", "16U")


def shown(attempt: str, reference: str | None = None) -> list[dict[str, str]]:
    """The turns of what is asked about an attempt."""
    found = score(attempt, PROMPT, QualityScoringConfig(), reference=reference, behaves=reference is None)
    return turns(question(PROMPT, attempt, found))


@needing("behaviour")
def test_the_attempt_is_shown_with_what_the_compiler_says() -> None:
    asked, attempt, wanted = shown(RIGHT.replace("value + 10U;", "valeu + 10U;"))
    assert (asked["role"], asked["content"]) == ("user", PROMPT)
    assert (attempt["role"], attempt["content"]) == ("assistant", RIGHT.replace("value +", "valeu +"))
    assert "line 3:" in wanted["content"]
    assert "valeu" in wanted["content"]
    assert "smallest change" in wanted["content"]


@needing("behaviour")
def test_the_first_input_that_tells_it_from_what_is_right_is_shown() -> None:
    wanted = shown(WRONG, RIGHT)[-1]["content"]
    assert "on add_ten(" in wanted
    assert "it should give" in wanted


@needing("behaviour")
def test_an_input_that_it_does_not_bear_is_shown_where_nobody_knows_what_is_right() -> None:
    beyond = RIGHT.replace("value + 10U", "(uint32_t[2]){0U, 1U}[value]")
    assert "add_ten(" in shown(beyond)[-1]["content"]


@needing("behaviour")
@pytest.mark.parametrize(
    ("attempt", "why"),
    [
        ("/* not done yet */", "nothing to compile"),
        ("int add_ten;", "does not define `add_ten`"),
        (RIGHT.replace("add_ten", "ten_more"), "another question"),
        ("#define add_ten(value) ((value) + 10U)\nint ten(int v) { return v + 1; }", "does not define `add_ten`"),
    ],
)  # fmt: skip
def test_what_is_no_function_at_all_is_told_as_that(attempt: str, why: str) -> None:
    wanted = shown(attempt, RIGHT)[-1]["content"]
    assert why in wanted
    assert "though it compiles" not in wanted


def test_of_no_attempt_there_is_nothing_to_show() -> None:
    assert question(PROMPT, " \n", score("", PROMPT)) == PROMPT


class _Model:
    """A model that is asked, and what it was asked; its corrections behave unless it is told to err."""

    name, note = "a-model", "A model for tests."
    takes = Takes()
    credentials: Literal["none"] = "none"

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def question(self, prompt: str) -> dict[str, Any]:
        return {"kind": "model", "prompt": prompt, "answer": self.answer}

    def check(self, lasting: timedelta) -> list[str]:
        return []

    def count(self, prompt: str) -> int | None:
        return None

    def invoke(self, prompt: str) -> dict[str, Any]:
        self.asked.append(prompt)
        return {
            "output": {"message": {"content": [{"text": self.answer}]}},
            "stopReason": "end_turn",
        }


def test_the_offline_teacher_is_no_model() -> None:
    assert not can_be_shown(OfflineTeacher())
    assert can_be_shown(_Model(RIGHT))


@needing("behaviour")
@pytest.mark.parametrize(
    ("answer", "taken"), [(RIGHT, True), (WRONG, False), (RIGHT.replace(";", ""), False)]
)
def test_a_correction_is_asked_for_by_the_attempt_and_learned_by_the_prompt_if_it_compiles_and_behaves(
    answer: str, taken: bool, sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"messages": [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": RIGHT}]}
    (tmp_path / "asked.jsonl").write_text(json.dumps(row) + "\n")
    teacher = _Model(answer)
    monkeypatch.setattr("phases.teacher_generation.teachers.make_teacher", lambda *_: teacher)
    monkeypatch.setattr("phases.student.generate.answers", _wrongly)
    said = {
        "eval_file": str(tmp_path / "asked.jsonl"),
        "max_epochs": 1,
        "poor_below": 10.0,
        "corrections": {"show_attempt": True, "behaves_at": 9.0},
    }
    loop = Loop(tmp_path / "run", {**sections, "distillation": sections["distillation"] | said})
    outcome = loop.drive()
    assert outcome is not None
    assert outcome.outcome == "done"
    (asked,) = teacher.asked
    assert [t["role"] for t in turns(asked)] == ["user", "assistant", "user"]
    assert turns(asked)[1]["content"] == "int add_ten;"
    corrected = loop.rows("distillation/epoch-1/corrections.jsonl")
    if taken:
        (one,) = corrected
        assert one["messages"] == [
            {"role": "user", "content": PROMPT},
            {"role": "assistant", "content": answer},
        ]
        assert one["learned_from"] == "correction"
    else:
        assert corrected == []
        assert len(loop.rows("distillation/epoch-1/refused.jsonl")) == 1


def _wrongly(model: Any, tokenizer: Any, prompts: Any, config: Any, seed: int) -> list[Any]:
    from phases.student.generate import Output

    return [(place, Output(prompt, "int add_ten;", 4, False, False)) for place, prompt in enumerate(prompts)]
