"""Traps of the libraries underneath, each with its cure; every test fails without it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phases.qlora_training import checkpoints, data, model
from phases.qlora_training.config import QLoRAConfig
from tests.phases.qlora_training.micro import HALTED, ROWS, Interruption, settings, train


def loaded(config: QLoRAConfig) -> tuple[Any, Any]:
    student = model.apply_lora(model.prepare(model.load(config), config), config, 7)
    tokenizer = model.load_tokenizer(config)
    model.set_pad(tokenizer, student)
    return student, tokenizer


def gradients(student: Any, tokenizer: Any) -> list[Any]:
    import torch

    student.train()
    student.zero_grad()
    torch.manual_seed(0)
    ids = torch.tensor([data.tokenize(ROWS[:1], tokenizer, 256, "rows").examples[0].input_ids])
    student(input_ids=ids, labels=ids).loss.backward()
    return [p.grad.clone() for p in student.parameters() if p.requires_grad]


def test_a_4_bit_model_that_has_answered_still_learns_right(micro: Path) -> None:
    """bitsandbytes 0.50 repacks 4-bit weights in eval mode on CPUs with AVX512-BF16, and training then goes wrong."""
    import torch

    student, tokenizer = loaded(settings(micro, quantization="nf4"))
    before = gradients(student, tokenizer)
    student.eval()
    with torch.no_grad():
        student.generate(input_ids=torch.tensor([[5, 6, 7]]), max_new_tokens=2, do_sample=False)
    after = gradients(student, tokenizer)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    told = [
        m.support_avx512bf16_for_cpu for m in student.modules() if hasattr(m, "support_avx512bf16_for_cpu")
    ]
    assert told
    assert not any(told)


def test_trainables_are_fp32_after_the_trainer_is_built(micro: Path, tmp_path: Path) -> None:
    """SFTTrainer casts them to bf16 under QLoRA, and a resume brings them back as fp32."""
    import torch

    config = settings(micro, quantization="nf4")
    student = _trainer(config, tmp_path).model
    assert {p.dtype for p in student.parameters() if p.requires_grad} == {torch.float32}


def test_what_breaks_exact_resume_is_off(micro: Path, tmp_path: Path) -> None:
    arguments = _trainer(settings(micro), tmp_path).args
    assert not arguments.save_only_model
    assert not getattr(arguments, "group_by_length", False)
    assert not getattr(arguments, "enable_jit_checkpoint", False)
    assert getattr(arguments, "train_sampling_strategy", "random") == "random"
    assert arguments.save_total_limit is None  # transformers would remove by number, the best one too
    assert not arguments.logging_nan_inf_filter  # it would hide what CheckNaN looks for


def test_nothing_is_asked_of_the_hub(micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def refuse(host: Any, *rest: Any, **named: Any) -> None:
        asked.append(host)
        raise OSError("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    trainer = _trainer(settings(micro), tmp_path)
    # as a model from the hub's local cache is named; PEFT asks the hub for its config whenever it saves
    trainer.model.peft_config["default"].base_model_name_or_path = "ibm-granite/granite-4.1-8b"
    trainer.save_model(str(tmp_path / "saved"))
    assert asked == []


def test_no_library_loads_kernels_from_the_hub(tmp_path: Path) -> None:
    """The container has the package `kernels`; bitsandbytes fetches machine code with it as soon as it is imported."""
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('kernels was imported')")
    said = "from phases.qlora_training import hub; hub.quiet(False); import bitsandbytes, transformers.integrations"
    # bitsandbytes asks on CPUs with AVX512-BF16 only; the last line stands for it elsewhere
    tried = "\ntry:\n    from kernels import get_kernel\nexcept ImportError:\n    print('not there')"
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    done = subprocess.run(
        [sys.executable, "-c", said + tried],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    assert done.stdout == "not there\n", done.stderr


def test_nan_loss_halts_before_the_weights_are_touched_and_keeps_the_last_checkpoint(
    micro: Path, tmp_path: Path
) -> None:
    ending = train(settings(micro), tmp_path / "run", Interruption(9, how="poison"))
    assert ending.code == HALTED
    assert "The training loss became nan in step 10" in ending.said["error"]
    assert "the last good checkpoint is that of step 8" in ending.said["error"]
    assert ending.said["counts"]["HaltTraining --> [*] : Emergency stop"] == 1
    last = checkpoints.newest(tmp_path / "run")
    assert last is not None
    assert last.step == 8


def test_the_tiny_students_attention_is_scaled_by_its_width(micro: Path) -> None:
    """Granite's default multiplier of 1.0 belongs to its own width."""
    from phases.distillation.tiny_student import granite
    from tests.phases.qlora_training.micro import RECIPE

    assert granite(RECIPE, 320).config.attention_multiplier == pytest.approx(16**-0.5)


def _trainer(config: QLoRAConfig, directory: Path) -> Any:
    from phases.qlora_training import trainer

    student, tokenizer = loaded(config)
    rows = data.dataset(data.tokenize(ROWS, tokenizer, 128, "rows"))
    return trainer.create(config, student, tokenizer, rows, rows, directory, 1, 2, 2)
