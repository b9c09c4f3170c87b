"""The benchmark of the 8B, on its tiny shape: the same code, without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import qlora_8b
from benchmarks.granite_8b import base, broken_off, sizes, steps


def _model(shape: sizes.Shape, **others: object) -> object:
    from transformers import AutoModelForCausalLM, GraniteConfig

    return AutoModelForCausalLM.from_config(GraniteConfig(**shape, **others))


@pytest.mark.parametrize("shape", [sizes.GRANITE_8B, sizes.TINY], ids=["8b", "tiny"])
def test_parameters_are_counted_as_the_model_has_them(shape: sizes.Shape) -> None:
    from peft import LoraConfig, get_peft_model

    with torch.device("meta"):
        model = _model(shape)
        counted = sizes.parameters(shape, rank=4)
        assert sum(p.numel() for p in model.parameters()) == counted["all"]  # type: ignore[attr-defined]
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == counted["lora"]


def test_the_arithmetic_of_a_step_is_what_torch_counts() -> None:
    from dataclasses import replace

    from peft import LoraConfig, get_peft_model
    from torch.utils.flop_counter import FlopCounterMode

    shape = {**sizes.TINY, "num_hidden_layers": 8}
    model = get_peft_model(
        _model(shape, attn_implementation="eager"),
        LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    model.enable_input_require_grads()
    ids = torch.zeros(2, 24, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    # eager attention multiplies all pairs; the benchmark counts the causal half
    squares = 2 * (2 * 24**2)
    counted = sizes.arithmetic(replace(sizes.SMALL, shape=shape), 48, squares, 48)
    assert counter.get_total_flops() == pytest.approx(counted, rel=0.01)


def test_a_clock_sees_the_same_rows_packed_or_padded() -> None:
    clock = steps.Clock()
    clock.begin()
    ids = torch.ones(2, 5, dtype=torch.long)
    clock.saw({"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])})
    clock.begin()
    packed = torch.ones(1, 7, dtype=torch.long)
    clock.saw({"input_ids": packed, "position_ids": torch.tensor([[0, 1, 2, 3, 4, 0, 1]])})
    assert clock.totals(1)[:2] == (7, 29)
    assert clock.totals(0)[:2] == (14, 58)


def test_lengths_keep_within_what_training_takes() -> None:
    import random

    drawn = base.lengths(random.Random(1), 500, 4096)
    assert min(drawn) >= 256
    assert max(drawn) < 4096
    assert len(set(drawn)) > 300


def test_a_difference_is_measured_and_equal_adapters_have_none() -> None:
    from safetensors.torch import save

    one = save({"a": torch.tensor([3.0, 4.0]), "b": torch.zeros(2)})
    other = save({"a": torch.tensor([3.0, 3.5]), "b": torch.zeros(2)})
    assert broken_off.difference(one, one) == {"largest": 0.0, "relative": 0.0}
    assert broken_off.difference(one, other) == {"largest": 0.5, "relative": 0.1}


def test_without_a_gpu_it_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert qlora_8b.main([]) == 2
    assert "--laptop" in capsys.readouterr().err


def test_the_tiny_shape_is_trained_and_survives_without_a_gpu(tmp_path: Path) -> None:
    output = tmp_path / "found.json"
    order = ["--tiny", "--work", str(tmp_path), "--output", str(output), "--parts", "step", "memory"]
    assert qlora_8b.main(order) == 0
    found = json.loads(output.read_text())
    trained = found["step"]["sdpa"]
    assert set(trained) == {
        "bare",
        "bare fp32",
        "followed",
        "by tokens",
        "by tokens, kept",
        "by tokens, packed",
    }
    assert all(how["model_flops_utilisation"] > 0 for how in trained.values())
    assert trained["followed"]["tokens"] == trained["bare"]["tokens"]
    assert found["step"]["walk / step"] > 0
    assert found["model"]["shards"] > 1
    assert found["memory"]["halved_to"] == [[2, 2]]
