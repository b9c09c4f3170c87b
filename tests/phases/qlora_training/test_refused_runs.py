"""What can be wrong with the input of a training, through the public door: each walks its way of Diagram 8, tells what it
was, where, and what to do, and goes on where it stood as soon as that is mended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.phases.qlora_training.door import Came, lines, run, training
from tests.phases.qlora_training.micro import ROWS, diverged

ASK = {"role": "user", "content": "Write add."}
EMPTY = ("EmptyDataset", "CheckS3Paths")
INVALID = ("InvalidStructure", "ValidateJSONL")
ENCODING = ("EncodingError", "TryLatin1", "SkipFile")
GOOD = lines(*ROWS)


def answered(text: str) -> dict[str, Any]:
    return {"messages": [ASK, {"role": "assistant", "content": text}]}


def trained(root: Path, base: Path, rows: str | bytes | None, **changes: Any) -> Came:
    """A training of the rows; of none where there is to be no file."""
    path = root.with_suffix(".jsonl")
    if rows is not None:
        path.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    said = training(base, train=str(path), validation=str(root / "none"), **changes)
    return run(root, "qlora_training", {"qlora_training": said})


@pytest.mark.parametrize(
    ("rows", "walked", "words"),
    [
        (None, EMPTY, "There is no set.jsonl to train on"),
        ("", EMPTY, "set.jsonl holds no rows"),
        ("\n  \n\n", EMPTY, "set.jsonl holds no rows"),
        (lines(ROWS[0]), EMPTY, "set.jsonl holds 1 row, and there is no validation set"),
        (lines(*ROWS[:2]) + "\n" + lines({"text": "x"}), INVALID, "set.jsonl, line 4 has no `messages`"),
        (GOOD + lines([1, 2]), INVALID, "line 25 is not an object"),
        (GOOD + "{nope\n", INVALID, "line 25 is not JSON"),
        (GOOD.encode() + b"\0\0\n", ENCODING, "line 25 holds the character U+0000"),
        (GOOD + "[" * 100_000 + "\n", INVALID, "line 25 is not JSON"),
        (
            GOOD + lines({"messages": [{"role": "robot", "content": "x"}, ROWS[0]["messages"][1]]}),
            INVALID,
            "line 25 has a turn with the role 'robot'",
        ),
        (GOOD + json.dumps(answered("\ud800")) + "\n", INVALID, "line 25 has half a character"),
        (GOOD.encode() + b'{"messages": "\xe9"}\n', ENCODING, "line 25 is not UTF-8 text (byte 0xe9"),
        (GOOD.encode("utf-16"), ENCODING, "line 1 is UTF-16"),
        (lines(*[answered("add " * 500)] * 3), EMPTY, "rows are longer than max_length 128 tokens"),
    ],
    ids=["no-file", "empty", "blank", "one-row", "no-messages", "list", "not-json", "nul", "deep", "role",
         "surrogate", "latin-1", "utf-16", "too-long"],
)  # fmt: skip
def test_rows_that_cannot_be_trained_on(
    micro: Path, tmp_path: Path, rows: str | bytes | None, walked: tuple[str, ...], words: str
) -> None:
    came = trained(tmp_path / "set", micro, rows)
    assert (came.code, came.walked) == (3, walked)
    assert words in came.said
    assert "Then give the same command again" in came.said


def test_a_byte_order_mark_is_passed_over_and_rows_too_long_are_counted(micro: Path, tmp_path: Path) -> None:
    rows = "\ufeff" + GOOD + lines(answered("add " * 500))
    came = trained(tmp_path / "set", micro, rows, max_steps=1)
    assert (came.code, came.walked) == (0, ())
    counts = came.data["data"].values()
    assert sum(c["dropped"] for c in counts) == 1
    assert sum(c["rows"] for c in counts) == len(ROWS)


def test_a_row_longer_than_the_models_context_is_dropped_though_max_length_allows_it(
    micro: Path, tmp_path: Path
) -> None:
    came = trained(
        tmp_path / "set", micro, GOOD + lines(answered("add " * 500)), max_length=4096, max_steps=1
    )
    assert came.code == 0
    assert sum(c["dropped"] for c in came.data["data"].values()) == 1


@pytest.mark.parametrize("bad", ["", lines({"text": "x"}), None], ids=["empty", "no-messages", "no-file"])
def test_rows_that_were_mended_are_trained_on(micro: Path, tmp_path: Path, bad: str | None) -> None:
    assert trained(tmp_path / "set", micro, bad, max_steps=1).code == 3
    came = trained(tmp_path / "set", micro, GOOD, max_steps=1)
    assert came.code == 0
    assert came.data["trained"]["steps"] == 1


def test_a_model_half_downloaded_is_loaded_when_it_has_arrived(micro: Path, tmp_path: Path) -> None:
    base = shutil.copytree(micro, tmp_path / "base")
    weights = base / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    came = trained(tmp_path / "set", base, GOOD, max_steps=1)
    assert (came.code, came.walked) == (3, INVALID)
    assert "model.safetensors missing or half downloaded" in came.said
    assert "messages" not in came.said
    weights.write_bytes(whole)
    assert trained(tmp_path / "set", base, GOOD, max_steps=1).code == 0


def test_a_tokenizer_without_a_template(micro: Path, tmp_path: Path) -> None:
    base = shutil.copytree(micro, tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    came = trained(tmp_path / "set", base, GOOD)
    assert (came.code, came.walked) == (3, INVALID)
    assert "no chat template" in came.said


def test_a_template_that_refuses_a_row(micro: Path, tmp_path: Path) -> None:
    base = shutil.copytree(micro, tmp_path / "base")
    template = base / "chat_template.jinja"
    refusing = (
        "{%- if messages[0].role == 'system' -%}{{- raise_exception('no system turns') -}}{%- endif -%}"
    )
    template.write_text(refusing + template.read_text())
    row = {"messages": [{"role": "system", "content": "x"}, *ROWS[0]["messages"]]}
    came = trained(tmp_path / "set", base, GOOD + lines(row, row))
    assert (came.code, came.walked) == (3, INVALID)
    assert "turns are system, user: no system turns" in came.said


def test_a_gpu_too_small_says_by_how_much_before_loading(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from phases.student import model

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *a: "GPU of the test")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(total_memory=10**9))
    monkeypatch.setattr(torch.cuda, "memory_summary", lambda: "")
    monkeypatch.setattr(model, "load", lambda config: pytest.fail("it was loaded"))
    came = trained(tmp_path / "set", micro, GOOD, micro_batch=16)
    assert (came.code, came.walked) == (3, ("CUDAOutOfMemory", "ReduceBatchSize"))
    assert "GPU of the test has 1.0 GB: 0.2 GB are missing" in came.said  # 1.2 GB of CUDA's own


def test_a_disk_too_small_says_by_how_much(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [14 * 10**9]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, free[0]))
    came = trained(tmp_path / "set", micro, GOOD, min_free_gb=15, max_steps=1)
    assert (came.code, came.walked) == (3, ("DiskSpaceLow", "CleanCheckpoints"))
    assert "1.0 GB are missing" in came.said
    free[0] *= 2
    assert trained(tmp_path / "set", micro, GOOD, min_free_gb=15, max_steps=1).code == 0


def test_an_option_that_this_machine_cannot_carry_out(micro: Path, tmp_path: Path) -> None:
    came = trained(tmp_path / "set", micro, GOOD, liger=True)
    assert (came.code, came.walked) == (3, ("ContainerError", "CheckDLCImage"))
    assert "Provide that, or set liger: false. Then give" in came.said  # no image is to blame


def test_a_loss_that_is_no_number_halts(micro: Path, tmp_path: Path) -> None:
    came = trained(tmp_path / "set", diverged(micro, tmp_path / "base"), GOOD)
    assert (came.code, came.walked) == (3, ("NaNLoss", "LogCUDAMemory", "HaltTraining"))
    assert "The training loss became" in came.said


def test_a_run_keeps_the_configuration_it_was_begun_with(micro: Path, tmp_path: Path) -> None:
    assert trained(tmp_path / "set", micro, "", lora_rank=4).code == 3
    came = trained(tmp_path / "set", micro, GOOD, lora_rank=8)
    assert came.code == 2
    assert "lora_rank: 4 then, 8 now" in came.said
    assert "--fresh" in came.said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lora_rank": 8}, "lora_rank: 4 then, 8 now"),
        ({"eval_steps": 4}, "eval_steps: 2 then, 4 now"),
        ({"learning_rate": 1e-5}, "learning_rate: 0.005 then, 1e-05 now"),
        ({"max_steps": 2}, "max_steps: 1 then, 2 now"),
    ],
    ids=["rank", "intervals", "learning-rate", "steps"],
)
def test_checkpoints_of_another_training_are_not_gone_on_with(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    """A container finds in its directory what a bucket's prefix held, were it given twice."""
    monkeypatch.setenv("SM_TRAINING_ENV", "{}")
    monkeypatch.setenv("FSM_OPT_ML", str(tmp_path / "opt"))
    there = tmp_path / "opt" / "checkpoints" / "qlora"
    there.mkdir(parents=True)
    of = training(micro, max_steps=1) | {"seed": 1}
    (there / "training.json").write_text(json.dumps(of))
    came = trained(tmp_path / "set", micro, GOOD, **{"max_steps": 1, **changes})
    assert (came.code, came.walked) == (3, INVALID)
    assert words in came.said
    shutil.rmtree(there)
    assert trained(tmp_path / "set", micro, GOOD, **{"max_steps": 1, **changes}).code == 0
