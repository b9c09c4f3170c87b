"""Artifacts in a bucket: by content, in parts when large, never sent twice, and whole when they are opened."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm.errors import ConfigError, StoreError
from fsm.store import open_store
from fsm.store.artifacts import source
from fsm.store.bucket import MIB, S3Options
from tests.servers.fixtures import S3
from tests.servers.proxy import Proxy, Request, stormy

Proxied = Callable[..., Proxy]
SMALL_PARTS: dict[str, Any] = {"part_size": 5, "multipart_from": 8}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 MiB that do not repeat: four parts of five and one of three."""
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(random.Random(1).randbytes(23 * MIB))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"", b"text\n", b"x" * (2 * MIB)])
def test_content_comes_back_as_it_was(s3: S3, content: bytes, tmp_path: Path) -> None:
    put = s3.store().run("run").put_artifact("a/b.txt", content)
    assert (put.sha256, put.size) == (hashlib.sha256(content).hexdigest(), len(content))
    elsewhere = s3.store(cache=str(tmp_path / "other machine")).run("run")
    path = elsewhere.artifact(put.sha256)
    assert path.read_bytes() == content
    assert not os.access(path, os.W_OK) or os.geteuid() == 0
    assert elsewhere.artifact_size(put.sha256) == len(content)


def test_the_same_content_is_sent_once_whatever_its_name(s3: S3, proxied: Proxied, tmp_path: Path) -> None:
    proxy = proxied()
    content = b"y" * (2 * MIB)
    (tmp_path / "file").write_bytes(content)
    run = s3.store(proxy.url).run("run")
    run.put_artifact("one", content)
    run.put_artifact("two", tmp_path / "file")
    s3.store(proxy.url).run("run").put_artifact("three", content)  # another process asks, and does not send
    assert proxy.counts["PUT", "artifacts"] == 1


def test_a_download_is_kept_by_digest_and_made_once(s3: S3, proxied: Proxied, tmp_path: Path) -> None:
    put = s3.store().run("run").put_artifact("a", b"content")
    proxy = proxied()
    for _ in range(3):
        s3.store(proxy.url, cache=str(tmp_path / "elsewhere")).run("run").artifact(put.sha256)
    assert proxy.counts["GET", "artifacts"] == 1


def test_a_damaged_cached_file_is_fetched_again(s3: S3) -> None:
    put = s3.store().run("run").put_artifact("a", b"content")
    path = s3.store().run("run").artifact(put.sha256)
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert s3.store().run("run").artifact(put.sha256).read_bytes() == b"content"


def test_a_large_file_goes_up_in_parts_and_comes_back_whole(
    s3: S3, proxied: Proxied, large: Path, tmp_path: Path
) -> None:
    proxy = proxied()
    run = s3.store(proxy.url, **SMALL_PARTS).run("run")
    put = run.put_artifact("model", large)
    assert (put.sha256, put.size) == (sha256(large), 23 * MIB)
    assert proxy.counts["PUT", "artifacts"] == 5
    assert (
        s3.store(cache=str(tmp_path / "e")).run("run").artifact(put.sha256).read_bytes() == large.read_bytes()
    )
    before = proxy.counts.copy()
    s3.store(proxy.url, **SMALL_PARTS).run("run").put_artifact("again", large)
    assert proxy.counts - before == {("GET", "list"): 1, ("HEAD", "artifacts"): 1}


def test_through_a_storm_a_large_file_goes_up_and_down_whole(
    s3: S3, proxied: Proxied, large: Path, tmp_path: Path
) -> None:
    proxy = proxied(stormy(3, 0.3), delay=0.01)
    put = s3.store(proxy.url, **SMALL_PARTS).run("run").put_artifact("model", large)
    got = s3.store(proxy.url, cache=str(tmp_path / "elsewhere")).run("run").artifact(put.sha256)
    assert sha256(got) == put.sha256 == sha256(large)
    assert sum(proxy.faults.values()) > 2


def test_an_upload_that_was_interrupted_is_resumed(s3: S3, proxied: Proxied, large: Path) -> None:
    """Half of the parts are up when the connection is lost for good; the next process sends the others only."""
    sent: list[int] = []

    def plan(request: Request) -> str:
        if request.method == "PUT" and "partNumber" in request.target:
            sent.append(request.number)
        return "cut" if len(sent) > 2 and request.kind == "artifacts" else "none"

    broken = proxied(plan)
    with pytest.raises(StoreError, match="no clear answer"):
        s3.store(broken.url, **SMALL_PARTS, patience=0.3).run("run").put_artifact("model", large)
    proxy = proxied()
    put = s3.store(proxy.url, **SMALL_PARTS).run("run").put_artifact("model", large)
    assert proxy.counts["PUT", "artifacts"] == 3
    assert s3.store().run("run").artifact_size(put.sha256) == 23 * MIB
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket="bucket", Prefix=s3.prefix)


def test_a_half_written_upload_of_other_content_is_not_used(s3: S3, large: Path) -> None:
    key = f"{s3.prefix}/runs/run/artifacts/{sha256(large)}"
    upload = s3.client.create_multipart_upload(Bucket="bucket", Key=key, ChecksumAlgorithm="SHA256")[
        "UploadId"
    ]
    for number in (1, 2):
        s3.client.upload_part(
            Bucket="bucket",
            Key=key,
            UploadId=upload,
            PartNumber=number,
            Body=b"z" * 5 * MIB,
            ChecksumAlgorithm="SHA256",
        )
    put = s3.store(**SMALL_PARTS).run("run").put_artifact("model", large)
    assert sha256(s3.store().run("run").artifact(put.sha256)) == put.sha256


def test_a_file_that_changes_while_it_is_sent_is_refused(s3: S3, large: Path, tmp_path: Path) -> None:
    file = tmp_path / "growing"
    file.write_bytes(large.read_bytes()[: 9 * MIB])
    with source(file, 5 * MIB) as s:
        with file.open("r+b") as f:
            f.write(b"changed")
        with pytest.raises(StoreError, match="changed while it was being kept"):
            s.read(0)
        assert len(s.read(1)) == 4 * MIB


@pytest.mark.parametrize("how", ["missing", "damaged", "another size"])
def test_an_artifact_that_is_not_whole_is_refused(s3: S3, how: str, tmp_path: Path) -> None:
    put = s3.store().run("run").put_artifact("a", b"content")
    where: dict[str, Any] = {"Bucket": "bucket", "Key": f"{s3.prefix}/runs/run/artifacts/{put.sha256}"}
    if how == "missing":
        s3.client.delete_object(**where)
    else:
        s3.client.put_object(**where, Body=b"CONTENT" if how == "damaged" else b"more content")
    elsewhere = s3.store(cache=str(tmp_path / "elsewhere")).run("run")
    with pytest.raises(StoreError, match="is missing" if how == "missing" else "is not whole"):
        elsewhere.artifact(put.sha256)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, {}),
        ({"sse": "AES256"}, {"ServerSideEncryption": "AES256"}),
        ({"sse": "aws:kms"}, {"ServerSideEncryption": "aws:kms"}),
        ({"kms_key": "alias/k"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/k"}),
        (
            {"sse": "aws:kms:dsse", "kms_key": "alias/k"},
            {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": "alias/k"},
        ),
    ],
)
def test_how_objects_are_encrypted_is_said_once(options: dict[str, str], said: dict[str, str]) -> None:
    assert S3Options.read(options).encryption == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sse": "AES256", "kms_key": "alias/k"}, "kms_key names one of KMS"),
        ({"sse": "aes256"}, "no encryption that S3 does; there are: AES256, aws:kms, aws:kms:dsse"),
        ({"sse": "kms"}, "no encryption that S3 does"),
        ({"sse": True}, "is not a str"),
    ],
)
def test_encryptions_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_store("s3://bucket/prefix", **options)


def test_encryption_and_payer_are_asked_for(s3: S3, large: Path) -> None:
    """Every object names the key; every request says who pays. What goes over the wire is what counts."""
    store = s3.store(kms_key="arn:aws:kms:us-east-1:000000000000:key/k", request_payer=True, **SMALL_PARTS)
    said: list[dict[str, str]] = []
    client = store.bucket._client  # type: ignore[attr-defined]
    client.meta.events.register("before-send.s3", lambda request, **_: said.append(dict(request.headers)))
    run = store.run("run")
    run.write_header(b"{}")
    run.put_artifact("large", large)
    assert all(h["x-amz-request-payer"] in (b"requester", "requester") for h in said)
    for key in ("run.json", f"artifacts/{sha256(large)}"):
        head = s3.client.head_object(Bucket="bucket", Key=f"{s3.prefix}/runs/run/{key}")
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"].endswith("key/k")
