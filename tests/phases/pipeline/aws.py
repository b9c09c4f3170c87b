"""An AWS account with all that configs/pipeline.yaml needs: MiniStack for S3, a loopback account for the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm import config as configs
from phases.pipeline.validation import Finding, Needs, look
from phases.rehearsal.account import Account, Role
from phases.rehearsal.wire import Reply, Request, refusal, said, serving
from phases.teacher_generation import teachers
from tests.phases.pipeline.template import policies
from tests.servers.process import Server
from tests.servers.s3 import client

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "configs" / "pipeline.yaml"
TAG = "2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04"
SPOT = "ml.g5.2xlarge for spot training job usage"
SOURCE = "granite-8b-unified-automotive-data"


@dataclass
class Cloud:
    """The account behind the endpoints of the environment. `answer` is what a model says; None where it is refused."""

    account: Account
    s3: Any
    bucket: str
    answer: str | None = "ready"
    converse: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        if not request.path.startswith("/model/"):
            return self.account(request)
        self.converse.append(request.json())
        if self.answer is None:
            return refusal(
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
            )
        message = {"role": "assistant", "content": [{"text": self.answer}]}
        usage = {"inputTokens": 12, "outputTokens": 1, "totalTokens": 13}
        return said(
            {
                "output": {"message": message},
                "stopReason": "max_tokens",
                "usage": usage,
                "metrics": {"latencyMs": 1},
            }
        )

    def look(self, path: Path = CONFIG) -> dict[str, list[Finding]]:
        """What all checks find, by check."""
        found: dict[str, list[Finding]] = {}
        for check, one in look(Needs.of_config(configs.load(path))):
            found.setdefault(check, []).append(one)
        return found


@contextmanager
def cloud(server: Server, bucket: str, patch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An account in which nothing is amiss, at the endpoints of the environment."""
    s3 = client(server.url)
    for name in (bucket, SOURCE):
        s3.create_bucket(Bucket=name)
        s3.put_public_access_block(
            Bucket=name,
            PublicAccessBlockConfiguration=dict.fromkeys(
                ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
            ),
        )
    s3.put_object(Bucket=SOURCE, Key="tsn_data/gate.c", Body=b"int gate(void) { return 0; }\n")
    account = Account()
    patch.setenv("PIPELINE_BUCKET", bucket)
    patch.setenv("SAGEMAKER_ROLE", account.role_arn("pipeline"))
    container, launcher = policies(configs.load(CONFIG), account.number)
    account.roles["pipeline"] = Role(policies=[container])
    account.policies = [launcher]
    account.quotas = {SPOT: 1.0, "ml.g5.2xlarge for training job usage": 0.0}
    account.images = {f"huggingface-pytorch-training:{TAG}": "amd64"}
    made = Cloud(account, s3, bucket)
    teachers._made.clear()  # a client keeps the endpoint that it was made for
    with serving(made) as place:
        patch.setenv("AWS_ENDPOINT_URL", place.url)
        patch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield made


def changed(where: Path, **sections: Any) -> Path:
    """configs/pipeline.yaml with some keys set otherwise: of a section those that are named, of the engine's own the whole."""
    words = yaml.safe_load(CONFIG.read_text())
    for name, keys in sections.items():
        words[name] = {**words.get(name, {}), **keys} if isinstance(keys, Mapping) else keys
    path = where / "changed.yaml"
    path.write_text(json.dumps(words))
    return path
