"""Fixtures of the tests that ask a rehearsed teacher's service; a conftest.py imports what its tests use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from phases.rehearsal.bedrock import Bedrock
from phases.rehearsal.openai import OpenAI
from phases.rehearsal.wire import serving


@dataclass
class ServedBedrock(Bedrock):
    """The service, and where it can be found; `ca` vouches for it where it speaks https."""

    url: str = ""
    ca: str = ""


@dataclass
class ServedOpenAI(OpenAI):
    """The service, and where it can be found."""

    url: str = ""


@pytest.fixture
def signing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has IAM credentials, no API key, and nothing of the machine's own configuration."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "OPENAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")


@pytest.fixture
def bedrock(signing: None) -> Iterator[ServedBedrock]:
    """Bedrock, to which requests are signed."""
    service = ServedBedrock()
    with serving(service) as place:
        service.url = place.url
        yield service


@pytest.fixture
def bedrock_with_key(signing: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedBedrock]:
    """Bedrock by https, for the API key that is in the environment; there are no other credentials."""
    service = ServedBedrock(keys=frozenset({"bedrock-api-key-1"}))
    with serving(service, tls=True) as place:
        service.url, service.ca = place.url, place.ca
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-1")
        monkeypatch.setenv("AWS_CA_BUNDLE", place.ca)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        yield service


@pytest.fixture
def chat(signing: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedOpenAI]:
    """A server of OpenAI's protocol, for the key that is in the environment; its url ends in /v1."""
    service = ServedOpenAI(keys=frozenset({"sk-1"}))
    with serving(service) as place:
        service.url = f"{place.url}/v1"
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        yield service
