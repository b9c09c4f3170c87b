"""SelfTraining and Prefer of Diagram 4, through the real engine: a student that can answer, trained for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm.journal import Journal
from phases.data_flow import lineage
from phases.distillation.agreement import room
from phases.distillation.report import RIGHT
from phases.quality_scoring.behaviour import beside
from phases.quality_scoring.config import BehaviourConfig
from phases.teacher_generation.offline.teacher import write_function
from phases.turns import before_answer
from tests.needs import needing
from tests.phases.distillation.answering import able, says
from tests.phases.distillation.test_loop import Loop
from tests.phases.qlora_training.micro import RECIPE, ROWS, settings

OWN: dict[str, Any] = {"prompts": 6, "samples": 3, "share": 0.3, "accept": {"score": 7.0}}


@pytest.fixture
def sections(micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("FSM_CACHE", str(micro.parent))
    able(monkeypatch)
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:12]))
    training = settings(micro, quantization="nf4", epochs=0.5, max_length=512).model_dump(mode="json")
    recipe = RECIPE.model_copy(
        update={"context": 512}
    )  # what the teacher writes is longer than what is in ROWS
    return {
        "qlora_training": training
        | {"model": "tiny-granite", "tiny_student": recipe.model_dump(), "min_free_gb": 0},
        "distillation": {
            "train": str(tmp_path / "train.jsonl"),
            "train_on": "raw",
            "validation": "there is none",
            "eval_prompts": 3,
            "held_out_prompts": 3,
            "max_epochs": 2,
            "sampling": {"max_new_tokens": 12, "max_prompt_tokens": 256, "batch": 4},
            "self_training": OWN,
        },
    }


def changed(sections: dict[str, Any], **said: Any) -> dict[str, Any]:
    return sections | {"distillation": sections["distillation"] | said}


def done(loop: Loop) -> Loop:
    outcome = loop.drive()
    assert outcome is not None
    assert outcome.outcome == "done", outcome
    return loop


def right(prompt: str, answer: str) -> bool:
    """Whether an answer does what the teacher's does."""
    found = beside(answer, write_function(prompt), prompt, BehaviourConfig())
    return found.score is not None and found.score >= RIGHT


@needing("behaviour")
def test_what_most_of_its_answers_agree_on_joins_the_rows_within_its_share_and_for_one_epoch(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    loop = done(Loop(tmp_path / "run", sections))
    pool = json.loads(loop.text("distillation/unasked_prompts.json"))
    assert len(pool) == OWN["prompts"]
    judged = loop.rows("distillation/epoch-1/judged.jsonl")
    assert [j["prompt"] for j in judged] == pool
    own = loop.rows("distillation/epoch-1/self.jsonl")
    assert 0 < len(own) <= room(len(loop.rows("distillation/train.jsonl")), OWN["share"])
    assert {row["learned_from"] for row in own} == {"self"}
    assert [before_answer(r) for r in own if not right(before_answer(r), r["messages"][-1]["content"])] == []
    learned = loop.rows("distillation/epoch-1/learning.jsonl")
    assert learned[-len(own) :] == own
    assert learned[: -len(own)] == loop.rows(loop.data["dataset"])[: len(learned) - len(own)]
    told = json.loads(loop.text("distillation/epoch-2/report.json"))
    assert told["learned_from"]["self"] == len(own)
    assert told["learned_from"]["raw"] == len(loop.rows("distillation/train.jsonl"))
    assert [f for f in lineage(Journal(loop.run).records()).findings if "EpochN" in str(f)] == []
    first = json.loads(loop.text("distillation/epoch-1/report.json"))
    assert first["self_training"]["kept"] == len(own)
    # nobody learns from the last epoch's answers, so none are asked for
    assert told["self_training"] is None
    assert json.loads(loop.text("distillation/epoch-2/unasked.json")) == []


@pytest.mark.long
@needing("behaviour")
def test_a_new_process_in_every_state_asks_and_learns_the_same_by_itself_and_by_preference(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    said = changed(
        sections,
        learn="sft+dpo",
        preferences={"learning_rate": 5e-3, "epochs": 2},
        corrections={"whom": "unsure", "calls": 1},
    )
    whole = done(Loop(tmp_path / "whole", said))
    asked = asked_where_unsure(whole, calls=1)
    told = json.loads(whole.text("distillation/epoch-2/report.json"))
    assert told["learned_from"]["correction"] == len(asked)
    pairs = loop_pairs(whole)
    assert len(pairs) >= 2
    assert all(right(p["prompt"], p["chosen"]) and not right(p["prompt"], p["rejected"]) for p in pairs)
    assert told["preferences"]["steps"] > 0
    assert (
        whole.digests["distillation/epoch-2/adapter_model.safetensors"]
        == whole.digests["distillation/epoch-2/preferences/adapter_model.safetensors"]
        == whole.digests["distillation/model/adapter_model.safetensors"]
    )
    pieces = Loop(tmp_path / "pieces", said)
    processes = 1
    while pieces.drive(records=1) is None and processes < 200:
        processes += 1
    assert 60 < processes < 200
    assert pieces.digests == whole.digests
    assert pieces.data == whole.data


def asked_where_unsure(loop: Loop, calls: int) -> list[str]:
    """What the teacher was asked in the first epoch: of the pool alone, and nothing that the student could answer."""
    asked = [row["prompt"] for row in loop.rows("distillation/epoch-1/poor.jsonl")]
    assert 0 < len(asked) <= calls
    assert set(asked) <= set(json.loads(loop.text("distillation/unasked_prompts.json")))
    assert not set(asked) & {before_answer(r) for r in loop.rows("distillation/epoch-1/self.jsonl")}
    return asked


def loop_pairs(loop: Loop) -> list[dict[str, Any]]:
    """What the second epoch of a run preferred by."""
    return [
        row
        for name in ("pairs", "pairs_validation")
        for row in loop.rows(f"distillation/epoch-1/{name}.jsonl")
    ]


def test_a_pool_without_prompts_says_so_before_an_epoch_is_trained(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "pool.jsonl"
    for text, why in (
        ("", "holds no prompts"),
        (json.dumps({"prompt": before_answer(ROWS[0])}), "trained on, drawn or frozen"),
    ):
        file.write_text(text)
        loop = Loop(tmp_path / why, changed(sections, self_training=OWN | {"file": str(file)}))
        outcome = loop.drive()
        assert outcome is not None
        assert outcome.outcome == "stopped"
        assert why in outcome.message
        assert "distillation.self_training.file" in outcome.message
        assert "epoch" not in loop.data


def test_the_answers_are_of_several_kinds() -> None:
    """What the tests above rest on: right, under another name, no C."""
    prompt = "Write a C function `gate_open` for TSN to tell whether a gate is open at offset 40."
    assert len({says(prompt, seed) for seed in range(40)}) >= 3
