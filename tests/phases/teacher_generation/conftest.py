"""A server of our own that stands for Bedrock, answering as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Reply = tuple[int, str, bytes]
"""Status, error code (empty for none), body."""


def converse(text: str, stop: str = "end_turn") -> Reply:
    """A well-formed Converse response."""
    body = {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": stop,
        "usage": {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8},
        "metrics": {"latencyMs": 1},
    }
    return 200, "", json.dumps(body).encode()


def failure(status: int, code: str, message: str = "") -> Reply:
    """An error as Bedrock writes it."""
    return status, code, json.dumps({"message": message or f"{code} it is"}).encode()


@dataclass
class Bedrock:
    """What the server was asked, and who decides its answers (by prompt and number of the attempt, from 0)."""

    url: str = ""
    reply: Callable[[str, int], Reply] = lambda prompt, attempt: converse(f"int f(void);  /* {prompt} */")
    prompts: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    """More headers of every reply."""
    lock: Any = field(default_factory=threading.Lock)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bedrock]:
    """The server; the environment has IAM credentials and no API key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    held = Bedrock()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][0]["content"][0]["text"]
            with held.lock:
                attempt = held.prompts.count(prompt)
                held.prompts.append(prompt)
                held.headers.append(dict(self.headers))
                held.bodies.append(body)
                held.paths.append(self.path)
            status, code, content = held.reply(prompt, attempt)
            self.send_response(status)
            if code:
                self.send_header("x-amzn-ErrorType", code)
            for name, value in held.extra.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    held.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield held
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def replies() -> Any:
    """`replies.converse(text, stop)` and `replies.failure(status, code, message)`."""

    class Replies:
        converse = staticmethod(converse)
        failure = staticmethod(failure)

    return Replies
