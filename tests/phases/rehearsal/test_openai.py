"""The rehearsed server of OpenAI's protocol, asked by the unmodified `openai` package."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from phases.rehearsal.model import Quota, Said
from phases.rehearsal.openai import error
from tests.servers.rehearsed import ServedOpenAI


def complete(service: ServedOpenAI, model: str = "rehearsal", **more: Any) -> Any:
    with openai.OpenAI(base_url=service.url, max_retries=0, timeout=5) as client:
        return client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Write a gate."}], **more
        )


def test_an_answer_has_its_text_its_end_and_its_usage(chat: ServedOpenAI) -> None:
    chat.answer = lambda asked: "int x;"
    answer = complete(chat, max_tokens=50, temperature=0.2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("int x;", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 2)
    assert complete(chat, max_tokens=1).choices[0].finish_reason == "length"
    assert chat.bill.paid.total() == 2


def test_errors_are_raised_by_their_class(chat: ServedOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        complete(chat, model="other")
    chat.answer = lambda asked: error(429, "insufficient_quota", "You exceeded your current quota.")
    with pytest.raises(openai.RateLimitError) as caught:
        complete(chat)
    assert caught.value.code == "insufficient_quota"
    chat.answer = lambda asked: Said("int x;", cut=100)
    with pytest.raises(openai.APIConnectionError):
        complete(chat)
    chat.legacy = False
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens"):
        complete(chat, max_tokens=5)
    chat.keys = frozenset({"another"})
    with pytest.raises(openai.AuthenticationError):
        complete(chat)


def test_what_is_over_the_quota_is_throttled(chat: ServedOpenAI) -> None:
    chat.quota = Quota(tokens=100)
    with pytest.raises(openai.RateLimitError, match="tokens per min"):
        complete(chat, max_tokens=100)
    assert (chat.bill.calls, chat.bill.throttled) == (1, 1)
