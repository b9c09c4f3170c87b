"""Settings of training that cannot be meant, or do not fit the model or the rows: found before a model is loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from phases.distillation.config import DistillationConfig
from phases.qlora_training import data
from phases.student import model as models
from phases.student import preflight
from phases.student.config import QLoRAConfig
from tests.phases.qlora_training.door import lines, run, training
from tests.phases.qlora_training.micro import ROWS, settings


def refused(model: type[BaseModel], said: Mapping[str, Any]) -> str:
    """What is said of it; empty where it is taken."""
    try:
        model.model_validate(said)
    except ValidationError as e:
        return "; ".join(error["msg"] for error in e.errors())
    return ""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"learning_rate": math.inf}, "finite number"),
        ({"max_grad_norm": math.nan}, "finite number"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"learning_rate": 20}, "less than or equal to 1"),
        ({"lora_dropout": 1.0}, "less than 1"),
        ({"max_steps": 0}, "would train nothing"),
        ({"max_steps": -2}, "greater than or equal to -1"),
        ({"epochs": 0}, "greater than 0"),
        ({"micro_batch": 0}, "greater than or equal to 1"),
        ({"max_dropped_share": 1.5}, "less than or equal to 1"),
        ({"schedule": "polinomial"}, "'linear', 'cosine', 'constant' or 'constant_with_warmup'"),
        ({"optimizer": "adam"}, "'adamw_torch'"),
        ({"target_modules": []}, "at least 1 item"),
        ({"target_modules": [""]}, "at least 1 character"),
        ({"revision": ""}, "at least 1 character"),
        ({"tiny_student": {"seed": 2**32}}, "less than 4294967296"),
        ({"tiny_student": {"seed": -1}}, "greater than or equal to 0"),
    ],
    ids=lambda said: json.dumps(said) if isinstance(said, dict) else "",
)
def test_a_setting_out_of_its_range_is_refused(said: dict[str, Any], words: str) -> None:
    assert words in refused(QLoRAConfig, said)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"domains": []}, "at least 1 item"),
        ({"eval_prompts": 0}, "greater than or equal to 1"),
        ({"held_out_prompts": 0}, "greater than or equal to 1"),
        ({"sampling": {"top_p": 0}}, "greater than 0"),
        ({"sampling": {"temperature": math.inf}}, "finite number"),
        ({"corrections": {"compiles_at": 11}}, "less than or equal to 10"),
    ],
)
def test_a_loop_that_would_judge_by_nothing_is_refused(said: dict[str, Any], words: str) -> None:
    assert words in refused(DistillationConfig, said)


def test_schedules_and_optimizers_are_ones_that_the_trainer_has() -> None:
    from transformers import SchedulerType
    from transformers.training_args import OptimizerNames

    def offered(name: str) -> set[str]:
        return set(get_args(QLoRAConfig.model_fields[name].annotation))

    assert offered("schedule") <= {s.value for s in SchedulerType}
    assert offered("optimizer") <= {o.value for o in OptimizerNames}


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (["q_proj", "v_prj"], "target_modules names v_prj"),
        (["v_prj"], "did you mean 'v_proj'?"),
        (["c_attn"], "has no such layer to adapt. It has: "),
        (["norm"], "target_modules names norm"),
        (["proj"], "target_modules names proj"),
    ],
)
def test_modules_that_the_model_lacks(micro: Path, modules: list[str], words: str) -> None:
    config = settings(micro, target_modules=tuple(modules))
    with pytest.raises(Exception, match="no such layer") as raised:
        preflight.modules(models.shape(config), config)
    assert words in str(raised.value)
    assert "q_proj, k_proj, v_proj, o_proj" in str(raised.value)


@pytest.mark.parametrize("modules", ["all-linear", ("q_proj", "v_proj"), ("self_attn.q_proj",)])
def test_modules_that_the_model_has(micro: Path, modules: Any) -> None:
    config = settings(micro, target_modules=modules)
    preflight.modules(models.shape(config), config)


def long_row(words: int) -> dict[str, Any]:
    answer = {"role": "assistant", "content": "add " * words}
    return {"messages": [{"role": "user", "content": "Write add."}, answer]}


def began(root: Path, base: Path, *rows: Any, **changes: Any) -> Any:
    (root / "rows.jsonl").write_text(lines(*rows))
    said = training(
        base, train=str(root / "rows.jsonl"), validation=str(root / "none"), max_steps=1, **changes
    )
    return run(root, "qlora_training", {"qlora_training": said})


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model's weights may be read."""

    def load(config: Any) -> Any:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(models, "load", load)


@pytest.mark.usefixtures("unloaded")
def test_a_length_that_drops_a_fifth_of_the_rows_is_found_before_the_model_is_loaded(
    micro: Path, tmp_path: Path
) -> None:
    came = began(tmp_path, micro, *ROWS[:6], *(long_row(200 + n) for n in range(6)))
    assert came.code == 3
    assert "6 of 11 rows (55%) are longer than max_length 128 tokens" in came.said  # one row is held out
    assert "max_dropped_share allows 20%" in came.said


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_modules": ["q_proj", "w_proj"]}, "target_modules names w_proj"),
        ({"revision": "v1"}, "is a directory, which has no revisions"),
    ],
)
def test_what_the_model_lacks_is_found_before_it_is_loaded(
    micro: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    came = began(tmp_path, micro, *ROWS, **changes)
    assert came.code == 3
    assert words in came.said


def test_the_length_that_is_named_is_enough_and_one_less_is_not() -> None:
    bound = data.Bound(10)
    some = data.Example((1,), (1,))
    rows = data.Tokenized((some,) * 6, (6, 7, 8, 9), (40, 20, 30, 11), bound)
    with pytest.raises(
        Exception, match=r"Raise max_length: 20 tokens would be enough, 40 would keep all"
    ) as e:
        rows.require(0.2, "train.jsonl")
    assert "4 of 10 rows (40%)" in str(e.value)
    rows.require(0.4, "train.jsonl")
    kept_at_20 = data.Tokenized((some,) * 8, (6, 8), (40, 30), data.Bound(20))
    kept_at_20.require(0.2, "train.jsonl")
    kept_at_19 = data.Tokenized((some,) * 7, (6, 7, 8), (40, 20, 30), data.Bound(19))
    with pytest.raises(Exception, match="30%"):
        kept_at_19.require(0.2, "train.jsonl")
