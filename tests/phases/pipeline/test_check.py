"""`fsm check --aws`, and what the hub is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm import cli
from fsm import config as configs
from phases.pipeline.validation import CHECKS, Needs, Result
from phases.rehearsal.wire import Reply, Request, said, serving
from tests.phases.pipeline.aws import ROOT, Cloud, changed

LOCAL = ROOT / "configs" / "local.yaml"


def test_a_local_configuration_is_checked_without_aws(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # where nobody answers
    assert cli.main(["check", "--aws", str(LOCAL)]) == 0
    table = capsys.readouterr().out
    rows = [line.split("  ")[0] for line in table.splitlines() if line[:1].isalpha()]
    assert rows == ["check", *CHECKS]
    assert table.splitlines()[-1].endswith("9 findings: 6 ok, 3 nothing to check")


def test_everything_that_is_amiss_is_in_one_table(
    aws: Cloud, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    aws.account.roles.clear()
    aws.account.images.clear()
    path = changed(tmp_path, qlora_training={"model": "tiny-granite"})
    assert cli.main(["check", "--aws", "--json", str(path)]) == 2
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rows = [row for row in told if "check" in row]  # the rest is what can be said without asking anybody
    failed = [(row["check"], row["enters"]) for row in rows if row["result"] == Result.FAILED.value]
    assert failed == [("IAMRole", "RoleNotFound"), ("ConfigCheck", "ContainerError")]
    assert all(row["do"] for row in rows if row["result"] == Result.FAILED.value)


def test_an_image_whose_libraries_are_too_old_is_refused(aws: Cloud, tmp_path: Path) -> None:
    tag = "2.5.1-transformers4.49.0-gpu-py311-cu124-ubuntu22.04"
    image = f"763104351884.dkr.ecr.{{region}}.amazonaws.com/huggingface-pytorch-training:{tag}"
    needs = Needs.of_config(configs.load(changed(tmp_path, sagemaker_job={"image": image})))
    (one,) = [f for f in CHECKS["ImportCheck"](needs) if f.bad]
    assert "torch 2.5.1, and >=2.6 is needed" in one.text
    assert "transformers 4.49.0" in one.text


def test_what_ones_own_code_imports_must_come_along(
    aws: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mill.py").write_text(
        "import json\nimport polars\nimport yaml\ntry:\n    import ujson\nexcept ImportError:\n    ujson = json\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for requirements, lacking in (
        ([], ["the container has no polars (mill.py imports it)"]),
        (["polars>=1"], []),
    ):
        path = changed(tmp_path, sagemaker_job={"packages": ["mill"], "requirements": requirements})
        found = [f.text for f in CHECKS["ImportCheck"](Needs.of_config(configs.load(path))) if f.bad]
        assert found == lacking
    path = changed(tmp_path, sagemaker_job={"requirements": ["polars>=1", "rich", "ujson==5.12.0"]})
    found = [
        f.text
        for f in CHECKS["ImportCheck"](Needs.of_config(configs.load(path)))
        if f.result is Result.WARNING
    ]
    assert found == ["sagemaker_job.requirements leaves open which version is installed of polars>=1"]
    path = changed(tmp_path, sagemaker_job={"packages": ["mill"]})
    (tmp_path / "mill.py").write_text("def grind(:\n")
    (one,) = [f for f in CHECKS["ScriptSyntax"](Needs.of_config(configs.load(path))) if f.bad]
    assert "mill.py is not valid Python" in one.text


# The hub


class Hub:
    """As much of the Hugging Face hub as is asked: who a token is, and whether it is let at a model."""

    def __init__(self, gated: bool = False) -> None:
        self.gated = gated

    def __call__(self, request: Request) -> Reply:
        if request.headers.get("authorization") != "Bearer hf_right":
            return said({"error": "Invalid credentials in Authorization header"}, status=401)
        if request.path == "/api/whoami-v2":
            return said({"name": "someone", "type": "user"})
        if self.gated:
            return said({"error": "gated"}, status=403, headers={"X-Error-Code": "GatedRepo"})
        return said({})


@pytest.mark.parametrize(
    ("token", "gated", "result", "says"),
    [
        ("hf_right", False, Result.GOOD, "the hub lets the token at ibm-granite/granite-4.1-8b"),
        ("hf_right", True, Result.WARNING, "GatedRepoError"),
        ("hf_wrong", False, Result.WARNING, "the hub does not know the token"),
    ],
)
def test_the_hub_is_asked_who_it_is_and_for_the_model(
    token: str,
    gated: bool,
    result: Result,
    says: str,
    aws: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from huggingface_hub import constants

    needs = Needs.of_config(configs.load(changed(tmp_path, pipeline={"hf_token": token})))
    with serving(Hub(gated)) as place:
        monkeypatch.setattr(constants, "ENDPOINT", place.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        [unasked] = CHECKS["HFToken"](needs)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        last: Any = list(CHECKS["HFToken"](needs))[-1]
    assert unasked.result is Result.UNKNOWN
    assert last.result is result
    assert says in last.text
    assert bool(last.do) is (result is Result.WARNING)
