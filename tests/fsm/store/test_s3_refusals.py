"""What can be wrong with a bucket: each is said with what it is wrong with, and the run is left as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fsm.errors import JournalDamaged, NewerFormat, StoreError
from fsm.journal import Journal
from fsm.store.local import LocalRun
from fsm.store.s3 import S3Store
from tests.fsm.store.test_s3_journal import begun, step
from tests.needs.where import ROOT
from tests.servers.fixtures import S3
from tests.servers.process import Server
from tests.servers.proxy import Proxy
from tests.servers.s3 import REGION, client, ministack

Proxied = Callable[..., Proxy]


def documented() -> dict[str, Any]:
    """The policy of docs/s3.md, for prefix `runs-here` of the bucket."""
    text = (ROOT / "docs" / "s3.md").read_text()
    found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert found
    return dict(json.loads(found[1].replace("BUCKET", "bucket").replace("PREFIX", "runs-here")))


def without(policy: dict[str, Any], action: str) -> dict[str, Any]:
    statements = [{**s, "Action": [a for a in s["Action"] if a != action]} for s in policy["Statement"]]
    return {**policy, "Statement": [s for s in statements if s["Action"]]}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, aws_environment: None) -> Iterator[Server]:
    """MiniStack that checks signatures and policies."""
    server = ministack(tmp_path_factory.mktemp("guarded"), auth=True)
    server.start()
    client(server.url, aws_access_key_id="test", aws_secret_access_key="test").create_bucket(Bucket="bucket")
    yield server
    server.kill()


@pytest.fixture
def identity(guarded: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., S3Store]:
    """Makes a store whose identity has one policy and nothing else."""
    import boto3

    iam = boto3.client(
        "iam",
        endpoint_url=guarded.url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    users: list[str] = []

    def make(policy: dict[str, Any], **options: Any) -> S3Store:
        name = f"user{len(users)}-{tmp_path.name}"[:60]
        users.append(name)
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="least", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        store = S3Store(
            f"s3://bucket/runs-here/{tmp_path.name}",
            endpoint_url=guarded.url,
            cache=str(tmp_path / "cache"),
            **options,
        )
        _ = store.bucket._client  # type: ignore[attr-defined]  # with the keys of now
        return store

    return make


def test_the_documented_policy_is_enough_for_all_that_a_run_does(
    identity: Callable[..., S3Store], tmp_path: Path
) -> None:
    store = identity(documented(), part_size=5, multipart_from=5)
    journal = begun(store)
    run = store.run("run")
    put = run.put_artifact("a", b"x" * (6 << 20))
    journal.append(step(1, files={"a": {"sha256": put.sha256, "size": put.size}}))
    journal.check_claim()
    run.write_live({"status": "ended"})
    again = Journal(store.run("run"))
    again.open()
    assert again.epoch == 2
    assert store.runs() == ["run"]
    assert run.artifact(put.sha256).stat().st_size == 6 << 20
    store.retire("run")
    assert store.runs() == []
    begun(store)
    with pytest.raises(StoreError, match="s3:DeleteObject"):
        store.remove("run")


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:GetObject", "s3:ListBucket"])
def test_a_right_that_is_missing_is_named_and_the_run_left_as_it_was(
    identity: Callable[..., S3Store], guarded: Server, tmp_path: Path, action: str
) -> None:
    begun(identity(documented())).append(step(1))
    root = client(guarded.url, aws_access_key_id="test", aws_secret_access_key="test")
    prefix = f"runs-here/{tmp_path.name}/"
    before = [o["Key"] for o in root.list_objects_v2(Bucket="bucket", Prefix=prefix)["Contents"]]
    store = identity(without(documented(), action))
    with pytest.raises(StoreError, match=rf"refused \(AccessDenied.*lacks {action} on arn:aws:s3:::bucket"):
        Journal(store.run("run")).open()
    after = [o["Key"] for o in root.list_objects_v2(Bucket="bucket", Prefix=prefix)["Contents"]]
    assert after == before


def test_a_clock_that_is_wrong_is_said(
    identity: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    import botocore.auth

    store = identity(documented())
    now = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: now(*a, **k) - timedelta(hours=2)
    )
    with pytest.raises(StoreError, match="this machine's clock is wrong"):
        store.probe()


def test_a_bucket_that_is_not_there_is_named(s3: S3) -> None:
    store = S3Store("s3://nowhere/prefix", **s3.options)
    with pytest.raises(StoreError, match="There is no bucket nowhere"):
        store.probe()
    with pytest.raises(StoreError, match="There is no bucket nowhere"):
        store.run("run").read_header()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            "403 AccessDenied: User is not authorized to perform: kms:GenerateDataKey on resource key/1",
            r"refused by KMS .*kms:GenerateDataKey to write and kms:Decrypt",
        ),
        ("400 KMSDisabledException: key/1 is disabled", "refused by KMS .*must exist, be enabled"),
        (
            "400 AuthorizationHeaderMalformed: the region us-east-1 is wrong; expecting eu-west-1",
            "in another region than us-east-1 .*Set store_options.region",
        ),
        ("301 PermanentRedirect: must be addressed elsewhere", "in another region"),
        ("400 ExpiredToken: The provided token has expired", r"refused \(400 ExpiredToken.*Renew the credentials"),
        ("403 InvalidAccessKeyId: does not exist in our records", r"refused \(403 Inv.*Renew the credentials"),
        ("403 SignatureDoesNotMatch: check your key", r"refused \(403 Sig.*Renew the credentials"),
        ("403 RequestTimeTooSkewed: the difference is too large", "this machine's clock is wrong"),
        ("403 AccountProblem: there is a problem with your account", "See to the AWS account"),
        ("501 NotImplemented: a header implies what is not implemented", r"refused \(501 NotImplemented"),
    ],
)  # fmt: skip
def test_what_only_amazon_answers_is_told_apart(s3: S3, proxied: Proxied, answer: str, said: str) -> None:
    journal = begun(s3.store())
    before = s3.keys()
    proxy = proxied(lambda request: answer if request.key else "none")  # botocore asks where the bucket is
    with pytest.raises(StoreError, match=said):
        Journal(s3.store(proxy.url).run("run")).open()
    assert s3.keys() == before
    assert journal.next == 1


def test_no_credentials_is_said(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match="no AWS credentials"):
        s3.store().probe()


def test_nobody_listening_is_said_soon(tmp_path: Path, aws_environment: None) -> None:
    store = S3Store("s3://bucket/p", endpoint_url="http://127.0.0.1:9", patience=0.5)
    with pytest.raises(StoreError, match=r"gave no clear answer for 0\.5 seconds .*Could not connect"):
        store.probe()


def test_a_profile_that_is_not_there_is_said(s3: S3) -> None:
    with pytest.raises(StoreError, match=r"profile .*nobody"):
        s3.store(profile="nobody").probe()


def test_a_run_of_a_newer_version_is_left_alone(s3: S3) -> None:
    store = s3.store()
    store.run("run").write_header(b'{"format": 99}')
    before = s3.keys()
    with pytest.raises(NewerFormat, match="written in format 99"):
        Journal(s3.store().run("run")).header()
    assert s3.keys() == before


def test_a_header_that_is_none_is_said(s3: S3) -> None:
    s3.store().run("run").write_header(b"not json")
    with pytest.raises(JournalDamaged, match=r"run\.json is not the header"):
        Journal(s3.store().run("run")).header()


def test_a_directory_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl
    import os

    run = LocalRun(tmp_path / "runs" / "run")
    run.write_header(b"{}")

    def no_locks(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreError, match="its file system has no locks"):
        Journal(run).open()
    assert run.journal.read_bytes() == b""
