"""configs/role.yaml: sound, exactly what the table of rights says, and enough where policies are enforced."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from fsm import config as configs
from fsm import session
from phases.pipeline.validation import CHECKS, Needs
from phases.pipeline.validation.rights import Account, Right, batches, container, launcher
from phases.rehearsal.policy import ALLOWED, decision, several, statements
from phases.sagemaker_job.role import parameters
from tests.phases.pipeline.aws import CONFIG, SOURCE, Cloud, changed
from tests.phases.pipeline.template import TEMPLATE, of_batches, policies
from tests.servers.process import Server
from tests.servers.s3 import REGION, client, ministack

NUMBER = "111122223333"
ROLE = f"arn:aws:iam::{NUMBER}:role/pipeline"
BATCH = f"arn:aws:iam::{NUMBER}:role/batch"
BATCHED: dict[str, Any] = {
    "teacher_generation": {
        "teacher": {"kind": "bedrock-batch", "batch": {"place": "s3://bucket/batches", "role": BATCH}}
    }
}
KEY = f"arn:aws:kms:us-east-1:{NUMBER}:key/0000"
MODELS = tuple(
    f"arn:aws:bedrock:{region}::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0"
    for region in ("us-east-1", "us-west-2")
)
CALLED = {  # operation -> action, where IAM has another name for it
    "ListObjectsV2": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "Converse": "bedrock:InvokeModel",
}


def test_the_template_is_sound() -> None:
    from cfnlint.api import ManualArgs, lint

    # of one region: IAM is everywhere the same, and in all of them at once every !Sub is tried under every condition
    found = lint(TEMPLATE.read_text(), config=ManualArgs(regions=[REGION], include_experimental=True))
    assert [str(match) for match in found] == []


@pytest.fixture
def rights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """(what the table has for whom, the policy of the template) of configs/pipeline.yaml, with a key, a network and batches or without."""
    monkeypatch.setenv("PIPELINE_BUCKET", "bucket")
    monkeypatch.setenv("SAGEMAKER_ROLE", ROLE)

    def made(whose: Any, much: bool) -> tuple[list[Right], dict[str, Any]]:
        words: dict[str, Any] = {}
        if much:
            words = {"store_options": {"kms_key": KEY}, "sagemaker_job": {"kms": {"volume": KEY}}} | BATCHED
        config = configs.load(changed(tmp_path, **words))
        if much:
            monkeypatch.setattr(Needs, "vpc", property(lambda self: object()))
        account = Account("aws", NUMBER, REGION, ROLE, MODELS)
        more = {"Keys": KEY, "Vpc": "yes"} if much else {}
        wanted = list(whose(Needs.of_config(config), account))
        if whose is batches:
            return wanted, of_batches(config, NUMBER, **more)
        return wanted, policies(config, NUMBER, **more)[whose is launcher]

    return made


@pytest.mark.parametrize(
    ("whose", "much"),
    [(launcher, False), (launcher, True), (container, False), (container, True), (batches, True)],
)
def test_the_template_grants_what_the_table_has_and_nothing_else(rights: Any, whose: Any, much: bool) -> None:
    wanted, policy = rights(whose, much)
    for right in wanted:
        for action in right.actions:
            for resource in right.resources:
                assert decision([policy], action, resource, right.context) == ALLOWED, (action, resource)
    used = {
        (action, resource) for right in wanted for action in right.actions for resource in right.resources
    }
    for statement in statements(policy):
        for action in several(statement["Action"]):
            if action == "sagemaker:AddTags" or statement["Sid"] == "SeeOneself":
                continue  # with tags alone, and of whoever asks
            for resource in several(statement["Resource"]):
                found = any(a == action and fnmatchcase(r, resource) for a, r in used)
                assert found or resource.endswith("TrainingJobs"), f"{action} on {resource} is never used"


def test_nothing_is_allowed_beyond_the_prefixes_and_the_model(rights: Any) -> None:
    for whose in (launcher, container):
        _, policy = rights(whose, False)
        for action, resource, context in (
            ("s3:GetObject", "arn:aws:s3:::bucket/other/secret", {}),
            ("s3:PutObject", f"arn:aws:s3:::{SOURCE}/tsn_data/gate.c", {}),
            ("s3:DeleteObject", "arn:aws:s3:::bucket/fsm/runs/x", {}),
            ("s3:ListBucket", "arn:aws:s3:::bucket", {"s3:prefix": "other/"}),
            (
                "bedrock:InvokeModel",
                "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4",
                {},
            ),
            ("iam:PassRole", ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
        ):
            assert decision([policy], action, resource, context) != ALLOWED, (action, resource)


def test_every_call_of_validation_is_in_the_template(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[str] = set()
    ask: Callable[..., Any] = BaseClient._make_api_call

    def noted(self: Any, operation: str, params: Any) -> Any:
        service = {"service-quotas": "servicequotas"}.get(
            self.meta.service_model.service_name, self.meta.service_model.service_name
        )
        called.add(CALLED.get(operation, f"{service}:{operation}"))
        return ask(self, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    aws.look()
    (policy,) = aws.account.policies
    granted = {action for s in statements(policy) for action in several(s["Action"])}
    assert called - granted == {"sts:GetCallerIdentity"}, "which needs no right"
    assert called >= {
        "iam:SimulatePrincipalPolicy",
        "servicequotas:ListServiceQuotas",
        "ecr:BatchGetImage",
        "s3:PutObject",
    }


# Where policies are enforced


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, aws_environment: None) -> Iterator[Server]:
    """MiniStack that checks signatures and policies."""
    server = ministack(tmp_path_factory.mktemp("guarded"), auth=True)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def deployed(
    guarded: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], configs.Config]:
    """The stack, deployed with the parameters of configs/pipeline.yaml; makes its launcher or its container the caller."""
    root = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}

    def asked(service: str) -> Any:
        return boto3.client(service, endpoint_url=guarded.url, region_name=REGION, **root)

    monkeypatch.setenv("PIPELINE_BUCKET", "bucket")
    monkeypatch.setenv("SAGEMAKER_ROLE", ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL", guarded.url)
    s3 = client(guarded.url, **root)
    for name in ("bucket", SOURCE):
        s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=SOURCE, Key="tsn_data/gate.c", Body=b"int gate(void) { return 0; }\n")
    config = configs.load(CONFIG)
    said = parameters(
        config.program.sections, config.engine.store, config.program.sections["pipeline"].output
    )
    asked("cloudformation").create_stack(
        StackName="pipeline",
        TemplateBody=TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in said.items()],
    )
    while (stack := asked("cloudformation").describe_stacks(StackName="pipeline")["Stacks"][0])[
        "StackStatus"
    ].endswith("PROGRESS"):
        time.sleep(0.05)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    made = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    iam = asked("iam")

    def caller(name: str) -> configs.Config:
        iam.create_user(UserName=name)
        if name == "launcher":
            iam.attach_user_policy(UserName=name, PolicyArn=made["LauncherPolicyArn"])
        else:
            role = made["RoleArn"].rpartition("/")[2]
            document = iam.get_role_policy(RoleName=role, PolicyName="container")["PolicyDocument"]
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        return configs.load(CONFIG)

    return caller


def test_the_deployed_rights_are_enough_and_no_more(
    deployed: Callable[[str], configs.Config], tmp_path: Path
) -> None:
    needs = Needs.of_config(deployed("launcher"))
    assert [one.text for one in CHECKS["S3Access"](needs) if one.bad] == []
    with pytest.raises(ClientError, match="AccessDenied"):
        needs.client("s3").put_object(Bucket="bucket", Key="elsewhere", Body=b"")
    for who in ("launcher", "container"):
        if who == "container":
            deployed(who)
        run = {"name": who}
        source = tmp_path / who
        source.mkdir()
        path = tmp_path / f"{who}.yaml"
        words = {
            "machine": "validation",
            "store": "s3://bucket/fsm",
            "work": str(tmp_path / "work"),
            "run": run,
        }
        words |= {"store_options": {"endpoint_url": needs.client("s3").meta.endpoint_url}, "pipeline": {}}
        words |= {"data_preparation": {"source": str(source)}, "qlora_training": {"model": "tiny-granite"}}
        words |= {"teacher_generation": {"teacher": {"kind": "offline"}}, "sagemaker_job": {}}
        path.write_text(json.dumps(words))
        assert session.run(configs.load(path)).outcome == "done", f"the {who} may keep a journal"
