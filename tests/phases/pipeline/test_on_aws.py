"""Validation of configs/pipeline.yaml: every state a real call, all failures at once, each with its state in Diagram 8."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fsm import config as configs
from fsm import session
from fsm.engine import Nobody
from phases.errors import RoleNotFound
from phases.pipeline.output import MARK, mark
from phases.pipeline.validation import CHECKS, Finding, Needs, Result
from phases.rehearsal.account import SONNET, Network, Role
from phases.rehearsal.policy import statements
from tests.phases.pipeline.aws import CONFIG, SPOT, TAG, Cloud, changed
from tests.phases.pipeline.template import of_batches, policies

KIND = "ml.g5.2xlarge"
Words = dict[str, dict[str, Any]]
BEDROCKS = {
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
}


def test_an_account_that_has_everything_passes(aws: Cloud) -> None:
    found = aws.look()
    worst = {check: {one.result for one in ones} - {Result.GOOD} for check, ones in found.items()}
    assert worst == {check: set() for check in CHECKS} | {"HFToken": {Result.WARNING}}
    assert [asked["inferenceConfig"]["maxTokens"] for asked in aws.converse] == [1], (
        "one question, of one token"
    )


@dataclass(frozen=True)
class Bad:
    """What is amiss, the check that finds it, the entry state of Diagram 8, and what is said of it and to be done."""

    name: str
    amiss: Callable[[Cloud, pytest.MonkeyPatch], Words | None]
    check: str
    entry: str
    says: str
    do: str


def _unset(aws: Cloud, patch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.delenv(name)


def _elsewhere(aws: Cloud, patch: pytest.MonkeyPatch) -> Words:
    region = {"LocationConstraint": "eu-central-1"}
    aws.s3.create_bucket(Bucket=f"{aws.bucket}-eu", CreateBucketConfiguration=region)
    return {"sagemaker_job": {"staging": f"s3://{aws.bucket}-eu/staging"}}


def _untrusted(aws: Cloud, patch: pytest.MonkeyPatch) -> None:
    aws.account.roles["pipeline"].trust = {
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    }


def _bounded(aws: Cloud, patch: pytest.MonkeyPatch) -> None:
    aws.account.roles["pipeline"].boundary = {
        "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    }


def _network(**said: Any) -> Callable[[Cloud, pytest.MonkeyPatch], None]:
    def amiss(aws: Cloud, patch: pytest.MonkeyPatch) -> None:
        aws.account.network = network = Network(**said)
        vpc = type("Vpc", (), {"subnets": (network.subnet,)})()
        patch.setattr(Needs, "vpc", property(lambda self: vpc))

    return amiss


def _set(**said: Any) -> Callable[[Cloud, pytest.MonkeyPatch], None]:
    def amiss(aws: Cloud, patch: pytest.MonkeyPatch) -> None:
        for name, value in said.items():
            setattr(aws.account, name, value)

    return amiss


def _job(**said: Any) -> Callable[[Cloud, pytest.MonkeyPatch], Words]:
    return lambda aws, patch: {"sagemaker_job": said}


def _warm(aws: Cloud, patch: pytest.MonkeyPatch) -> Words:
    aws.account.quotas[f"{KIND} for training job usage"] = 1.0
    return {"sagemaker_job": {"spot": False, "warm_pool_seconds": 600}}


BAD = [
    Bad("no credentials", _unset, "AWSCredentials", "NoCredentials", "there are no credentials", "Set AWS_ACCESS_KEY_ID"),
    Bad("expired credentials", _set(keys={"testing": "expired"}), "AWSCredentials", "NoCredentials", "expired", "Set AWS_ACCESS"),
    Bad("unknown credentials", _set(keys={}), "AWSCredentials", "NoCredentials", "InvalidClientTokenId", "Set AWS_ACCESS"),
    Bad("a clock an hour behind", _set(clock=timedelta(hours=1)), "AWSCredentials", "NoCredentials",
        "this machine's clock is 60 minutes behind that of AWS", "NTP"),
    Bad("a clock an hour ahead", _set(clock=-timedelta(hours=1)), "AWSCredentials", "NoCredentials",
        "this machine's clock is 60 minutes ahead of that of AWS", "NTP"),
    Bad("a region that is none", _job(region="us-esat-1"), "ConfigCheck", "NoCredentials", "'us-esat-1'", "us-east-1"),
    Bad("a bucket in another region", _elsewhere, "S3Access", "EmptyDataset", "is in eu-central-1, and jobs run in us-east-1",
        "Set sagemaker_job.region to eu-central-1"),
    Bad("no bucket", lambda aws, patch: {"pipeline": {"output": "s3://no-such-bucket-anywhere/x"}}, "S3Access", "EmptyDataset",
        "NoSuchBucket", "Create the bucket"),
    Bad("a model that is refused", lambda aws, patch: setattr(aws, "answer", None), "BedrockAuth", "AccessDenied",
        "does not answer", ""),
    Bad("a model that is not there", _set(models={}), "BedrockAuth", "AccessDenied", "Name a model, or an inference profile", ""),
    Bad("no role", _set(roles={}), "IAMRole", "RoleNotFound", "there is no role pipeline", "aws cloudformation deploy"),
    Bad("no role named", _job(role=""), "IAMRole", "RoleNotFound", "role is empty", "aws cloudformation deploy"),
    Bad("a role by its name", _job(role="pipeline"), "IAMRole", "RoleNotFound", "takes a role by its ARN",
        "arn:aws:iam::111122223333:role/pipeline"),
    Bad("a role of another account", _job(role="arn:aws:iam::999988887777:role/pipeline"), "IAMRole", "RoleNotFound",
        "is of account 999988887777", "aws cloudformation deploy"),
    Bad("a role that SageMaker can't assume", _untrusted, "IAMRole", "RoleNotFound", "SageMaker cannot assume", "update-assume-role-policy"),
    Bad("a permissions boundary", _bounded, "IAMRole", "AccessDenied", "its permissions boundary does not allow it",
        "have it widened"),
    Bad("a launcher without rights", _set(policies=[]), "IAMRole", "AccessDenied", "s3:GetObject on arn:aws:s3:::granite", "LauncherPolicy"),
    Bad("no quota", _set(quotas={SPOT: 0.0}), "ConfigCheck", "ContainerError",
        f"may have 0 of {SPOT}, and the job wants 1", "Service Quotas console"),
    Bad("no quota of a warm pool", _warm, "ConfigCheck", "ContainerError",
        "may have 0 of ml.g5.2xlarge for training warm pool usage, and the job wants 1", "warm_pool_seconds: 0"),
    Bad("an instance type that is none", _job(instance_type="ml.g9.mega"), "ConfigCheck", "ContainerError",
        "us-east-1 has no ml.g9.mega", "Name an instance type"),
    Bad("an image that does not exist", _set(images={"huggingface-pytorch-training:1.0": "amd64"}), "ConfigCheck", "ContainerError",
        f"{TAG} is not in ECR", "aws ecr list-images"),
    Bad("an image of another architecture", _set(images={f"huggingface-pytorch-training:{TAG}": "arm64"}), "ConfigCheck",
        "ContainerError", "is made for arm64, and the instance is x86_64", "same architecture"),
    Bad("an image of another region", _job(image="763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-training:1"),
        "ConfigCheck", "ContainerError", "the image is in eu-west-1", "{region}"),
    Bad("a subnet without a way to S3", _network(endpoint=False, gateway="igw-1"), "ConfigCheck", "ContainerError",
        "has no way to S3", "create-vpc-endpoint"),
]  # fmt: skip


def test_a_warm_pool_that_the_account_may_have_is_good(aws: Cloud, tmp_path: Path) -> None:
    aws.account.quotas[f"{KIND} for training job usage"] = 1.0
    aws.account.quotas[f"{KIND} for training warm pool usage"] = 1.0
    path = changed(tmp_path, sagemaker_job={"spot": False, "warm_pool_seconds": 600})
    found = list(CHECKS["ConfigCheck"](Needs.of_config(configs.load(path))))
    assert not [one for one in found if one.bad]
    assert f"the account may keep 1 of {KIND} warm" in [one.text for one in found]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name.replace(" ", "-"))
def test_what_is_amiss_is_found_by_its_check_and_enters_its_state(
    bad: Bad, aws: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = bad.amiss(aws, monkeypatch) or {}
    needs = Needs.of_config(configs.load(changed(tmp_path, **words)))
    found = [one for one in CHECKS[bad.check](needs) if one.bad]
    (one,) = [one for one in found if bad.says in one.text]
    assert one.error is not None
    assert (one.error.recovery, one.do) == (bad.entry, one.do)
    assert bad.do in one.do


@pytest.mark.parametrize(
    ("role", "says"),
    [
        (None, "there is no role batch"),
        (Role(), "Bedrock cannot assume the role batch"),
        (Role(trust=BEDROCKS), "may not s3:ListBucket on arn:aws:s3:::"),
    ],
)
def test_the_role_of_a_batch_is_asked_for_like_that_of_a_job(
    role: Role | None, says: str, aws: Cloud, tmp_path: Path
) -> None:
    arn = aws.account.role_arn("batch")
    batch = {"kind": "bedrock-batch", "batch": {"place": f"s3://{aws.bucket}/batches", "role": arn}}
    config = configs.load(changed(tmp_path, teacher_generation={"teacher": batch}))
    aws.account.policies = [policies(config, aws.account.number)[1]]
    if role is not None:
        aws.account.roles["batch"] = role
    found = [one for one in CHECKS["IAMRole"](Needs.of_config(config)) if one.bad]
    assert [one.error for one in found] == [RoleNotFound]
    assert says in found[0].text
    assert "BatchBucket=" in found[0].do
    aws.account.roles["batch"] = Role(trust=BEDROCKS, policies=[of_batches(config, aws.account.number)])
    assert not [one for one in CHECKS["IAMRole"](Needs.of_config(config)) if one.bad]


@pytest.mark.parametrize(
    ("network", "result"),
    [({"endpoint": True}, Result.GOOD), ({"endpoint": False, "gateway": "nat-1"}, Result.WARNING)],
)
def test_a_subnet_reaches_s3_by_an_endpoint_or_a_nat_gateway(
    network: dict[str, Any], result: Result, aws: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    _network(**network)(aws, monkeypatch)
    (one,) = [f for f in CHECKS["ConfigCheck"](Needs.of_config(configs.load(CONFIG))) if "subnet" in f.text]
    assert one.result is result


def test_what_the_caller_may_not_ask_is_not_known_and_fails_nothing(aws: Cloud) -> None:
    asked = ("iam:GetRole", "iam:SimulatePrincipalPolicy", "servicequotas:ListServiceQuotas", "ec2:DescribeInstanceTypes",
             "ecr:BatchGetImage")  # fmt: skip
    aws.account.denied = {*asked, "bedrock:GetInferenceProfile", "bedrock:GetFoundationModel"}
    found = [one for ones in aws.look().values() for one in ones]
    assert not [one for one in found if one.bad]
    unknown = [one for one in found if one.result is Result.UNKNOWN]
    assert len(unknown) == len(asked) + 1, "the launcher's rights, and the role's"
    assert all("the caller may not ask" in one.text and one.do for one in unknown), (
        "with what follows from it"
    )


def test_a_right_that_the_launcher_lacks_is_named_with_what_it_is_for(aws: Cloud) -> None:
    (policy,) = aws.account.policies
    kept = [s for s in statements(policy) if s["Sid"] != "GiveRole"]
    aws.account.policies = [{**policy, "Statement": kept}]
    (one,) = [f for f in CHECKS["IAMRole"](Needs.of_config(configs.load(CONFIG))) if f.bad]
    assert one.text.endswith(
        "may not iam:PassRole on arn:aws:iam::111122223333:role/pipeline (no policy allows it; for giving the job its role)"
    )


def test_a_right_that_the_buckets_own_policy_may_give_is_a_warning(aws: Cloud) -> None:
    (policy,) = aws.account.roles["pipeline"].policies
    kept = [s for s in statements(policy) if s["Sid"] != "Places"]
    aws.account.roles["pipeline"].policies = [{**policy, "Statement": kept}]
    check = CHECKS["IAMRole"]
    assert [f.error for f in check(Needs.of_config(configs.load(CONFIG))) if f.bad] == [RoleNotFound]
    gives = {
        "Effect": "Allow",
        "Principal": {"AWS": aws.account.role_arn("pipeline")},
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{aws.bucket}/*",
    }
    aws.s3.put_bucket_policy(
        Bucket=aws.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [gives]})
    )
    found = list(check(Needs.of_config(configs.load(CONFIG))))
    assert not [f for f in found if f.bad]
    assert any(f.result is Result.WARNING and "The policy of the bucket" in f.do for f in found)


def test_a_model_at_the_end_of_its_life_is_a_warning(aws: Cloud) -> None:
    aws.account.models[SONNET] = ("LEGACY", datetime(2027, 3, 1, tzinfo=UTC))
    found = CHECKS["BedrockAuth"](Needs.of_config(configs.load(CONFIG)))
    (one,) = [f for f in found if f.result is Result.WARNING]
    assert "is offered until 2027-03-01" in one.text


def test_where_aws_does_not_know_the_caller_nothing_else_of_it_is_asked(aws: Cloud) -> None:
    aws.account.keys = {}
    found = aws.look()
    assert set(aws.account.calls) == {("sts", "GetCallerIdentity")}
    assert {check for check, ones in found.items() if any(one.bad for one in ones)} == {"AWSCredentials"}
    assert {one.result for one in found["ImportCheck"]} == {Result.GOOD}, (
        "what is here is looked at all the same"
    )


@pytest.mark.parametrize(("whose", "free"), [("another's", False), ("granite-8b-automotive", True)])
def test_an_output_prefix_that_is_not_empty_is_refused_but_where_it_is_the_runs_own(
    whose: str, free: bool, aws: Cloud
) -> None:
    key = "output/distillation/granite-8b-automotive/model.tar.gz"
    said = {MARK: mark(f"s3://{aws.bucket}/fsm", whose)}
    aws.s3.put_object(Bucket=aws.bucket, Key=key, Body=b"weights", Metadata=said)
    found = list(CHECKS["S3Access"](Needs.of_config(configs.load(CONFIG))))
    if free:
        assert not [one for one in found if one.bad]
        return
    (one,) = [one for one in found if one.bad]
    assert one.error is not None
    assert (one.error.recovery, "is not empty" in one.text) == ("EmptyDataset", True)
    assert "aws s3 mv" in one.do
    assert "--run" in one.do


# A bucket's policy


def test_a_bucket_whose_policy_wants_kms_is_told_by_its_policy(
    aws: Cloud, proxied: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wants = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{aws.bucket}/*",
             "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}}  # fmt: skip
    aws.s3.put_bucket_policy(
        Bucket=aws.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [wants]})
    )
    proxy = proxied(lambda request: "403 AccessDenied: explicit deny" if request.method == "PUT" else "none")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    found = [one for one in CHECKS["S3Access"](Needs.of_config(configs.load(CONFIG))) if one.bad]
    assert {one.error.recovery for one in found if one.error} == {"AccessDenied"}
    assert "Set store_options.sse: aws:kms" in found[0].do


def test_a_bucket_of_another_account_is_refused_and_said(
    aws: Cloud, proxied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = proxied(lambda request: "403 AccessDenied: Access Denied")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    found = [one for one in CHECKS["S3Access"](Needs.of_config(configs.load(CONFIG))) if one.bad]
    assert len(found) == 5, "every place, in one go"
    assert all(one.error and one.error.recovery == "AccessDenied" for one in found)
    assert all("s3:ListBucket" in one.do and "another account" in one.do for one in found)


# A store that is not Amazon's


def test_a_store_with_its_own_endpoint_is_asked_without_aws(
    aws: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    endpoint = aws.s3.meta.endpoint_url
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    found = _local(tmp_path, store=f"s3://{aws.bucket}/fsm?endpoint_url={endpoint}")
    assert [one.text for one in found["AWSCredentials"]] == [
        "nothing to check: no part of this configuration is on AWS"
    ]
    assert [one.text.partition(" ")[2] for one in found["S3Access"][:2]] == [
        "can be listed (0+ objects)",
        "can be read and written, and holds conditions",
    ]
    assert not aws.account.calls


def test_an_s3_endpoint_of_the_environment_alone_is_no_aws_either(
    aws: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    found = _local(tmp_path, store=f"s3://{aws.bucket}/fsm")
    assert found["AWSCredentials"][0].result is Result.IDLE
    assert not [one for one in found["S3Access"] if one.bad]


def _local(where: Path, **words: Any) -> dict[str, list[Finding]]:
    path = where / "local.yaml"
    source = where / "source"
    source.mkdir()
    path.write_text(
        json.dumps(
            {
                "machine": "validation",
                "data_preparation": {"source": str(source)},
                "teacher_generation": {"teacher": {"kind": "offline"}},
                "sagemaker_job": {},
                "qlora_training": {"model": "tiny-granite"},
                "pipeline": {},
                **words,
            }
        )
    )
    needs = Needs.of_config(configs.load(path))
    return {name: list(CHECKS[name](needs)) for name in ("AWSCredentials", "S3Access", "IAMRole")}


# In a run: the drawn edges, Diagram 8, and on again


def test_a_run_tells_all_that_failed_in_diagram_8_and_goes_on_when_it_is_mended(
    aws: Cloud, tmp_path: Path
) -> None:
    role = aws.account.roles.pop("pipeline")
    aws.account.quotas = {SPOT: 0.0}
    path = changed(tmp_path, machine="validation", work=str(tmp_path / "work"))
    seen: list[dict[str, Any]] = []

    class Look(Nobody):
        def record(self, record: Any) -> None:
            seen.append(dict(record))

    outcome = session.run(configs.load(path), observer=Look())
    assert outcome.outcome == "stopped"
    walked = [(r["from"].rpartition(".")[2], r["label"]) for r in seen if r["kind"] == "transition"]
    assert ("IAMRole", "Role missing") in walked
    assert [state for state, _ in walked][-2:] == ["RoleNotFound", "DeployCloudFormation"]
    for said in (
        "there is no role pipeline",
        "aws cloudformation deploy",
        SPOT,
        "give the same command again",
    ):
        assert said in outcome.message
    aws.account.roles["pipeline"] = role
    aws.account.quotas = {SPOT: 1.0}
    seen.clear()
    assert session.run(configs.load(path), observer=Look()).outcome == "done"
    labels = [r["label"] for r in seen if r["kind"] == "transition"]
    assert labels[:2] == ["Mended", "Valid"]
