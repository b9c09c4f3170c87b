"""Micro-batches by tokens: the same step in fewer passes, with the same gradient, resumed to the same weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from phases.errors import NotProvided
from phases.student import preflight
from tests.phases.qlora_training.micro import ROWS, STOPPED, Interruption, settings, train
from tests.phases.qlora_training.test_resume import same, uninterrupted


@examples(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 100), min_size=1, max_size=40), st.integers(1, 300), st.booleans())
def test_every_row_is_in_one_pass_and_no_pass_is_over_the_budget(
    lengths: list[int], budget: int, packed: bool
) -> None:
    from phases.qlora_training.passes import groups

    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    found = groups(order, lengths, budget, packed)
    assert [place for group in found for place in group] == order
    for group in found:
        tokens = sum(lengths[p] for p in group) if packed else len(group) * max(lengths[p] for p in group)
        assert tokens <= budget or len(group) == 1


def batch(model: Any) -> dict[str, Any]:
    """Five rows of unlike lengths, of which the second half is learned."""
    import torch

    lengths = [9, 30, 4, 17, 30]
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, model.config.vocab_size, (5, 30), generator=generator)
    mask = torch.tensor([[1] * n + [0] * (30 - n) for n in lengths])
    labels = ids.masked_fill(mask == 0, -100)
    for row, n in enumerate(lengths):
        labels[row, : n // 2] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("whole", [1 << 26, 700])
def test_loss_and_gradient_are_those_of_the_model_over_the_whole_batch(
    micro: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, whole: int
) -> None:
    """However the rows are split and the logits cut; under sdpa rows in one sequence do not see one another."""
    import torch

    from phases.qlora_training import passes
    from phases.student import model as models

    monkeypatch.setattr(passes, "WHOLE", whole)  # 700: two positions at a time
    config = settings(micro, lora_dropout=0.0)
    student = models.apply_lora(models.load(config), config, 7)
    student.config.logits_scaling = 3.0
    with torch.no_grad():
        for name, weight in student.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    trained = [p for p in student.parameters() if p.requires_grad]
    rows = batch(student)
    items = (rows["labels"][:, 1:] != -100).sum()
    whole_step = student(**rows, num_items_in_batch=items).loss
    whole_step.backward()
    whole_loss = float(whole_step.detach())
    wanted = [p.grad.clone() for p in trained]
    student.zero_grad()
    parts = passes.split(rows, 60, packed)
    assert len(parts) == 2
    assert (parts[0]["input_ids"].numel(), parts[1]["input_ids"].numel()) == (
        (60, 30) if packed else (60, 51)
    )
    assert passes.lean(student)
    total = 0.0
    for part in parts:
        loss = passes.loss(student, part, items)
        loss.backward()
        total += float(loss.detach())
    assert total == pytest.approx(whole_loss, rel=1e-5)
    for parameter, gradient in zip(trained, wanted, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-3, atol=1e-7)


def test_heads_that_scale_or_learn_in_another_way_take_the_trainers_own_loss(micro: Path) -> None:
    from phases.qlora_training import passes
    from phases.student import model as models

    config = settings(micro)
    base = models.load(config)
    base.requires_grad_(False)
    assert passes.lean(base)
    base.config.final_logit_softcapping = 30.0
    assert not passes.lean(base)
    base.config.final_logit_softcapping = None
    base.get_output_embeddings().weight.requires_grad = True
    assert not passes.lean(base)


def test_a_step_has_the_rows_drawn_in_fewer_passes(micro: Path, tmp_path: Path) -> None:
    by_rows = train(settings(micro, lora_dropout=0.0), tmp_path / "rows")
    by_tokens = train(
        settings(micro, lora_dropout=0.0, micro_batch_of="tokens", max_length=200), tmp_path / "tokens"
    )
    assert by_tokens.said["known"]["losses"] == pytest.approx(by_rows.said["known"]["losses"], rel=1e-4)
    passes = {
        name: end.said["counts"]["ForwardPass --> ComputeLoss"]
        for name, end in (("rows", by_rows), ("tokens", by_tokens))
    }
    assert passes["rows"] == 24
    assert passes["tokens"] == 12


BOTH = [
    (False, Interruption(5)),
    (False, Interruption(9, "pass")),
    (False, Interruption(3, how="stop")),
    (True, Interruption(6)),
]


@pytest.mark.long
@pytest.mark.parametrize(
    ("packing", "at"), BOTH, ids=lambda p: getattr(p, "name", "packed" if p else "padded")
)
def test_by_tokens_too_resumed_weights_are_those_of_an_uninterrupted_training(
    micro: Path, tmp_path: Path, packing: bool, at: Interruption
) -> None:
    changes: dict[str, Any] = {"micro_batch_of": "tokens", "packing": packing}
    config = settings(micro, **changes)
    broken = train(config, tmp_path / "run", at)
    assert broken.code == (STOPPED if at.how == "stop" else -9)
    same(train(config, tmp_path / "run"), uninterrupted(micro, **changes))


def test_by_rows_too_packing_needs_no_flash_attention(micro: Path, tmp_path: Path) -> None:
    packed = train(
        settings(micro, packing=True, max_steps=2, eval_steps=1, save_steps=1), tmp_path / "run", rows=ROWS
    )
    assert packed.said["known"]["ended"] == "all steps"


def test_packing_is_refused_where_rows_would_see_one_another(micro: Path) -> None:
    shape = SimpleNamespace(layer_types=["mamba", "attention"])
    shape.get_text_config = lambda: shape
    preflight.packing(shape, settings(micro))
    with pytest.raises(NotProvided, match="layers of the kind mamba, which carry"):
        preflight.packing(shape, settings(micro, packing=True))
