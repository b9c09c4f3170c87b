"""What can be wrong with the input of a distillation, through the public door: told before an epoch is paid for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phases.teacher_generation.offline import OfflineTeacher
from tests.phases.qlora_training.door import Came, lines, run, training
from tests.phases.qlora_training.micro import ROWS

EMPTY = ("EmptyDataset", "CheckS3Paths")
INVALID = ("InvalidStructure", "ValidateJSONL")
ENCODING = ("EncodingError", "TryLatin1", "SkipFile")
GOOD = lines(*ROWS)


def distilled(
    root: Path,
    base: Path,
    files: Mapping[str, str | bytes],
    said: Mapping[str, Any] | None = None,
    **train: Any,
) -> Came:
    """A distillation of one epoch. `files` by their key in the section; what the section says besides in `said`."""
    section: dict[str, Any] = {
        "train": str(root / "none"), "validation": str(root / "none"), "train_on": "raw", "max_epochs": 1,
        "eval_prompts": 3, "held_out_prompts": 2, "corrections": {"most": 2},
        "sampling": {"max_new_tokens": 4, "max_prompt_tokens": 64, "batch": 4},
    }  # fmt: skip
    root.mkdir(exist_ok=True)
    for key, content in {"train": GOOD, **files}.items():
        path = root / f"{key}.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        section[key] = str(path)
    sections = {
        "distillation": {**section, **(said or {})},
        "qlora_training": training(base, max_steps=1, **train),
        "teacher_generation": {
            "teacher": {"kind": "offline"},
            "max_retries": 1,
            "backoff_base_s": 0,
            "max_failed_share": 0.5,
        },
    }
    return run(root, "distillation", sections)


def prompts(*texts: str) -> str:
    return lines(*({"prompt": text} for text in texts))


@pytest.mark.parametrize(
    ("files", "walked", "words"),
    [
        ({"train": "\n"}, EMPTY, "train.jsonl holds no rows"),
        ({"train": "\n" + lines({"text": "x"})}, INVALID, "train.jsonl, line 2 has no `messages`"),
        ({"train": b'{"messages": "\xe9"}\n'}, ENCODING, "train.jsonl, line 1 is not UTF-8 text"),
        ({"train": lines(ROWS[0])}, EMPTY, "holds 1 row, and there is no validation set"),
        ({"validation": lines({"text": "x"})}, INVALID, "validation.jsonl, line 1 has no `messages`"),
        ({"eval_file": "\n"}, EMPTY, "eval_file.jsonl holds no prompts"),
        ({"eval_file": '{"x": 1}\n'}, INVALID, "eval_file.jsonl hold no prompt: line 1"),
        ({"eval_file": b'{"prompt": "\xe9"}\n'}, ENCODING, "eval_file.jsonl, line 1 is not UTF-8 text"),
        ({"eval_file": '{"prompt": "\\ud800"}\n'}, INVALID, "half a character"),
        ({"held_out_file": GOOD}, EMPTY, "Every prompt of the frozen set is trained on or drawn as well"),
    ],
    ids=["empty", "no-messages", "latin-1", "one-row", "validation", "no-prompts", "not-a-prompt",
         "prompts-in-latin-1", "surrogate", "all-overlap"],
)  # fmt: skip
def test_rows_and_prompts_that_are_not_what_they_should_be(
    micro: Path, tmp_path: Path, files: Mapping[str, str | bytes], walked: tuple[str, ...], words: str
) -> None:
    came = distilled(tmp_path / "run", micro, files)
    assert (came.code, came.walked) == (3, walked)
    assert words in came.said


@pytest.mark.parametrize(
    ("said", "walked", "words"),
    [
        ({"eval_file": "/no/such.jsonl"}, EMPTY, "There is no such.jsonl to judge the student by"),
        ({"train_on": "teacher", "teacher": "/no/such.jsonl"}, EMPTY, "There is no such.jsonl to train on"),
        ({"sampling": {"max_new_tokens": 256}}, INVALID, "leaves none of them for a prompt"),
    ],
    ids=["no-prompt-file", "no-teacher-file", "no-room"],
)
def test_what_cannot_be_begun_is_told_before_an_epoch_is_trained(
    micro: Path, tmp_path: Path, said: Mapping[str, Any], walked: tuple[str, ...], words: str
) -> None:
    came = distilled(tmp_path / "run", micro, {}, said)
    assert (came.code, came.walked) == (3, walked)
    assert words in came.said
    assert "epoch" not in came.data or came.data["epoch"] == 0


def test_prompts_that_were_mended_are_judged_by(micro: Path, tmp_path: Path) -> None:
    assert distilled(tmp_path / "run", micro, {"held_out_file": GOOD}).code == 3
    came = distilled(tmp_path / "run", micro, {"held_out_file": prompts("a", "b")})
    assert came.code == 0
    assert came.data["prompts"] == {"drawn": 3, "held_out": 2}


def test_prompts_twice_overlapping_and_too_few_are_counted(micro: Path, tmp_path: Path) -> None:
    files = {
        "eval_file": "\ufeff" + prompts("a", "a", "b", "word " * 200),
        "held_out_file": prompts("b", "c", ROWS[0]["messages"][0]["content"]),  # drawn, clean, trained on
    }
    said = {"eval_prompts": 9, "held_out_prompts": 9}
    came = distilled(tmp_path / "run", micro, files, said)
    assert came.code == 0
    assert came.data["prompts"] == {"drawn": 3, "held_out": 1}
    assert came.data["generated"]["drawn"]["prompts_cut"] == 1


def test_a_student_that_answers_nothing_is_scored_corrected_and_trained_on(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phases.student import generate

    def nothing(model: Any, tokenizer: Any, prompts: Any, *rest: Any) -> Any:
        return ((n, generate.Output(prompt, "", 0, False, False)) for n, prompt in enumerate(prompts))

    monkeypatch.setattr(generate, "answers", nothing)
    came = distilled(tmp_path / "run", micro, {})
    assert came.code == 0
    assert came.data["correction_rate"] == 1.0
    assert came.data["corrections"]["accepted"] == 2


def test_a_teacher_that_no_call_reaches_stops_the_run_and_is_asked_again_when_it_is_back(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phases.errors import ModelStreamError

    def gone(self: OfflineTeacher, prompt: str) -> Any:
        raise ModelStreamError("Could not connect to the endpoint")

    with monkeypatch.context() as patch:
        patch.setattr(OfflineTeacher, "invoke", gone)
        came = distilled(tmp_path / "run", micro, {})
    assert came.code == 3
    assert came.walked == ("ThrottlingException", "ExponentialBackoff", "SkipPrompt")
    assert "left 2 of 2 prompts without a correction" in came.said
    assert "Could not connect to the endpoint" in came.said
    came = distilled(tmp_path / "run", micro, {})
    assert (came.code, came.data["corrections"]["accepted"]) == (0, 2)


def test_a_teacher_that_fails_for_as_many_prompts_as_may_costs_those_corrections_only(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phases.errors import ModelStreamError

    real, asked = OfflineTeacher.invoke, []

    def once(self: OfflineTeacher, prompt: str) -> Any:
        asked.append(prompt)
        if prompt == asked[0]:
            raise ModelStreamError("broke off")
        return real(self, prompt)

    monkeypatch.setattr(OfflineTeacher, "invoke", once)
    came = distilled(tmp_path / "run", micro, {})
    assert (came.code, came.walked) == (0, ())
    assert came.data["corrections"]["accepted"] == 1
    refused = came.data["corrections"]["refused"]
    assert refused == 1


def test_a_gpu_is_asked_for_one_row_as_in_a_training_alone(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ReduceBatchSize can come down to one row, so a GPU that holds one is no reason not to begin."""
    import torch

    from phases.student import preflight

    asked = []

    def need(shape: Any, config: Any) -> preflight.Need:
        asked.append(config.micro_batch)
        return preflight.Need(4e9, 0, 0, 0, 1.2e9)

    monkeypatch.setattr(preflight, "need", need)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *a: "GPU of the test")
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda i: SimpleNamespace(total_memory=4 * 10**9)
    )
    monkeypatch.setattr(torch.cuda, "memory_summary", lambda: "")
    came = distilled(tmp_path / "run", micro, {}, micro_batch=8)
    assert asked == [1]
    assert (came.code, came.walked) == (3, ("CUDAOutOfMemory", "ReduceBatchSize"))
    assert "1.2 GB are missing" in came.said


def test_a_run_keeps_the_configuration_it_was_begun_with(micro: Path, tmp_path: Path) -> None:
    assert distilled(tmp_path / "run", micro, {"held_out_file": GOOD}, {"restart": "adapter"}).code == 3
    came = distilled(tmp_path / "run", micro, {"held_out_file": GOOD}, {"restart": "base"})
    assert came.code == 2
    assert json.dumps("adapter") + " then" in came.said
