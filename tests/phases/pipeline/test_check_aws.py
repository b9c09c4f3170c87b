"""`fsm check --aws`: every service asked, every failure in one go, and what may not be asked is not known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm import cli
from phases.pipeline import rights
from phases.rehearsal.stage import LAUNCHER, Stage

CONFIG = Path(__file__).parents[3] / "configs" / "pipeline.yaml"
Rows = dict[str, dict[str, Any]]


@pytest.fixture
def check(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Rows]]:
    """Check configs/pipeline.yaml, some of its sections changed, as the stage's launcher: (exit code, rows by check)."""
    for name, value in stage.environment({"PIPELINE_BUCKET": None, "SAGEMAKER_ROLE": None}).items():
        monkeypatch.setenv(name, value)

    def go(**sections: Any) -> tuple[int, Rows]:
        words = yaml.safe_load(CONFIG.read_text())
        for name, section in {"qlora_training": {"model": "tiny-granite"}, **sections}.items():
            words[name] = {**words.get(name, {}), **section} if isinstance(section, dict) else section
        path = tmp_path / "pipeline.yaml"
        path.write_text(yaml.safe_dump(words))
        code = cli.main(["check", str(path), "--aws", "--json"])
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return code, {row["check"]: row for row in rows if "check" in row}

    return go


@pytest.fixture
def another(stage: Stage) -> str:
    """A role that is for EC2, and may do nothing."""
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = stage.client("iam")
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    return "arn:aws:iam::000000000000:role/other"


@pytest.fixture
def looks(stage: Stage) -> Iterator[None]:
    """The launcher may look at every role, not at its own alone."""
    iam = stage.client("iam")
    allow = {"Effect": "Allow", "Action": "iam:GetRole", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=LAUNCHER, PolicyName="looks", PolicyDocument=policy)
    yield
    iam.delete_user_policy(UserName=LAUNCHER, PolicyName="looks")


def test_a_sound_configuration_on_a_sound_account_passes_every_check(check: Any) -> None:
    code, rows = check()
    assert code == 0, [row for row in rows.values() if row["result"] == "bad"]
    assert {name: row["result"] for name, row in rows.items() if row["result"] != "good"} == {
        "hub": "nothing to check"
    }
    assert {
        "caller",
        "clock",
        "store: conditional write",
        "staging: write",
        "role's trust",
        "image",
    } <= rows.keys()
    assert {"role's rights", "launcher's rights", "quota: ml.g5.2xlarge", "rehearsal: region"} <= rows.keys()
    assert all(row["seconds"] >= 0 for row in rows.values())


def test_everything_that_is_wrong_is_told_at_once_with_what_to_do(
    check: Any, stage: Stage, looks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stage.account.instances, "ml.g5.2xlarge", 0.0)
    monkeypatch.setattr(stage.account, "missing", frozenset({"no-such-tag"}))
    code, rows = check(
        pipeline={"output": "s3://nobody-has-this-bucket/output"},
        sagemaker_job={
            "role": "arn:aws:iam::000000000000:role/nobody",
            "image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-training:no-such-tag",
        },
        teacher_generation={"teacher": {"kind": "bedrock", "model_id": "us.anthropic.nonesuch-v1:0"}},
    )
    assert code == 2
    wrong = {name: row for name, row in rows.items() if row["result"] == "bad"}
    assert {"output: write", "teacher", "role", "quota: ml.g5.2xlarge", "image"} <= wrong.keys()
    assert "request-service-quota-increase" in wrong["quota: ml.g5.2xlarge"]["do"]
    assert "configs/role.yaml" in wrong["role"]["do"]
    assert all(row["do"] for row in wrong.values())


def test_a_role_that_lacks_a_right_is_told_and_one_that_may_not_be_looked_at_is_not_known(
    check: Any, another: str
) -> None:
    _, rows = check(sagemaker_job={"role": another})
    assert rows["role"]["result"] == "not known"
    assert rows["role's rights"]["result"] == "bad"
    assert "s3:PutObject on arn:aws:s3:::rehearsal/fsm/x" in rows["role's rights"]["text"]


def test_a_role_that_sagemaker_may_not_assume_is_told(check: Any, another: str, looks: None) -> None:
    _, rows = check(sagemaker_job={"role": another})
    assert rows["role's trust"]["result"] == "bad"
    assert "sagemaker.amazonaws.com" in rows["role's trust"]["do"]


def test_keys_that_aws_does_not_know_are_told_with_what_needs_them(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    code, rows = check()
    assert code == 2
    assert rows["caller"]["result"] == "bad"
    assert "the teacher on Bedrock, jobs on SageMaker needs it to" in rows["caller"]["text"]
    assert "Renew the credentials" in rows["caller"]["do"]


def test_a_store_at_an_endpoint_of_its_own_is_no_aws_and_asks_for_no_caller(
    check: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ceph, MinIO: it is asked what a run needs of it."""
    endpoint = stage.gate.url
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")  # nobody
    code, rows = check(
        store_options={"endpoint_url": endpoint},
        data_preparation={"source": str(CONFIG.parent / "corpus")},
        teacher_generation={"teacher": {"kind": "offline"}},
        sagemaker_job={"provider": "local", "output": "output", "staging": ""},
        pipeline={"output": "output"},
    )
    assert code == 0, rows
    assert rows["caller"]["result"] == "nothing to check"
    assert rows["store: conditional write"]["result"] == "good"
    assert rows["rehearsal: AWS"]["result"] == "nothing to check"


def test_an_image_that_cannot_resume_is_refused_where_a_job_may_have_to(check: Any) -> None:
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-training:2.5.1-transformers4.49.0-gpu"
    assert check(sagemaker_job={"image": image})[1]["image"]["result"] == "bad"
    assert check(sagemaker_job={"image": image, "spot": False})[1]["image"]["result"] == "good"


def test_a_clock_that_is_off_by_an_hour_is_told(
    check: Any, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime, timedelta

    from phases.pipeline import asking

    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(hours=1)

    monkeypatch.setattr(asking, "datetime", Late)
    code, rows = check()
    assert code == 2
    assert rows["clock"]["result"] == "bad"
    assert "clock is off by 3" in rows["clock"]["text"]


# The template, held against the list of rights, and by a linter


def test_the_template_grants_the_rights_of_the_list_and_no_others() -> None:
    from cfnlint.api import lint_file
    from cfnlint.decode.cfn_yaml import load

    template = CONFIG.parent / "role.yaml"
    assert [str(found) for found in lint_file(template)] == []
    resources = load(str(template))["Resources"]
    job = resources["TrainingRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    launcher = resources["LauncherPolicy"]["Properties"]["PolicyDocument"]
    of = {
        whose: {r.action for r in rights.RIGHTS if r.whose in whose}
        for whose in (("container",), ("launcher", "check"))
    }
    assert _granted(job) == of[("container",)]
    assert _granted(launcher) == of[("launcher", "check")]


def _granted(policy: Any) -> set[str]:
    found: set[str] = set()
    for statement in policy["Statement"]:
        inner = statement["Fn::If"][1] if "Fn::If" in statement else statement
        actions = inner["Action"]
        found |= set(actions if isinstance(actions, list) else [actions])
    return found
