"""`fsm rehearse`: the configuration for AWS, whole and unchanged, down to the client calls, with IAM deciding."""

from __future__ import annotations

import json
import os
import signal
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
from phases.sagemaker_job.config import METRICS
from tests.needs import require
from tests.phases.pipeline.template import policies

ROOT = Path(__file__).parents[3]
SECONDS = 900


def fsm(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = _plain() | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "FSM_CACHE": str(cwd / "cache"),
    }
    command = [sys.executable, "-m", "fsm.cli", *words]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def _plain() -> dict[str, str]:
    apart = ("AWS_", "PYTEST_", "PIPELINE_", "SAGEMAKER_")
    return {k: v for k, v in os.environ.items() if not k.startswith(apart)}


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
    assert job["metrics"].keys() == METRICS.keys(), "every metric of the console is found in the log"
    assert list(tmp_path.rglob("tensorboard-output/*/events.out.tfevents.*")), "and the curves are in S3"
    assert sum(job["steps_again"]) <= 1, "it was taken back with notice"
    assert set(told["dollars"]) == {name.partition(" ")[0] for name in told["calls"]}, (
        "each service has its price"
    )
    seen = {ACTIONS.get(name, ":".join(name.split(" "))) for name in told["calls"]} - {
        "sts:GetCallerIdentity"
    }
    granted = set().union(*map(_actions, _granted()))
    assert seen - granted == set(), "a call that needs a right which the template does not know"
    assert granted - seen == UNSEEN.keys(), "a right that nothing uses, or one of these that is used"


def test_the_smoke_job_runs_whole_and_its_figures_are_told(tmp_path: Path) -> None:
    """Installed, the environment printed, a file of the suite run, a tiny model trained, and the table shown by the launcher."""
    require("ministack")
    words = yaml.safe_load((ROOT / "configs" / "smoke.yaml").read_text())
    words["smoke"]["measure"] = ["step"]
    config = tmp_path / "smoke.yaml"
    config.write_text(yaml.safe_dump(words))
    done = fsm("rehearse", str(config), "--log", "console", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    _, _, table = (done.stdout + done.stderr).partition("what the instance does:")
    assert table, done.stderr
    (row,) = [line.split() for line in table.splitlines() if "a step followed: tokens a second" in line]
    assert all(float(number.replace(",", "")) > 0 for number in row[-2:]), "here, and as the page has it"


def test_a_batch_of_the_teachers_is_rehearsed_with_the_rights_of_the_template(tmp_path: Path) -> None:
    require("ministack")
    batch = {
        "place": "s3://${PIPELINE_BUCKET}/batches",
        "role": "${BATCH_ROLE}",
        "poll_seconds": 0.01,
        "minimum": 1,
    }
    words = {
        "machine": "teacher_generation",
        "store": "s3://${PIPELINE_BUCKET}/fsm",
        "teacher_generation": {
            "prompts": None,
            "generated": 12,
            "teacher": {"kind": "bedrock-batch", "batch": batch},
        },
    }
    config = tmp_path / "batch.yaml"
    config.write_text(yaml.safe_dump(words))
    done = fsm("rehearse", str(config), "--log", "none", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["calls"]["bedrock CreateModelInvocationJob"] == 1
    assert "bedrock Converse" not in told["calls"]
    seen = {ACTIONS.get(name, ":".join(name.split(" "))) for name in told["calls"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_BUCKET", "rehearsal")
        patch.setenv("BATCH_ROLE", "arn:aws:iam::000000000000:role/batch")
        _, launcher = policies(configs.load(config), "000000000000")
    granted = _actions(launcher)
    assert seen - granted == set()
    assert {a for a in granted if "ModelInvocation" in a} <= seen


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
UNSEEN = {
    "s3:ListMultipartUploadParts": "an upload of a large artifact goes on where it was broken off",
    "s3:AbortMultipartUpload": "or is given up",
    "s3:ListBucketMultipartUploads": "and is found again",
    "s3:GetBucketPolicy": "a bucket that wants to be written to in its own way",
    "iam:PassRole": "asked by SageMaker of CreateTrainingJob: no call of its own",
    "sagemaker:StopTrainingJob": "fsm stop",
    "sagemaker:ListTrainingJobs": "fsm jobs",
    "sagemaker:AddTags": "sagemaker_job.tags",
    "servicequotas:ListAWSDefaultServiceQuotas": "an account without a value of its own",
    "pricing:GetProducts": "fsm launch --dry-run, fsm jobs",
    "logs:GetLogEvents": "fsm logs, and a job that failed",
    "logs:DescribeLogStreams": "likewise; and by the service, as the job's role",
    "logs:CreateLogGroup": "by the service, as the job's role",
    "logs:CreateLogStream": "by the service, as the job's role",
    "logs:PutLogEvents": "by the service, as the job's role",
    "cloudwatch:PutMetricData": "by the service, as the job's role",
    "ecr:GetAuthorizationToken": "by the service, as the job's role",
    "ecr:BatchCheckLayerAvailability": "by the service, as the job's role",
}
"""Rights of which the calls of a rehearsal on a plain bucket show nothing: what each is for."""


def _granted() -> tuple[Any, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_BUCKET", "rehearsal")
        patch.setenv("SAGEMAKER_ROLE", "arn:aws:iam::000000000000:role/rehearsal")
        return policies(configs.load(ROOT / "configs" / "pipeline.yaml"), "000000000000")


def _actions(policy: Any) -> set[str]:
    return {action for one in statements(policy) for action in several(one["Action"])}


def test_the_services_are_served_alone_for_ones_own_client(tmp_path: Path) -> None:
    require("ministack")
    environment = {**_plain(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "fsm.cli", "rehearse", "--serve"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as serving:
        try:
            assert serving.stdout is not None
            said = {}
            while "SAGEMAKER_ROLE" not in said:  # the last of them
                line = serving.stdout.readline()
                assert line, "it has ended"
                name, _, value = line.removeprefix("export ").strip().partition("=")
                said[name] = value
            probe = (
                "import boto3; c = boto3.client; c('s3').put_object(Bucket='rehearsal', Key='fsm/x', Body=b''); "
                "print(c('sts').get_caller_identity()['Arn'], c('sagemaker').list_training_jobs()['TrainingJobSummaries'])"
            )
            asked = subprocess.run(
                [sys.executable, "-c", probe],
                env={**_plain(), **said},
                capture_output=True,
                text=True,
                check=False,
            )
            assert asked.stdout.strip() == "arn:aws:iam::000000000000:user/launcher []", asked.stderr
        finally:
            serving.send_signal(signal.SIGTERM)
    assert serving.returncode == 0


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
