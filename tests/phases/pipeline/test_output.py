"""Where the model goes, and what happens when the way there is disturbed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from fsm.faults import Patient
from fsm.testing import Clock
from phases.errors import AccessDenied
from phases.pipeline import output


@dataclass
class Saving:
    """As much of a Context as saving needs."""

    run_name: str = "run"
    store_url: str = "s3://b/store"
    kept: dict[str, Path] = field(default_factory=dict)

    def put(self, name: str, path: Path) -> None:
        self.kept[name] = path


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Any:
    client = boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="nobody's"
    )
    monkeypatch.setattr(output, "_s3", lambda: client)
    monkeypatch.setattr(output, "_patient", lambda ctx, bucket: Patient(f"s3://{bucket}", 60, Clock()))
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


SENT = {
    "Bucket": "b",
    "Key": "out/run/model.tar.gz",
    "Body": ANY,
    "ChecksumAlgorithm": "SHA256",
    "Metadata": {output.MARK: output.mark("s3://b/store", "run")},
}


def test_a_model_is_put_to_its_bucket_through_what_passes(bucket: Any, tmp_path: Path) -> None:
    model = tmp_path / "model.tar.gz"
    model.write_bytes(b"weights")
    ctx: Any = Saving()
    for status, code in ((503, "SlowDown"), (500, "InternalError")):
        bucket.add_client_error("put_object", code, http_status_code=status)
    bucket.add_response("put_object", {}, SENT)
    assert output.save(ctx, str(model), "s3://b/out")["model"] == "s3://b/out/run/model.tar.gz"
    assert ctx.kept == {"output/distillation/model.tar.gz": model}


def test_a_bucket_that_refuses_the_model_is_said_at_once(bucket: Any, tmp_path: Path) -> None:
    model = tmp_path / "model.tar.gz"
    model.write_bytes(b"weights")
    ctx: Any = Saving()
    bucket.add_client_error("put_object", "AccessDenied", http_status_code=403)
    with pytest.raises(
        AccessDenied, match=r"saving the model to s3://b/out/run/model\.tar\.gz: .*AccessDenied"
    ):
        output.save(ctx, str(model), "s3://b/out")
    assert ctx.kept == {}
