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
from phases.rehearsal.account import SERVICES, Account
from phases.rehearsal.bedrock import Bedrock
from phases.rehearsal.faults import Mishaps
from phases.rehearsal.instance import Pace
from phases.rehearsal.proxy import Proxy
from phases.rehearsal.sagemaker import SageMaker
from phases.rehearsal.wire import Reply, Request, serving

REGION = "us-east-1"
BUCKET = "rehearsal"
STACK = "fsm"
LAUNCHER = "launcher"
ADMIN = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}  # MiniStack's own
CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass
class Stage:
    """MiniStack, SageMaker, Bedrock and the account's own services, while it is entered; what they keep is in `directory`.

    `bucket` is that of the store and the outputs, `others` are buckets besides, `sources` are filled with the shipped corpus.
    """

    directory: Path
    interpreter: Path
    mishaps: Mishaps = field(default_factory=Mishaps)
    pace: Pace = field(default_factory=lambda: Pace(grace=20.0))
    bucket: str = BUCKET
    others: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    bedrock: Bedrock = field(default_factory=Bedrock)
    account: Account = field(default_factory=Account)
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
            stack.enter_context(self.account.http)
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
            **{f"AWS_ENDPOINT_URL_{s}": self.account.http.url for s in ("SERVICE_QUOTAS", "ECR", "PRICING")},
        }

    def calls(self) -> Counter[tuple[str, str]]:
        """How often what was asked: (service, operation)."""
        asked = Counter(self.gate.operations)
        asked.update({("sagemaker", name): n for name, n in self.sagemaker.http.calls.items()})
        asked.update({(SERVICES[name], name): n for name, n in self.account.http.calls.items()})
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
            words = {"Bucket": self.bucket, **({"Sources": self.sources[0]} if self.sources else {})}
            cloud.create_stack(
                StackName=STACK,
                TemplateBody=(CONFIGS / "role.yaml").read_text("utf-8"),
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in words.items()],
            )
        outputs = cloud.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
        made = {one["OutputKey"]: one["OutputValue"] for one in outputs}
        self.role: str = made["TrainingRoleArn"]
        if LAUNCHER not in [user["UserName"] for user in iam.list_users()["Users"]]:
            iam.create_user(UserName=LAUNCHER)
            iam.attach_user_policy(UserName=LAUNCHER, PolicyArn=made["LauncherPolicyArn"])
            # MiniStack's simulation knows no context, so a right under a condition is none to it
            _allow(iam, "passing", ["iam:PassRole"], [self.role])
            self._further(iam)
        key = iam.create_access_key(UserName=LAUNCHER)["AccessKey"]
        self._keys = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def _further(self, iam: Any) -> None:
        """The template knows one bucket; a configuration with several has them allowed besides."""
        further = sorted({*self.others, *self.sources[1:]})
        if not further:
            return
        of = [f"arn:aws:s3:::{b}{below}" for b in further for below in ("", "/*")]
        _allow(
            iam,
            "further",
            ["s3:ListBucket", "s3:GetObject", "s3:PutObject"],
            of,
            self.role.rpartition("/")[2],
        )


def _allow(iam: Any, name: str, actions: list[str], resources: list[str], role: str = "") -> None:
    """Give the launcher, and a role, a right that the template does not."""
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=LAUNCHER, PolicyName=name, PolicyDocument=text)
    if role:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)


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
