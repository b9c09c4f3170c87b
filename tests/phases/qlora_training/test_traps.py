"""Traps of the libraries underneath, each with its cure; every test fails without it."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fsm.engine import Walk
from machines.qlora_training import MACHINE
from phases.qlora_training import checkpoints, data
from phases.qlora_training.follow import Follow, Intervals
from phases.student import model
from phases.student.config import QLoRAConfig
from tests.phases.qlora_training.micro import HALTED, ROWS, Interruption, settings, train
from tests.phases.qlora_training.test_follow import take_steps


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
    """bitsandbytes 0.50 repacks 4-bit weights in eval mode on CPUs with AVX512-BF16, and training then goes wrong.

    On any other CPU nothing goes wrong, and only what the layers were told can be looked at.
    """
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
    """What each does when it is on shows elsewhere: rows in another order after a resume, checkpoints that cannot be
    sealed, and a SIGTERM that transformers' own handler swallows (test_resume, test_signals)."""
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
    said = "from phases.student import hub; hub.quiet(False); import bitsandbytes, transformers.integrations"
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


@pytest.mark.parametrize("heads", [8, 2, 1])
def test_the_tiny_students_attention_does_not_saturate_however_wide_its_heads(heads: int) -> None:
    """Granite's default multiplier of 1.0 belongs to its own training.

    With queries and keys of unit variance it leaves a position some 3 of 64 others to attend to; scaled by the width
    of a head, some 45, whatever that width is. The base step's loss shows none of it: it is no higher with 1.0.
    """
    import torch

    from phases.student.tiny import granite
    from tests.phases.qlora_training.micro import RECIPE

    model = granite(RECIPE.model_copy(update={"width": 128, "heads": heads, "kv_heads": heads}), 320).eval()
    model.set_attn_implementation("eager")
    attention = model.model.layers[0].self_attn
    torch.manual_seed(0)
    with torch.no_grad():
        for projection in (attention.q_proj, attention.k_proj):
            projection.weight.normal_(std=128**-0.5)
        ids = torch.randint(320, (1, 64))
        last = model(input_ids=ids, output_attentions=True).attentions[0][0, :, -1]
    entropy = -(last.clamp_min(1e-12).log() * last).sum(-1).mean()
    assert 30 < float(entropy.exp()) < 64


def test_the_loss_is_that_of_the_completions_alone(micro: Path, tmp_path: Path) -> None:
    """By TRL's default a data set that comes in tokens is learned whole, prompts included."""
    import torch

    trainer = _trainer(settings(micro), tmp_path)
    tokenizer = trainer.processing_class
    masks = {e.input_ids: e.completion_mask for e in data.tokenize(ROWS, tokenizer, 128, "rows").examples}
    batch = next(iter(trainer.get_train_dataloader()))
    model = trainer.model.eval()
    with torch.no_grad():
        found = trainer.compute_loss(model, batch)
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    taken = []
    for ids, attended, row in zip(batch["input_ids"], batch["attention_mask"], logits, strict=True):
        own = ids[attended.bool()]
        mask = torch.tensor(masks[tuple(own.tolist())][1:]).bool()
        assert 0 < int(mask.sum()) < len(mask)
        said = row[: len(own) - 1].log_softmax(-1)
        taken.append(-said[torch.arange(len(mask)), own[1:]][mask])
    assert float(found) == pytest.approx(float(torch.cat(taken).mean()), rel=1e-4)


def test_an_evaluation_with_a_loss_that_is_no_number_is_not_the_best_one(
    micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers' default leaves such rows out of the mean, which may well be the lowest then.

    Of training's losses CheckNaN sees each before transformers does, so there the default would change only what is
    logged.
    """
    import torch

    trainer = _trainer(settings(micro), tmp_path)
    trainer.stopping = lambda: False
    real, calls = trainer.prediction_step, []

    def poisoned(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        loss, logits, labels = real(*args, **kwargs)
        return (loss * torch.nan if len(calls) == 2 else loss), logits, labels

    monkeypatch.setattr(trainer, "prediction_step", poisoned)
    loss = trainer.evaluate()["eval_loss"]
    assert len(calls) > 2
    assert math.isnan(loss)
    follow = Follow(Walk(MACHINE.counted_inside("TrainingLoop")), Intervals(1, 1, 1), max_steps=2)
    take_steps(follow, 1, 1, iter([loss]))
    assert (follow.best_step, follow.known.waited) == (None, 1)


def _trainer(config: QLoRAConfig, directory: Path) -> Any:
    from phases.qlora_training import trainer

    student, tokenizer = loaded(config)
    rows = data.dataset(data.tokenize(ROWS, tokenizer, 128, "rows"))
    return trainer.create(config, student, tokenizer, rows, rows, directory, 1, 2, 2)
