"""Generate of Diagram 4 by each engine: answers kept as they come, and the same bytes after a kill in their midst."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from phases.student.generate import SamplingConfig
from tests.phases.distillation.test_loop import Loop, sections
from tests.phases.student.test_vllm import SERVING

__all__ = ["sections"]

OUTPUTS = ("distillation/epoch-1/outputs.jsonl", "distillation/epoch-1/held_out_outputs.jsonl")


def with_(sections: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {**sections, "distillation": sections["distillation"] | {"max_epochs": 1} | said}


def texts(loop: Loop) -> list[tuple[str, str]]:
    return [(row["prompt"], row["text"]) for name in OUTPUTS for row in loop.rows(name)]


def test_killed_among_the_answers_only_what_was_under_way_is_answered_again(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phases.student import generate

    whole = Loop(tmp_path / "whole", with_(sections))
    whole.drive()
    real, asked = generate.answers, list[int]()

    def broken_off(model: Any, tokenizer: Any, prompts: Sequence[str], *rest: Any) -> Iterator[Any]:
        asked.append(len(prompts))
        for done, found in enumerate(real(model, tokenizer, prompts, *rest)):
            if done == 3 and len(asked) == 1:
                raise RuntimeError("the process is gone")
            yield found

    monkeypatch.setattr(generate, "answers", broken_off)
    pieces = Loop(tmp_path / "pieces", with_(sections))
    stopped = pieces.drive()
    assert stopped is not None
    assert stopped.outcome == "stopped"
    pieces.drive()
    assert asked == [8, 5]
    assert pieces.digests == whole.digests


def test_over_full_weights_the_adapter_is_merged_into_the_base(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    from phases.distillation import student
    from phases.student import generate, merging
    from phases.student.config import QLoRAConfig

    loop = Loop(tmp_path / "full", with_(sections, generate={"weights": "full"}))
    outcome = loop.drive()
    assert outcome is not None
    assert outcome.outcome == "done"
    (base,) = (tmp_path / "full" / "work").rglob("tiny-granite-*")
    config = QLoRAConfig.model_validate(sections["qlora_training"] | {"model": str(base)})
    adapter = loop.run.artifact(loop.digests["distillation/epoch-1/adapter_model.safetensors"]).read_bytes()
    model, tokenizer = merging.merged(config, adapter)
    assert not any(type(m).__name__ == "Linear4bit" for m in model.modules())
    asked = [prompt for prompt, _ in texts(loop)]
    sampling = SamplingConfig.model_validate(sections["distillation"]["sampling"])
    made = dict(generate.answers(model, tokenizer, asked, sampling, student.derived(5, "sampling")))
    assert texts(loop) == [(prompt, made[n].text) for n, prompt in enumerate(asked)]


def test_a_vllm_server_answers_an_epoch_and_another_the_rest(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    def engine(fault: str, **said: Any) -> dict[str, Any]:
        command = [sys.executable, str(SERVING), fault]
        return {"engine": "vllm", "vllm": {"command": command, "at_once": 1, "start_s": 20, **said}}

    whole = Loop(tmp_path / "whole", with_(sections, generate=engine("none")))
    outcome = whole.drive()
    assert outcome is not None
    assert outcome.outcome == "done"
    assert len({text for _, text in texts(whole)}) == 8
    pieces = Loop(tmp_path / "pieces", with_(sections, generate=engine("dies-5", restarts=0)))
    stopped = pieces.drive()
    assert stopped is not None
    assert (stopped.outcome, "The vLLM server" in stopped.message) == ("stopped", True)
    pieces.drive()
    assert texts(pieces) == texts(whole)


class _Noting:
    """The offline teacher, and the states in which it was asked for each prompt."""

    def __init__(self, loop: Loop, teacher: Any) -> None:
        self._loop, self._teacher = loop, teacher
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._teacher, name)

    def question(self, prompt: str) -> dict[str, Any]:
        return {
            "kind": "noting",
            "prompt": prompt,
        }  # so that the ledger keeps its answers, as it does not the offline teacher's

    def invoke(self, prompt: str) -> Any:
        self.asked.append(
            self._loop.fold.root["place"][-1].rpartition(".")[2] if self._loop.fold.root else ""
        )
        return self._teacher.invoke(prompt)


@pytest.mark.parametrize("most", [500, 3])
def test_early_answers_are_scored_and_corrected_meanwhile_and_the_journal_is_the_same(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Where CapAt500 might leave a poor answer out, nobody is asked before it has."""
    from fsm.journal import Journal
    from phases.quality_scoring import ahead
    from phases.student import generate
    from phases.teacher_generation import teachers

    begun: list[str] = []
    real_begin, real_answers, make = ahead.Ahead.begin, generate.answers, teachers.make_teacher

    def begin(self: Any, text: str, *rest: Any) -> Any:
        begun.append(text)
        return real_begin(self, text, *rest)

    def slowly(*args: Any) -> Iterator[Any]:
        for found in real_answers(*args):
            yield found
            time.sleep(0.2)  # the GPU's time: the others have theirs meanwhile

    monkeypatch.setattr(ahead.Ahead, "begin", begin)
    monkeypatch.setattr(generate, "answers", slowly)
    loops = {}
    for early in (True, False):
        loop = Loop(tmp_path / str(early), with_(sections, early=early, corrections={"most": most}))
        made: list[_Noting] = []

        def noting(*args: Any, loop: Loop = loop, made: list[_Noting] = made) -> Any:
            made.append(_Noting(loop, make(*args)))
            return made[-1]

        monkeypatch.setattr(teachers, "make_teacher", noting)
        outcome = loop.drive()
        assert outcome is not None
        assert outcome.outcome == "done"
        loops[early] = (loop, [state for teacher in made for state in teacher.asked], len(begun))
    (with_it, asked, scored), (without, asked_without, scored_without) = loops[True], loops[False]
    assert (scored, scored_without) == (8, 8)  # all ahead in the first run, none in the second
    assert len(asked) == len(asked_without) == min(most, 5)
    assert ("Generate" in asked) == (most == 500)
    assert set(asked_without) == {"ParallelTeacherCalls"}
    assert with_it.digests == without.digests
    assert with_it.data == without.data
    told = [
        [
            (r["kind"], r.get("from"), r.get("label"), r.get("counts"), r.get("reads"))
            for r in Journal(loop.run).records()
        ]
        for loop in (with_it, without)
    ]
    assert told[0] == told[1]
