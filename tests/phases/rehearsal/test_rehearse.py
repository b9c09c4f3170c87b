"""`fsm rehearse`: the configuration for AWS, whole and unchanged, down to the client calls, with IAM deciding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm import config as configs
from phases.rehearsal import ministack, script
from phases.rehearsal.faults import Mishaps
from phases.rehearsal.policy import several, statements
from tests.needs import require
from tests.phases.pipeline.template import policies

ROOT = Path(__file__).parents[3]
SECONDS = 900


def fsm(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    plain = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("AWS_", "PYTEST_", "PIPELINE_", "SAGEMAKER_"))
    }
    environment = plain | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "FSM_CACHE": str(cwd / "cache")}
    command = [sys.executable, "-m", "fsm.cli", *words]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_the_whole_pipeline_is_rehearsed_through_the_loss_of_its_spot_instance(tmp_path: Path) -> None:
    """What the template does not grant would be denied, and what it grants is used: by the calls that were seen."""
    require("ministack")
    words = ("--fault", "spot-interruption", "--log", "none", "--json")
    done = fsm("rehearse", str(ROOT / "configs" / "pipeline.yaml"), *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    (job,) = told["jobs"]
    assert (told["starts"], told["faults"], job["status"]) == (1, ["spot-interruption"], "Completed")
    assert job["secondary"].count("Training") == 2, "it went on in another instance"
    assert told["calls"]["sagemaker CreateTrainingJob"] == 1
    assert set(told["dollars"]) == {"s3", "bedrock"}
    seen = {ACTIONS.get(name, ":".join(name.split(" "))) for name in told["calls"]} - {
        "sts:GetCallerIdentity"
    }
    granted = set().union(*map(_actions, _granted()))
    assert seen - granted == set(), "a call that needs a right which the template does not know"
    assert {a for a in granted if a.startswith("s3:")} - seen <= SELDOM, (
        "a right on buckets that nothing uses"
    )


ACTIONS = {
    "s3 ListObjectsV2": "s3:ListBucket",
    "s3 HeadObject": "s3:GetObject",
    "s3 HeadBucket": "s3:ListBucket",
    "s3 GET location": "s3:GetBucketLocation",
    "s3 GET policy": "s3:GetBucketPolicy",
    "s3 GET uploads": "s3:ListBucketMultipartUploads",
    "s3 POST": "s3:PutObject",
    "s3 GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3 GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "bedrock Converse": "bedrock:InvokeModel",
    "service-quotas ListServiceQuotas": "servicequotas:ListServiceQuotas",
    "service-quotas ListAWSDefaultServiceQuotas": "servicequotas:ListAWSDefaultServiceQuotas",
}
"""Operations whose action has another name."""
SELDOM = {
    *(
        "s3:ListMultipartUploadParts",
        "s3:AbortMultipartUpload",
        "s3:ListBucketMultipartUploads",
    ),  # of large artifacts
    "s3:GetBucketPolicy",  # where a bucket wants to be written to in its own way
}
"""Rights of which a tiny student on a plain bucket makes no use."""


def _granted() -> tuple[Any, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_BUCKET", "rehearsal")
        patch.setenv("SAGEMAKER_ROLE", "arn:aws:iam::000000000000:role/rehearsal")
        return policies(configs.load(ROOT / "configs" / "pipeline.yaml"), "000000000000")


def _actions(policy: Any) -> set[str]:
    return {action for one in statements(policy) for action in several(one["Action"])}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fault", "earthquake"), "No fault is called earthquake. There are: spot-interruption"),
        (("--faults", "7"), "--faults 7: give seed:N"),
        ((), "Name the configuration to rehearse"),
    ],
)
def test_what_cannot_be_rehearsed_is_said(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = fsm("rehearse", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_stack_is_the_one_that_the_tests_have() -> None:
    assert (ROOT / "tests" / "needs" / "ministack.txt").read_text().split() == [
        f"ministack=={ministack.VERSION}"
    ]


def test_a_configuration_is_rehearsed_as_it_is_but_for_what_is_laid_over(tmp_path: Path) -> None:
    target = tmp_path / "rehearsed.yaml"
    variables = script.rehearsed(ROOT / "configs" / "pipeline.yaml", target)
    written, given = (yaml.safe_load(p.read_text()) for p in (target, ROOT / "configs" / "pipeline.yaml"))
    assert {"PIPELINE_BUCKET", "SAGEMAKER_ROLE"} <= variables.keys()
    for section, words in given.items():
        laid = script.TINY.get(section, {})
        kept = {k: v for k, v in words.items() if k not in laid} if isinstance(words, dict) else words
        found = written[section]
        assert kept == ({k: found[k] for k in kept} if isinstance(words, dict) else found)


def test_several_hosts_have_a_pass_of_every_step_each(tmp_path: Path) -> None:
    given = tmp_path / "given.yaml"
    job = "sagemaker_job: {provider: sagemaker, instance_count: 2, ranks_per_host: 2}\n"
    given.write_text(f"machine: pipeline\n{job}qlora_training: {{model: x}}\n")
    script.rehearsed(given, tmp_path / "rehearsed.yaml")
    written = yaml.safe_load((tmp_path / "rehearsed.yaml").read_text())
    assert written["qlora_training"]["gradient_accumulation_steps"] == 4


def test_a_seeded_schedule_is_the_same_for_the_same_seed_and_a_mended_fault_stays_mended() -> None:
    def plan(seed: int) -> list[str]:
        mishaps = Mishaps(seed=seed)
        return [mishaps.of_sagemaker("DescribeTrainingJob", n) for n in range(200)]

    assert plan(1) == plan(1) != plan(2)
    assert 5 < sum(map(bool, plan(1))) < 50
    expiring = Mishaps(frozenset({"expired-token"}))
    assert expiring.of_sagemaker("DescribeTrainingJob", 9) == "400 ExpiredTokenException"
    assert expiring.mended()
    assert expiring.of_sagemaker("DescribeTrainingJob", 10) == ""
    assert not expiring.mended()
