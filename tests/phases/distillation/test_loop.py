"""The epoch loop through the real engine, with a micro student and the offline teacher."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fsm.engine import Nobody, Outcome, Program, Runner, Stop, StopRequested
from fsm.journal import Journal
from fsm.store import RunStore, open_store
from phases.errors import ModelStreamError
from phases.quality_scoring.behaviour import judging
from phases.teacher_generation.takes import Takes
from phases.turns import turns
from tests.needs import needing
from tests.phases.qlora_training.micro import RECIPE, ROWS, diverged, settings

MACHINES = (
    "distillation",
    "qlora_training",
    "quality_scoring",
    "teacher_generation",
    "convergence",
    "error_recovery",
)


@dataclass
class Loop:
    """One run of distillation in a directory."""

    root: Path
    sections: Mapping[str, Any]

    def drive(self, records: int | None = None) -> Outcome | None:
        """To its end, or until so many records have been written; then a process that knows nothing may go on."""
        from phases.student import session

        session.forget()
        run = self.run
        if run.read_header() is None:
            run.write_header(b"{}")
        stop = Stop()
        journal = Journal(run)
        self.fold = journal.open()
        phases = {name: importlib.import_module(f"phases.{name}").PHASE for name in MACHINES}
        program = Program(
            "distillation",
            {name: importlib.import_module(f"machines.{name}").MACHINE for name in MACHINES},
            phases,
            "error_recovery",
            {name: phases[name].section(self.sections.get(name, {})) for name in MACHINES}
            | {"teacher_generation": _teacher()},
        )
        observer = _StopAfter(stop, records)
        runner = Runner(
            program, run, journal, self.fold, seed=5, work=self.root / "work", observer=observer, stop=stop
        )
        try:
            return runner.drive()
        except StopRequested:
            return None
        finally:
            journal.close()

    @property
    def run(self) -> RunStore:
        return open_store(str(self.root / "store")).run("loop")

    @property
    def data(self) -> dict[str, Any]:
        assert self.fold.root is not None
        data: dict[str, Any] = self.fold.root["data"]
        return data

    @property
    def digests(self) -> dict[str, str]:
        return {name: file["sha256"] for name, file in self.fold.files.items()}

    def text(self, name: str) -> str:
        return self.run.artifact(self.digests[name]).read_text("utf-8")

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text(name).splitlines()]


class _StopAfter(Nobody):
    def __init__(self, stop: Stop, records: int | None) -> None:
        self.stop = stop
        self.left = records

    def record(self, record: Mapping[str, Any]) -> None:
        if self.left is not None and record["kind"] != "claim":
            self.left -= 1
            self.stop.requested = self.left <= 0


def _teacher() -> Any:
    from phases.teacher_generation.config import TeacherConfig, TeacherGenerationConfig

    return TeacherGenerationConfig(teacher=TeacherConfig(kind="offline"), backoff_base_s=0)


@pytest.fixture
def sections(micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("FSM_CACHE", str(micro.parent))  # where the micro student has been made already
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    training = settings(micro, quantization="nf4", epochs=0.5).model_dump(mode="json")
    return {
        "qlora_training": training
        | {"model": "tiny-granite", "tiny_student": RECIPE.model_dump(), "min_free_gb": 0},
        "distillation": {
            "train": str(tmp_path / "train.jsonl"),
            "train_on": "raw",
            "validation": "there is none",
            "eval_prompts": 5,
            "held_out_prompts": 3,
            "max_epochs": 2,
            "sampling": {"max_new_tokens": 12, "max_prompt_tokens": 128, "batch": 4},
            "corrections": {"most": 3},
        },
    }


def test_two_epochs_leave_what_they_came_to(sections: dict[str, Any], tmp_path: Path) -> None:
    loop = Loop(tmp_path / "whole", sections)
    outcome = loop.drive()
    assert outcome is not None
    assert outcome.outcome == "done"
    assert loop.data["result"]["reason"] == "Max epochs reached: 2"
    report = json.loads(loop.text("distillation/epoch-2/report.json"))
    assert (report["poor"], report["correction_rate"]) == (5, 1.0)
    assert report["drawn"]["outputs"] == 5
    assert report["held_out"]["outputs"] == 3
    # what failed, what was learned from whom, and the answers beside those before
    assert {name: sum(kinds.values()) for name, kinds in report["failures"].items()} == {
        "drawn": 5,
        "held_out": 3,
    }
    assert report["failures"]["drawn"]["none"] == 0
    assert report["learned_from"] == {"raw": len(loop.rows("distillation/train.jsonl")), "correction": 3}
    page = loop.text("distillation/epoch-2/report.md")
    assert page.count("\nEpoch 1, ") == page.count("\nEpoch 2, ") == 3
    # the worst three were corrected, and what was corrected is learned from in the epoch after
    corrected = [row["messages"][0]["content"] for row in loop.rows("distillation/epoch-1/corrections.jsonl")]
    worst = [p["prompt"] for p in loop.rows("distillation/epoch-1/poor.jsonl")]
    assert len(worst) == 3
    assert set(corrected) <= set(worst)
    before, after = loop.rows("distillation/train.jsonl"), loop.rows("distillation/epoch-1/dataset.jsonl")
    assert len(after) == len(before) + len(corrected)
    assert len(corrected) == 3
    # frozen prompts never enter
    frozen = set(json.loads(loop.text("distillation/held_out_prompts.json")))
    grown = {row["messages"][0]["content"] for row in loop.rows("distillation/epoch-2/dataset.jsonl")}
    assert not frozen & grown
    # no prompt is asked for twice
    answers = loop.rows("distillation/answers.jsonl")
    assert len({row["digest"] for row in answers}) == len(answers)
    assert (
        loop.digests["distillation/model/adapter_model.safetensors"]
        == (loop.digests["distillation/epoch-2/adapter_model.safetensors"])
    )
    card = loop.text("distillation/model/README.md")
    assert loop.digests["distillation/model/adapter_model.safetensors"][:16] in card


@needing("behaviour")
def test_what_the_answers_do_is_told_beside_their_scores_and_changes_nothing_else(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    with_it = Loop(tmp_path / "with", sections)
    with_it.drive()
    without = Loop(tmp_path / "without", sections | {"quality_scoring": {"behaviour": {"use": "none"}}})
    without.drive()
    only = with_it.digests.keys() - without.digests.keys()
    assert only == {
        f"distillation/epoch-{n}/{name}.jsonl" for n in (1, 2) for name in ("behaviour", "held_out_behaviour")
    }
    told = {n for n, digest in without.digests.items() if with_it.digests[n] != digest}
    assert told <= {
        *(f"distillation/epoch-{n}/report.{kind}" for n in (1, 2) for kind in ("json", "md")),
        "distillation/report.md",
        "distillation/metrics.json",
        "distillation/model/README.md",
    }
    report = json.loads(with_it.text("distillation/epoch-2/report.json"))
    assert report["behaviour"]["drawn"]["outputs"] == 5
    assert report["behaviour"]["held_out"]["compared"] == 3  # the offline teacher's answers are known
    assert "behaves" in with_it.text("distillation/report.md")
    assert with_it.data["average"] == without.data["average"]


@needing("behaviour")
def test_a_loop_that_is_decided_by_behaviour_ends_by_it_and_goes_on_only_where_code_can_be_run(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections["distillation"] |= {"max_epochs": 1}
    decided = {"convergence": {"on": "behaviour", "avg_score": 0.5, "epochs_at_threshold": 1}}
    loop = Loop(tmp_path / "run", sections | decided)
    loop.drive(records=1)
    while "epoch" not in loop.data:  # the model is set up, and the sandbox was there
        assert loop.drive(records=1) is None
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(judging, "find_toolchain", lambda: None)
        outcome = loop.drive()
    assert outcome is not None
    assert outcome.outcome == "stopped"
    assert "convergence.on is behaviour, and nothing can run code here" in outcome.message
    outcome = loop.drive()
    assert outcome is not None
    assert outcome.outcome == "done"
    # by the drawn set's score it would have converged
    assert loop.data["result"]["reason"] == "Max epochs reached: 1"
    assert loop.data["average"]["drawn"] > 0.5 > loop.data["behaviour"]["held_out"]


def test_a_new_process_in_every_state_leaves_the_same_bytes(sections: dict[str, Any], tmp_path: Path) -> None:
    """Stopped after every single record, so that every state is the first of its process once.

    One of the two passes its numbers on, and nothing of the run depends on it.
    """
    sections["distillation"]["wordings"] = {"variants": 2}
    whole = Loop(tmp_path / "whole", sections)
    whole.drive()
    told = {"report_to": "tensorboard", "log_dir": str(tmp_path / "events")}
    pieces = Loop(tmp_path / "pieces", sections | {"distillation": sections["distillation"] | told})
    processes = 1
    while pieces.drive(records=1) is None and processes < 200:
        processes += 1
    assert 60 < processes < 200
    assert pieces.digests == whole.digests
    assert pieces.data == whole.data
    averages = [json.loads(whole.text(f"distillation/epoch-{n}/report.json"))["drawn"] for n in (1, 2)]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    passed_on = EventAccumulator(str(tmp_path / "events" / "loop-0")).Reload().Scalars("drawn/overall")
    assert [(e.step, pytest.approx(e.value)) for e in passed_on] == [
        (n, average["overall"]["mean"]) for n, average in enumerate(averages, 1)
    ]


def test_from_the_base_each_epoch_or_on_with_the_adapter(sections: dict[str, Any], tmp_path: Path) -> None:
    on = Loop(tmp_path / "adapter", sections)
    on.drive()
    restarted = {**sections, "distillation": sections["distillation"] | {"restart": "base"}}
    anew = Loop(tmp_path / "base", restarted)
    anew.drive()
    adapter = "distillation/epoch-{}/adapter_model.safetensors"
    assert on.digests[adapter.format(1)] == anew.digests[adapter.format(1)]
    assert on.digests[adapter.format(2)] != anew.digests[adapter.format(2)]
    began = [json.loads(x.text("distillation/epoch-2/report.json"))["training"]["from"] for x in (on, anew)]
    assert began == [adapter.format(1), None]


@pytest.mark.parametrize(("restart", "rates"), [("adapter", [2e-3, 5e-4]), ("base", [2e-3, 2e-3])])
def test_an_epoch_goes_on_with_an_adapter_at_the_rate_for_that(restart: str, rates: list[float]) -> None:
    from phases.distillation import student
    from phases.distillation.config import DistillationConfig
    from phases.student.config import QLoRAConfig

    def rate(**data: Any) -> float:
        ctx: Any = SimpleNamespace(
            config=DistillationConfig.model_validate({"restart": restart, "continued_rate": 0.25}),
            section=lambda name: QLoRAConfig(learning_rate=2e-3),
            run_seed=1,
            data=data,
        )
        return student.job(ctx).config.learning_rate

    assert [rate(epoch=1), rate(epoch=2, adapter="distillation/epoch-1/adapter_model.safetensors")] == rates


def test_the_gate_can_be_left_open(sections: dict[str, Any], tmp_path: Path) -> None:
    def with_gate(gate: bool) -> Loop:
        said = sections["distillation"] | {
            "corrections": {"gate": gate, "compiles_at": 10.0},
            "max_epochs": 1,
        }
        scoring = {"syntax": {"clean": 9.0}}  # so that nothing compiles well enough
        loop = Loop(tmp_path / str(gate), {**sections, "distillation": said, "quality_scoring": scoring})
        loop.drive()
        return loop

    closed, open_ = with_gate(True), with_gate(False)
    assert closed.rows("distillation/epoch-1/corrections.jsonl") == []
    assert {r["reason"][:35] for r in closed.rows("distillation/epoch-1/refused.jsonl")} == {
        "the correction does not compile (sy"
    }
    assert len(open_.rows("distillation/epoch-1/corrections.jsonl")) == 5


def test_an_empty_training_set_stops_and_says_where_to_look(sections: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("")
    outcome = Loop(tmp_path / "empty", sections).drive()
    assert outcome is not None
    assert outcome.outcome == "stopped"
    assert "holds no rows" in outcome.message


def test_out_of_memory_halves_the_micro_batch_and_goes_on(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from phases.qlora_training import trainer

    real, tried = trainer.FollowedTrainer.training_step, []

    def small_gpu(self: Any, model: Any, inputs: Any, items: Any = None) -> Any:
        tried.append(len(inputs["input_ids"]))
        if tried[-1] > 1 and self.state.global_step >= 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(self, model, inputs, items)

    monkeypatch.setattr(trainer.FollowedTrainer, "training_step", small_gpu)
    loop = Loop(
        tmp_path / "small", {**sections, "distillation": sections["distillation"] | {"max_epochs": 1}}
    )
    outcome = loop.drive()
    assert outcome is not None
    assert outcome.outcome == "done"
    said = json.loads(loop.text("distillation/epoch-1/training.json"))
    assert (said["micro_batch"], said["accumulation"]) == (1, 4)  # from 2 and 2: the effective batch stays
    assert set(tried) == {1, 2}


def test_a_full_disk_loses_old_checkpoints_and_goes_on(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from phases.qlora_training import checkpoints

    real = checkpoints.seal

    def full_at_six(path: Path, *rest: Any) -> None:
        if path.name == "checkpoint-6" and (path.parent / "checkpoint-2").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, *rest)

    monkeypatch.setattr(checkpoints, "seal", full_at_six)
    training = sections["qlora_training"] | {"epochs": 2, "save_steps": 2}
    whole = Loop(tmp_path / "whole", {**sections, "qlora_training": training})
    outcome = whole.drive()
    assert outcome is not None
    assert outcome.outcome == "done"
    monkeypatch.setattr(checkpoints, "seal", real)
    roomy = Loop(tmp_path / "roomy", {**sections, "qlora_training": training})
    roomy.drive()
    assert whole.digests == roomy.digests


def test_a_loss_that_is_no_number_halts_the_run_resumable(
    sections: dict[str, Any], micro: Path, tmp_path: Path
) -> None:
    base = diverged(micro, tmp_path / "base")
    training = sections["qlora_training"] | {"model": str(base)}
    outcome = Loop(tmp_path / "nan", {**sections, "qlora_training": training}).drive()
    assert outcome is not None
    assert outcome.outcome == "stopped"
    assert "The training loss became" in outcome.message


class _Stumbling:
    """A teacher that says of a prompt's last turn that it answers it, once it is well; and counts its calls."""

    name, note = "stumbling", "A teacher for tests."
    takes, credentials = Takes(), "none"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.well = False

    def count(self, prompt: str) -> None:
        """No service counts for it."""

    def question(self, prompt: str) -> dict[str, Any]:
        return {"kind": "stumbling", "prompt": prompt}

    def check(self, lasting: timedelta) -> list[str]:
        return []

    def invoke(self, prompt: str) -> dict[str, Any]:
        self.asked.append(prompt)
        if not self.well and "larger" in prompt:
            raise ModelStreamError("cut off")
        text = f"int larger(int n) {{ return n > 1 ? 2 * n : n + 1; }}  /* {turns(prompt)[-1]['content']} */"
        return {"output": {"message": {"content": [{"text": text}]}}, "stopReason": "end_turn"}


def test_corrections_keep_their_turns_and_those_that_failed_in_passing_are_asked_again(
    sections: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [
        {"role": "user", "content": "Write a TSN queue."},
        {"role": "assistant", "content": "struct queue { int n; };"},
        {"role": "user", "content": "Now make it larger."},
    ]
    asked = [{"messages": several}, {"prompt": "Write a gate."}, {"prompt": "Write an AVB stream."}]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    teacher = _Stumbling()
    monkeypatch.setattr("phases.teacher_generation.teachers.make_teacher", lambda *_: teacher)
    said = {"eval_file": str(tmp_path / "asked.jsonl"), "max_epochs": 1, "corrections": {"gate": False}}
    loop = Loop(tmp_path / "turns", {**sections, "distillation": sections["distillation"] | said})
    stopped = loop.drive()
    assert stopped is not None
    assert stopped.outcome == "stopped"
    assert "left 1 of 3 prompts without a correction" in stopped.message
    early = 3  # asked once each while others are generated; what failed is asked again where it is drawn
    assert len(teacher.asked) == early + 6
    teacher.well = True
    done = loop.drive()
    assert done is not None
    assert done.outcome == "done"
    assert len(teacher.asked) == early + 6 + 1
    rows = [row["messages"] for row in loop.rows("distillation/epoch-1/corrections.jsonl")]
    (kept,) = [messages for messages in rows if len(messages) > 2]
    assert kept[:-1] == several
    assert kept[-1]["content"].endswith("/* Now make it larger. */")
    assert len(rows) == 3


def test_what_is_trained_on_is_worded_and_nothing_else(sections: dict[str, Any], tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    for row in rows:
        row["messages"][0]["content"] += " It is to add a constant, and to return the sum in one statement."
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = Loop(tmp_path / "plain", sections)
    plain.drive()
    sections["distillation"] |= {"wordings": {"variants": 4}, "max_epochs": 1}
    worded = Loop(tmp_path / "worded", sections)
    worded.drive()
    for name in ("train.jsonl", "validation.jsonl", "held_out_prompts.json", "eval_prompts.json"):
        assert worded.digests[f"distillation/{name}"] == plain.digests[f"distillation/{name}"]
    before = plain.rows("distillation/train.jsonl")
    learned = worded.rows("distillation/epoch-1/wordings.jsonl")
    assert [r for r in learned if "wording" not in r] == before
    assert len(learned) == 4 * len(before)
    cost = json.loads(worded.text("distillation/epoch-1/report.json"))["training"]["wordings"]
    assert cost == {"variants": 4, "rows": [len(before), 4 * len(before)], "steps_a_pass": [6, 22]}
    training = json.loads(worded.text("distillation/epoch-1/report.json"))["training"]
    assert training["steps"] == 11  # half an epoch
    assert worded.data["examples"] == len(worded.rows("distillation/epoch-1/dataset.jsonl"))
