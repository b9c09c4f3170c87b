from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.phases.distillation.store import CLAIM, artifacts, step, write
from tests.phases.qlora_training.conftest import micro
from tests.phases.qlora_training.micro import C_TEXTS, RECIPE, settings

__all__ = ["learned", "micro", "wider"]

PROMPTS = [f"Write add_{n} for the {domain} gate." for n in range(4) for domain in ("TSN", "AVB")]


@pytest.fixture(scope="session")
def wider(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a micro Granite of another width."""
    from phases.student import tiny

    recipe = RECIPE.model_copy(update={"width": 64})
    return tiny.build(recipe, C_TEXTS, tmp_path_factory.mktemp("wider"))


@pytest.fixture(scope="session")
def learned(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a finished distillation of a micro student in nf4, and the pipeline it was the job of.

    Its adapter was not trained but drawn at random; all else is as a run leaves it.
    """
    import torch

    from phases.distillation import student
    from phases.distillation.config import DistillationConfig
    from phases.quality_scoring import score_many
    from phases.student import processor
    from phases.student.config import TINY
    from phases.student.generate import answers
    from phases.student.session import BASE_FILES, Session

    training = settings(micro, quantization="nf4", target_modules="all-linear")
    distilling = DistillationConfig.model_validate(
        {"sampling": {"max_new_tokens": 24, "max_prompt_tokens": 64, "batch": 4}}
    )
    one = Session(training, str(micro), student.derived(42, "adapter")).use(None)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, weight in one.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    adapter = one.weights()
    draws = student.derived(42, "sampling")
    made = dict(answers(one.model, one.tokenizer, PROMPTS, distilling.sampling, draws))
    said = [made[n] for n in range(len(PROMPTS))]
    scores = score_many([(o.text, o.prompt) for o in said])
    where = "distillation/epoch-1"
    content: dict[str, bytes | Path] = {
        **{f"distillation/base/{n}": micro / n for n in BASE_FILES if (micro / n).is_file()},
        f"{where}/report.json": artifacts()[f"{where}/report.json"],
        f"{where}/held_out_outputs.jsonl": _lines(o.to_json() for o in said),
        f"{where}/held_out_scores.jsonl": _lines(
            {"prompt": o.prompt, **s.as_dict()} for o, s in zip(said, scores, strict=True)
        ),
        "distillation/model/adapter_model.safetensors": adapter,
        "distillation/model/training.json": json.dumps({"processor": processor.kind()}).encode(),
    }
    config = {
        "qlora_training": training.model_dump(mode="json") | {"model": TINY},
        "distillation": distilling.model_dump(mode="json"),
    }
    store = tmp_path_factory.mktemp("learned")
    whole = step(
        "distillation",
        "SaveMetrics",
        [],
        files=sorted(content),
        end={"outcome": "done", "label": None, "last": "SaveMetrics"},
    )
    write(store, "distillation-local", [CLAIM, whole], content, config=config)
    launched = step(
        "pipeline",
        "TrainingLaunch",
        ["IterativeDistillation"],
        data={"set": {"job": {"job": "j", "run": "distillation-local"}}},
    )
    write(store, "local", [CLAIM, launched], {}, machine="pipeline")
    return store


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
