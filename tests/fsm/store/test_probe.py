"""A store that cannot hold a journal is refused before anything of a run is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm.errors import StoreError
from fsm.store.s3 import S3Store
from tests.servers.fixtures import S3
from tests.servers.process import Server
from tests.servers.s3 import rclone, s3rver


@pytest.fixture(params=["rclone", "s3rver"])
def lookalike(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aws_environment: None
) -> Iterator[Server]:
    if request.param == "s3rver":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "S3RVER")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S3RVER")
    server = {"rclone": rclone, "s3rver": s3rver}[request.param](tmp_path / "server")
    server.start()
    yield server
    server.kill()


def test_a_store_that_ignores_conditions_is_refused_by_name(lookalike: Server) -> None:
    store = S3Store("s3://bucket/prefix", endpoint_url=lookalike.url)
    run = store.run("run")
    with pytest.raises(StoreError, match=rf"s3://bucket/prefix at {lookalike.url} cannot hold a run: it ignores conditions"):  # fmt: skip
        run.write_header(b"{}")
    assert run.read_header() is None


def test_a_store_that_holds_them_is_taken_at_every_start(s3: S3) -> None:
    for _ in range(3):
        s3.store().probe()
    assert s3.keys() == ["probe.json"]


def test_a_prefix_that_something_else_writes_to_is_refused(s3: S3) -> None:
    s3.client.put_object(Bucket="bucket", Key=f"{s3.prefix}/probe.json", Body=b"mine")
    with pytest.raises(StoreError, match="does not come back the same"):
        s3.store().probe()


def test_a_listing_that_lags_is_refused(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsm.store.bucket import Boto, Page

    monkeypatch.setattr(Boto, "list", lambda *_, **__: Page((), (), False))
    with pytest.raises(StoreError, match="is not listed"):
        s3.store().probe()
