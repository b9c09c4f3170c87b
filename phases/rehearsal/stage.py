"""The stage of a rehearsal: every service that a configuration asks, on the loopback, and the environment to find them in.

MiniStack decides by IAM here: `configs/role.yaml` is deployed to it with the configuration's own parameters, the launcher is a
user with its policy, and a job's containers have a session with its role's policies. What the template forgets, a rehearsal is denied.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fsm import config as configs
from phases import CONFIGS
from phases.rehearsal import ministack
from phases.rehearsal.account import Account, Role
from phases.rehearsal.bedrock import Bedrock
from phases.rehearsal.faults import Mishaps
from phases.rehearsal.instance import Pace
from phases.rehearsal.modelled import by_path
from phases.rehearsal.proxy import Proxy
from phases.rehearsal.sagemaker import SageMaker
from phases.rehearsal.wire import Reply, Request, serving
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.image import Image
from phases.sagemaker_job.role import TEMPLATE, parameters

REGION = "us-east-1"
BUCKET = "rehearsal"
STACK = "fsm-pipeline"
LAUNCHER, SESSION = "launcher", "training-job"
NUMBER = "000000000000"  # MiniStack's account
PROPOSED = f"arn:aws:iam::{NUMBER}:role/rehearsal"  # until the stack has made one
QUOTA = 4.0  # instances of each type that the configuration names
ADMIN = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}  # MiniStack's own
ROOT = Path(__file__).parents[2]
ASKED = {"sts": "STS", "iam": "IAM", "service-quotas": "SERVICE_QUOTAS", "ecr": "ECR", "ec2": "EC2"}
"""Services of the account, and what the variables of their endpoints end with."""


@dataclass
class Stage:
    """MiniStack, SageMaker, Bedrock and the account's own services, while it is entered; what they keep is in `directory`.

    `script` is the configuration that is rehearsed, `variables` those that it names.
    """

    directory: Path
    interpreter: Path
    script: Path
    variables: Mapping[str, str | None] = field(default_factory=dict)
    mishaps: Mishaps = field(default_factory=Mishaps)
    pace: Pace = field(default_factory=lambda: Pace(grace=20.0))
    bedrock: Bedrock = field(default_factory=Bedrock)
    account: Account = field(default_factory=lambda: Account(NUMBER, LAUNCHER))
    _asked: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._server = ministack.server(self.directory / "ministack", self.interpreter, auth=True)
            self._server.start()
            stack.callback(self._server.kill)
            self.gate = stack.enter_context(Proxy(self._server.port, self.mishaps.of_stack))
            self._furnish()
            self.sagemaker = SageMaker(
                self.directory / "sagemaker",
                self.client,
                REGION,
                self.mishaps.of_sagemaker,
                pace=self.pace,
                environment=self._of_container,
            )
            self.mishaps.set_up(self.sagemaker)
            stack.enter_context(self.sagemaker)
            self._account = stack.enter_context(serving(self.account)).url
            self._bedrock = stack.enter_context(serving(self._counted)).url
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.close()

    def client(self, service: str) -> Any:
        """A client of MiniStack for the stage itself, past whatever goes wrong on the way of others."""
        import boto3

        session = boto3.Session(region_name=REGION, **ADMIN)
        return session.client(service, endpoint_url=self._server.url)

    def environment(self) -> dict[str, str]:
        """The launcher's: its keys, the endpoints, and of the variables that the configuration names those that are not set."""
        return self._named(self.role, self.of_batches) | self._settings() | self._keys

    def _named(self, role: str, of_batches: str) -> dict[str, str]:
        meant = {"BATCH_ROLE": of_batches, "ROLE": role, "BUCKET": BUCKET}
        of = {n: next((value for word, value in meant.items() if word in n), "") for n in self.variables}
        return {name: value for name, value in of.items() if value and name not in os.environ}

    def _of_container(self) -> dict[str, str]:
        """A container's: a session of the job's role."""
        given = self.client("sts").assume_role(RoleArn=self._session, RoleSessionName="training-job")[
            "Credentials"
        ]
        return self._settings() | {
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
        }

    def _settings(self) -> dict[str, str]:
        return {
            **_PLAIN,
            "AWS_ENDPOINT_URL": self.gate.url,
            "AWS_ENDPOINT_URL_SAGEMAKER": self.sagemaker.url,
            "AWS_ENDPOINT_URL_BEDROCK": self._bedrock,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self._bedrock,
            **{f"AWS_ENDPOINT_URL_{name}": self._account for name in ASKED.values()},
        }

    def calls(self) -> Counter[tuple[str, str]]:
        """How often what was asked: (service, operation)."""
        asked = Counter(self.gate.operations)
        asked.update({("sagemaker", name): n for name, n in self.sagemaker.http.calls.items()})
        asked.update({("bedrock", name): n for name, n in self._asked.items()})
        asked.update(self.account.calls)
        return asked

    def _counted(self, request: Request) -> Reply:
        """Bedrock, its operations counted."""
        service = "bedrock-runtime" if request.path.startswith("/model/") else "bedrock"
        self._asked[by_path(service, request)[0]] += 1
        return self.bedrock(request)

    # What is in the account

    def _furnish(self) -> None:
        """Buckets, the stack of the template, a user that may launch, and what the account says of itself."""
        with apart(self._named(PROPOSED, PROPOSED) | _PLAIN):
            config = configs.load(self.script)
        sections = config.program.sections
        output = sections["pipeline"].output if "pipeline" in sections else ""
        words = parameters(sections, config.engine.store, output)
        self._buckets(words)
        self._deploy(words)
        job = sections.get("sagemaker_job") or SageMakerJobConfig()
        kinds = job.instance_types
        uses = ("training job", "spot training job", "training warm pool")
        self.account.quotas = {f"{kind} for {use} usage": QUOTA for kind in kinds for use in uses}
        self.account.types |= {k.removeprefix("ml."): "x86_64" for k in kinds}
        if image := Image.read(job.image.format(region=job.region)):
            self.account.images[f"{image.repository}:{image.tag}"] = "amd64"

    def _buckets(self, words: Mapping[str, str]) -> None:
        s3 = self.client("s3")
        there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        for bucket in sorted({v for k, v in words.items() if k.endswith("Bucket")} - there):
            s3.create_bucket(Bucket=bucket)
        if (source := words.get("SourceBucket")) and source not in there:
            corpus = CONFIGS / "corpus"
            for path in sorted(p for p in corpus.rglob("*") if p.is_file()):
                s3.upload_file(
                    str(path), source, f"{words.get('SourcePrefix', '')}{path.relative_to(corpus)}"
                )

    def _deploy(self, words: Mapping[str, str]) -> None:
        iam, cloud = self.client("iam"), self.client("cloudformation")
        if STACK not in [one["StackName"] for one in cloud.list_stacks()["StackSummaries"]]:
            # what a configuration leaves to a directory or asks nobody for still has to be named
            given = dict.fromkeys(("StoreBucket", "JobsBucket", "StagingBucket"), BUCKET) | dict(words)
            cloud.create_stack(
                StackName=STACK,
                TemplateBody=(CONFIGS.parent / TEMPLATE).read_text("utf-8"),
                Capabilities=["CAPABILITY_IAM"],
                Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
            )
        outputs = cloud.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
        made = {one["OutputKey"]: one["OutputValue"] for one in outputs}
        self.role: str = made["RoleArn"]
        policy = made["LauncherPolicyArn"]
        if LAUNCHER not in [user["UserName"] for user in iam.list_users()["Users"]]:
            iam.create_user(UserName=LAUNCHER)
            iam.attach_user_policy(UserName=LAUNCHER, PolicyArn=policy)
        key = iam.create_access_key(UserName=LAUNCHER)["AccessKey"]
        self._keys = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
        # the account simulates with conditions, which MiniStack's simulation does not know
        self.account.keys = {key["AccessKeyId"]: ""}
        name = self.role.rpartition("/")[2]
        version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=policy, VersionId=version)["PolicyVersion"]["Document"]
        self.account.policies = [_document(found)]
        of_role = _policies(iam, name)
        self.account.roles = {name: Role(policies=of_role)}
        self.of_batches = made.get("BatchRoleArn", "")
        if self.of_batches:
            self.account.roles |= self._of_bedrock(iam, self.of_batches.rpartition("/")[2])
        self._session = self._for_sessions(iam, of_role)

    def _of_bedrock(self, iam: Any, name: str) -> dict[str, Role]:
        """The role of the teacher's batches, which Bedrock reads and writes as."""
        self.bedrock.s3 = self.client("s3")
        self.bedrock.minimum = 1  # a rehearsal asks a few
        trust = _document(iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"])
        return {name: Role(trust, _policies(iam, name))}

    def _for_sessions(self, iam: Any, policies: list[Mapping[str, Any]]) -> str:
        """A role with the same policies that the stage itself may assume: the template's is SageMaker's alone."""
        if SESSION not in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
            trust = {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{NUMBER}:root"},
                "Action": "sts:AssumeRole",
            }
            text = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
            iam.create_role(RoleName=SESSION, AssumeRolePolicyDocument=text)
            for number, document in enumerate(policies):
                iam.put_role_policy(
                    RoleName=SESSION, PolicyName=f"job-{number}", PolicyDocument=json.dumps(document)
                )
        return f"arn:aws:iam::{NUMBER}:role/{SESSION}"


def _policies(iam: Any, role: str) -> list[Mapping[str, Any]]:
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return [_document(iam.get_role_policy(RoleName=role, PolicyName=n)["PolicyDocument"]) for n in names]


def _document(found: Any) -> Mapping[str, Any]:
    read: Mapping[str, Any] = json.loads(found) if isinstance(found, str) else found
    return read


_PLAIN = {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@contextmanager
def apart(settings: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with nothing of a real account's in it, and `settings`, while inside."""
    before = dict(os.environ)
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
