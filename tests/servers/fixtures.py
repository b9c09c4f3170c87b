"""Fixtures of the tests that talk to an S3 server; a conftest.py imports what its tests use."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from fsm.store.s3 import S3Store
from tests.servers.process import Server
from tests.servers.proxy import Plan, Proxy, calm
from tests.servers.s3 import KEYS, REGION, client, ministack

_numbers = itertools.count(int(time.time()) if os.environ.get("FSM_S3_ENDPOINT") else 1)


@pytest.fixture(scope="session", autouse=True)
def aws_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Credentials that no real service knows, and nothing of the machine's own configuration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", KEYS["aws_access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["aws_secret_access_key"])
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, "/nonexistent")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, aws_environment: None) -> Iterator[Server]:
    """MiniStack with a bucket `bucket`; or the server at FSM_S3_ENDPOINT, which is somebody else's to start."""
    if endpoint := os.environ.get("FSM_S3_ENDPOINT"):
        found = Server([], int(endpoint.rpartition(":")[2]), Path(os.devnull))
    else:
        found = ministack(tmp_path_factory.mktemp("ministack"))
        found.start()
    s3 = client(found.url)
    if "bucket" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="bucket")
    yield found
    found.kill()


@dataclass(frozen=True)
class S3:
    """A prefix of its own in the bucket, reached directly."""

    server: Server
    url: str
    options: dict[str, Any]

    @property
    def prefix(self) -> str:
        return self.url.removeprefix("s3://bucket/")

    def store(self, endpoint: str | None = None, **options: Any) -> S3Store:
        return S3Store(
            self.url, **{**self.options, **({"endpoint_url": endpoint} if endpoint else {}), **options}
        )

    def keys(self, below: str = "") -> list[str]:
        """The keys below the prefix, without it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket="bucket", Prefix=f"{self.prefix}/{below}"
        )
        return [o["Key"].removeprefix(self.prefix + "/") for p in pages for o in p.get("Contents", ())]

    @cached_property
    def client(self) -> Any:
        return client(self.server.url)


@pytest.fixture
def s3(server: Server, tmp_path: Path) -> S3:
    options = {"endpoint_url": server.url, "cache": str(tmp_path / "cache"), "patience": 20.0}
    return S3(server, f"s3://bucket/test{next(_numbers)}", options)


@pytest.fixture
def proxied(server: Server) -> Iterator[Callable[..., Proxy]]:
    """Makes proxies before the server, and ends them."""
    made: list[Proxy] = []

    def make(plan: Plan = calm, **settings: Any) -> Proxy:
        proxy = Proxy(server.port, plan, **settings).__enter__()
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.__exit__(None, None, None)
