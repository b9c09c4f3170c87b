"""The stage of a rehearsal: every service that a configuration asks, on the loopback, and the environment to find them in.

MiniStack decides by IAM here. `configs/role.yaml` is deployed to it, the launcher is a user with its policy, and a job's
containers have a session of its role: what the template forgets, a rehearsal is denied.
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

from phases.rehearsal import ministack
from phases.rehearsal.account import SERVICES, Account, Role
from phases.rehearsal.bedrock import Bedrock
from phases.rehearsal.faults import Mishaps
from phases.rehearsal.instance import Pace
from phases.rehearsal.proxy import Proxy
from phases.rehearsal.sagemaker import SageMaker
from phases.rehearsal.wire import Reply, Request, serving
from phases.sagemaker_job.prices import LISTED

REGION = "us-east-1"
BUCKET = "rehearsal"
STACK = "fsm"
LAUNCHER = "launcher"
ROOT = "arn:aws:iam::000000000000:root"
ADMIN = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}  # MiniStack's own
CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass
class Stage:
    """MiniStack, SageMaker, Bedrock and the account's own services, while it is entered; what they keep is in `directory`.

    `bucket` is that of the store and the outputs, `others` are buckets besides, `sources` are filled with the shipped corpus.
    `parameters` are those of configs/role.yaml; without them all of `bucket` is allowed.
    """

    directory: Path
    interpreter: Path
    mishaps: Mishaps = field(default_factory=Mishaps)
    pace: Pace = field(default_factory=lambda: Pace(grace=20.0))
    bucket: str = BUCKET
    others: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    bedrock: Bedrock = field(default_factory=Bedrock)
    parameters: Mapping[str, str] = field(default_factory=dict)
    account: Account = field(default_factory=lambda: Account(number="000000000000", images={"*": "amd64"}))
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

    def environment(self, named: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The launcher's: its keys, the endpoints, and of the variables `named` by a configuration those that are not set."""
        own = {n: v for n in named or () if n not in os.environ and (v := self._of(n))}
        return own | self._settings() | self._keys

    def _of(self, name: str) -> str:
        if "ROLE" in name:
            return self.role
        return self.bucket if "BUCKET" in name else ""

    def _of_container(self) -> dict[str, str]:
        """A container's: a session of the job's role."""
        given = self.client("sts").assume_role(RoleArn=self.role, RoleSessionName="training-job")[
            "Credentials"
        ]
        return self._settings() | {
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
        }

    def _settings(self) -> dict[str, str]:
        return {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL": self.gate.url,
            "AWS_ENDPOINT_URL_SAGEMAKER": self.sagemaker.url,
            "AWS_ENDPOINT_URL_BEDROCK": self._bedrock,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self._bedrock,
            # MiniStack's simulation of IAM knows no conditions, and some services it has not
            **{f"AWS_ENDPOINT_URL_{s}": self._account for s in ("IAM", "SERVICE_QUOTAS", "ECR", "PRICING")},
        }

    def calls(self) -> Counter[tuple[str, str]]:
        """How often what was asked: (service, operation)."""
        asked = Counter(self.gate.operations)
        asked.update({("sagemaker", name): n for name, n in self.sagemaker.http.calls.items()})
        signed = {boto: name for name, boto in SERVICES.items()}
        asked.update((signed[service], name) for service, name in self.account.calls)
        asked.update({("bedrock", name): n for name, n in self._asked.items()})
        return asked

    def _counted(self, request: Request) -> Reply:
        """Bedrock, its operations counted."""
        steps = request.steps
        name = {"foundation-models": "GetFoundationModel", "inference-profiles": "GetInferenceProfile"}.get(
            steps[0]
        )
        self._asked[name or {"converse": "Converse"}.get(steps[-1], steps[-1])] += 1
        return self.bedrock(request)

    def _furnish(self) -> None:
        """Buckets, the stack of configs/role.yaml, and a user that may launch."""
        s3, iam, cloud = self.client("s3"), self.client("iam"), self.client("cloudformation")
        there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        for bucket in sorted({self.bucket, *self.others, *self.sources} - there):
            s3.create_bucket(Bucket=bucket)
            corpus = CONFIGS / "corpus" if bucket in self.sources else self.directory / "nothing"
            for path in sorted(p for p in corpus.rglob("*") if p.is_file()):
                s3.upload_file(str(path), bucket, str(path.relative_to(corpus)))
        if STACK not in [one["StackName"] for one in cloud.list_stacks()["StackSummaries"]]:
            whole = {f"{place}Bucket": self.bucket for place in ("Store", "Output", "Jobs", "Staging")}
            words = self.parameters or whole | {name.replace("Bucket", "Prefix"): "" for name in whole}
            cloud.create_stack(
                StackName=STACK,
                TemplateBody=(CONFIGS / "role.yaml").read_text("utf-8"),
                Capabilities=["CAPABILITY_IAM"],
                Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in words.items()],
            )
        outputs = cloud.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
        made = {one["OutputKey"]: one["OutputValue"] for one in outputs}
        self.role: str = made["RoleArn"]
        if LAUNCHER not in [user["UserName"] for user in iam.list_users()["Users"]]:
            iam.create_user(UserName=LAUNCHER)
            iam.attach_user_policy(UserName=LAUNCHER, PolicyArn=made["LauncherPolicyArn"])
        self._simulated(iam, made["LauncherPolicyArn"])
        key = iam.create_access_key(UserName=LAUNCHER)["AccessKey"]
        self.account.keys[key["AccessKeyId"]] = ""
        self._keys = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def _simulated(self, iam: Any, policy: str) -> None:
        """Tell the account, which answers for IAM, what was deployed."""
        name = self.role.rpartition("/")[2]
        own = iam.get_role_policy(RoleName=name, PolicyName="container")["PolicyDocument"]
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=policy, VersionId=version)["PolicyVersion"]
        self.account.caller = LAUNCHER
        self.account.policies = [found["Document"]]
        self.account.roles[name] = Role(trust=trust, policies=[own])
        # SageMaker alone may assume it, and here the stage does that in SageMaker's place
        stage = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"}
        opened = {**trust, "Statement": [*trust["Statement"], stage]}
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(opened))
        for kind in LISTED:
            for spot in ("", "spot "):
                self.account.quotas[f"{kind} for {spot}training job usage"] = 4.0


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
