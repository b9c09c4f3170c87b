"""The versions that a job finds: one file, which the page shows and the project's own requirements agree with."""

from __future__ import annotations

import pytest

from phases.sagemaker_job import versions
from phases.sagemaker_job.config import SageMakerJobConfig
from tests import declared
from tests.versions.__main__ import PAGE, page


def test_the_page_shows_what_the_file_says() -> None:
    text = PAGE.read_text("utf-8")
    assert page(text) == text, "python -m tests.versions --page"


def test_the_default_image_is_known_and_has_what_is_needed() -> None:
    there = versions.of_image(SageMakerJobConfig().image)
    assert versions.needs().keys() <= there.keys()
    assert versions.unmet(there) == []


def test_what_is_needed_is_what_the_project_requires() -> None:
    required = {one.name: str(one.specifier) for one in declared.NEEDED}
    required["python"] = declared.PROJECT["requires-python"]
    assert {n: w for n, w in versions.needs().items() if n != "torch"} == {
        n: required[n] for n in versions.needs() if n != "torch"
    }, "torch is pinned for this machine; what a job needs of it is what can resume"


@pytest.mark.parametrize(
    ("tag", "unmet"),
    [
        ("2.5.1-transformers4.49.0-gpu-py311-cu124-ubuntu22.04", ["torch 2.5.1", "transformers 4.49.0"]),
        ("2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04", []),
        ("2.9.0-transformers5.4.0-gpu-py310-cu130-ubuntu22.04", ["python 3.10"]),
        ("latest", []),
    ],
)
def test_an_image_is_told_by_its_tag(tag: str, unmet: list[str]) -> None:
    found = versions.unmet(versions.of_image(f"1.dkr.ecr.x.amazonaws.com/huggingface-pytorch-training:{tag}"))
    assert sorted(one.partition(",")[0] for one in found) == sorted(unmet)
