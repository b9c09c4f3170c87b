"""The rehearsed Bedrock, answering as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from phases.rehearsal.model import Asked, Said
from phases.rehearsal.wire import Reply, refusal, serving
from tests.servers.rehearsed import ServedBedrock, bedrock, bedrock_with_key, chat, signing

__all__ = ["bedrock", "bedrock_with_key", "chat", "signing"]

Answer = Said | Reply | str


@dataclass
class Told(ServedBedrock):
    """The service; `reply` decides its answers by prompt and by how often that was asked before, from 0."""

    reply: Callable[[str, int], Answer] = lambda prompt, attempt: f"int f(void);  /* {prompt} */"
    told: list[str] = field(default_factory=list)

    @property
    def prompts(self) -> list[str]:
        return self.told

    def __post_init__(self) -> None:
        super().__post_init__()
        self.answer = self._answer

    def _answer(self, asked: Asked) -> Answer:
        with self._lock:
            attempt = self.told.count(asked.prompt)
            self.told.append(asked.prompt)
        return self.reply(asked.prompt, attempt)


@pytest.fixture
def server(signing: None) -> Iterator[Told]:
    """The service; the environment has IAM credentials and no API key."""
    service = Told()
    with serving(service) as place:
        service.url = place.url
        yield service


@pytest.fixture
def replies() -> Any:
    """`replies.converse(text, stop)` and `replies.failure(status, code, message)`."""

    class Replies:
        converse = Said
        failure = staticmethod(refusal)

    return Replies
