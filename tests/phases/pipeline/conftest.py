"""An AWS account for the checks of validation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.phases.pipeline.aws import Cloud, cloud
from tests.servers.fixtures import aws_environment, proxied, server
from tests.servers.process import Server

__all__ = ["aws", "aws_environment", "proxied", "server"]
_numbers = itertools.count(1)


@pytest.fixture
def aws(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An account in which nothing is amiss, with a bucket of its own."""
    with cloud(server, f"pipeline-{next(_numbers)}", monkeypatch) as made:
        yield made
