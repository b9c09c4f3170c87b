"""An adapter is equal bytes for equal weights, and fits its own base only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phases.errors import InvalidStructure
from phases.student import adapters, model
from tests.phases.qlora_training.micro import settings


def student(micro: Path, seed: int = 7, **changes: Any) -> Any:
    config = settings(micro, **changes)
    return model.apply_lora(model.prepare(model.load(config), config), config, seed)


def test_equal_weights_are_equal_bytes(micro: Path) -> None:
    one, other = student(micro), student(micro)
    assert adapters.weights(one) == adapters.weights(other)
    assert adapters.weights(one) != adapters.weights(student(micro, seed=8))


def test_weights_go_into_a_model_and_come_out_again(micro: Path) -> None:
    one, other = student(micro), student(micro, seed=8)
    adapters.load(other, adapters.weights(one))
    assert adapters.weights(other) == adapters.weights(one)


def test_the_configuration_does_not_depend_on_hashing_or_directories(micro: Path) -> None:
    said = json.loads(adapters.config(student(micro), "tiny-granite"))
    assert said["base_model_name_or_path"] == "tiny-granite"
    assert said["target_modules"] == sorted(said["target_modules"])
    assert (said["r"], said["lora_alpha"]) == (4, 8)
    assert str(micro) not in json.dumps(said)


def test_an_adapter_of_another_shape_is_refused(micro: Path) -> None:
    with pytest.raises(InvalidStructure, match="not one of this model"):
        adapters.load(student(micro), adapters.weights(student(micro, lora_rank=2)))


def test_an_adapter_of_another_base_is_refused(micro: Path) -> None:
    said = adapters.config(student(micro), "ibm-granite/granite-4.1-8b")
    adapters.check_base(said, "ibm-granite/granite-4.1-8b")
    with pytest.raises(InvalidStructure, match="An adapter fits its own base only"):
        adapters.check_base(said, "tiny-granite")
