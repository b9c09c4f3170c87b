"""OpenAI's chat completions on the loopback, as any compatible server speaks them, for the unmodified `openai` package.

(https://platform.openai.com/docs/api-reference/chat/create; what it has asked for is at /-/bill)
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from phases.rehearsal.model import (
    MILLION,
    Answerer,
    Asked,
    Bill,
    Quota,
    Speaking,
    offline,
    tokens,
)
from phases.rehearsal.wire import Reply, Request, said

_FINISHED = {
    "end_turn": "stop",
    "max_tokens": "length",
    "content_filtered": "content_filter",
    "tool_use": "tool_calls",
}


def error(status: int, code: str | int | None, message: str = "", **how: Any) -> Reply:
    """An error as OpenAI's protocol writes it."""
    row = {"message": message or f"{code} it is", "type": code, "param": None, "code": code}
    return said({"error": row}, status=status, **how)


@dataclass
class OpenAI(Speaking):
    """The service: see `phases.rehearsal.bedrock.Bedrock`. With no `keys` any key is let in, as by a server of one's own.

    `legacy` says whether it takes max_tokens, as other servers do, rather than max_completion_tokens alone.
    """

    answer: Answerer = offline
    latency: Callable[[Asked], float] = lambda asked: 0.0
    quota: Quota = field(default_factory=Quota)
    models: frozenset[str] = frozenset({"rehearsal"})
    keys: frozenset[str] = frozenset()
    sampling: bool = True
    legacy: bool = True
    prices: tuple[Decimal, Decimal] = (Decimal(1), Decimal(4))
    """Dollars for a million tokens in and out."""
    bill: Bill = field(default_factory=Bill)
    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=10_000))
    _times: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def prompts(self) -> list[str]:
        """The prompts that were asked, in order."""
        return [asked.prompt for asked in self.asked]

    def __call__(self, request: Request) -> Reply:
        if request.path == "/-/bill":
            return said(self.bill.to_json())
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.keys and key not in self.keys:
            return error(401, "invalid_api_key", "Incorrect API key provided.")
        if request.method == "GET" and request.path == "/v1/models":
            rows = [
                {"id": name, "object": "model", "created": 0, "owned_by": "rehearsal"}
                for name in sorted(self.models)
            ]
            return said({"object": "list", "data": rows})
        if request.method == "POST" and request.path == "/v1/chat/completions":
            return self._completed(request)
        return error(404, "not_found", f"{request.method} {request.path}")

    def _completed(self, request: Request) -> Reply:
        body = request.json()
        if body["model"] not in self.models:
            return error(
                404,
                "model_not_found",
                f"The model `{body['model']}` does not exist or you do not have access to it.",
            )
        if refused := self._taken(body):
            return refused
        asked = self._taken_down(body, request)
        entered = sum(4 + tokens(turn["content"]) for turn in body["messages"])
        most = int(body.get("max_completion_tokens") or body.get("max_tokens") or 16_384)

        def throttled(much: str) -> Reply:
            after = {"retry-after": "1"} if self.quota.minute >= 60 else {}
            words = f"Rate limit reached for {body['model']} on {much} per min."
            return error(429, "rate_limit_exceeded", words, headers=after)

        spoken = self.spoken(asked, entered, most, throttled)
        if isinstance(spoken, Reply):
            return spoken
        text, stop = spoken.text, spoken.stop
        used = tokens(text)
        self.quota.settle(entered + most, entered + used)
        cost = (entered * self.prices[0] + used * self.prices[1]) / MILLION
        self.bill.pay(asked.prompt, entered, used, cost, spoken.seconds)
        message = {"role": "assistant", "content": text, "refusal": None}
        if stop == "refusal":
            message |= {"content": None, "refusal": text}
        row = {
            "id": f"chatcmpl-{self.bill.calls}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": _FINISHED.get(stop, "stop"),
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": entered, "completion_tokens": used, "total_tokens": entered + used},
        }
        return said(row, cut=spoken.answer.cut)

    def _taken(self, body: Mapping[str, Any]) -> Reply | None:
        """The error for what the model does not take."""
        if "max_tokens" in body and not self.legacy:
            return error(
                400,
                "unsupported_parameter",
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            )
        if not self.sampling and body.get("temperature") is not None:
            return error(
                400,
                "unsupported_value",
                "Unsupported value: 'temperature' does not support this value with this model.",
            )
        return None

    def _taken_down(self, body: Mapping[str, Any], request: Request) -> Asked:
        prompt = [turn["content"] for turn in body["messages"] if turn["role"] == "user"][-1]
        with self._lock:
            seen = hashlib.sha256(request.body).hexdigest()
            asked = Asked("chat", body["model"], prompt, self._times[seen], body, request.headers)
            self._times[seen] += 1
            self.asked.append(asked)
        return asked
