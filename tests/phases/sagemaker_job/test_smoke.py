"""The smoke job: wherever it is begun it finds the project's tests, and what it measures is told as a table."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phases.errors import NotProvided
from phases.sagemaker_job import measured, smoke
from phases.sagemaker_job.config import SmokeConfig


def context(where: Path, **settings: Any) -> Any:
    def workdir(name: str) -> Path:
        (where / name).mkdir(parents=True, exist_ok=True)
        return where / name

    return SimpleNamespace(
        config=SmokeConfig(**settings), data={}, workdir=workdir, put=lambda name, content: None
    )


@pytest.mark.parametrize(("measure", "label"), [([], "Tests complete"), (["step"], "Model to be measured")])
def test_from_another_directory_the_projects_own_tests_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measure: list[str], label: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ctx = context(tmp_path, tests=["tests/fsm/test_errors.py"], measure=measure)
    assert smoke.run_pytest(ctx) == label
    assert ctx.data["tests"]["exit"] == 0
    assert ctx.data["tests"]["passed"] >= 1


def test_tests_that_are_nowhere_are_no_trouble_with_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        NotProvided, match=r"smoke\.tests \(tests/nowhere\) named no tests in .* or .*: "
    ) as e:
        smoke.run_pytest(context(tmp_path, tests=["tests/nowhere"]))
    assert "image" not in str(e.value)


def test_without_the_benchmark_it_is_said_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "ROOT", tmp_path)
    with pytest.raises(NotProvided, match=r"qlora_8b\.py, which is not there"):
        smoke.measure_model(context(tmp_path, measure=["step"]))


HERE = {
    "machine": {"device": "NVIDIA A10G", "versions": {"torch": "2.9.0"}},
    "step": {
        "sdpa": {
            "followed": {
                "tokens_per_second": 1234.5,
                "model_flops_utilisation": 0.312,
                "peak": {"reserved": 17_300_000_000},
            }
        }
    },
    "generation": {"ways": {"batches of 32": {"tokens_per_second": 400.4}}},
}


def test_what_was_measured_stands_beside_the_pages_figures() -> None:
    found = {row.what: (row.here, row.there) for row in measured.rows(HERE, measured.reference("tiny"))}
    assert found["device"][0] == "NVIDIA A10G"
    assert found["a step followed: peak memory"] == ("17.3 GB", None)
    assert found["a step followed: model FLOPs utilisation"][0] == "31.2%"
    assert found["generation batches of 32: tokens a second"] == ("400", None)
    page = json.loads((measured.RESULTS / "qlora_8b_tiny.json").read_text())
    rate = page["generation"]["ways"]["one by one"]["tokens_per_second"]
    assert found["generation one by one: tokens a second"] == (None, f"{rate:,.0f}")
    lines = measured.table(HERE, {}).splitlines()
    assert lines[0].split() == ["this", "instance", "docs/gpu.md"]
    assert all(line.endswith("not measured") for line in lines[1:])


@pytest.mark.parametrize("shape", ["short", "full", "laptop", "tiny"])
def test_every_shape_has_its_page_or_none(shape: str) -> None:
    found = measured.reference(shape)
    assert not found or "machine" in found
