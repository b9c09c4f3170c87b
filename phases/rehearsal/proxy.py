"""A proxy before AWS's services that does to requests what networks and servers do, as a seeded plan says.

    none         passed on
    lost reply   carried out, and the connection cut before the answer: the client cannot know
    cut          not carried out, the connection cut
    500, 503, 409   answered so, not carried out
    late 500     carried out, and then answered 500
    delay        passed on after a while
    "403 AccessDenied: words"   answered so

It counts what it sees, of S3 by method and by what the key is for, and of each service by operation, so that it can be said
what a run costs.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from phases.rehearsal.process import HOST

CODES = {
    "500": "InternalError",
    "503": "SlowDown",
    "409": "ConditionalRequestConflict",
    "403": "AccessDenied",
}


_SCOPE = re.compile(rb"/([a-z0-9-]+)/aws4_request")
_TARGET = re.compile(rb"\r\nx-amz-target: *[\w.]*?\.?(\w+)\r\n", re.IGNORECASE)
_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_OF_S3 = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_OF_A_BUCKET = {
    ("HEAD", ""): "HeadBucket",
    ("GET", "publicAccessBlock"): "GetPublicAccessBlock",
    ("GET", "encryption"): "GetBucketEncryption",
}
SAID = re.compile(r"(\d{3}) (\w+): (.*)")


@dataclass(frozen=True)
class Request:
    """What a plan may look at. `key` is without the bucket; `kind` is journal, artifacts, live, list or other."""

    method: str
    target: str
    body: bytes
    number: int
    head: bytes = b""

    @property
    def key(self) -> str:
        return self.target.partition("?")[0].strip("/").partition("/")[2]

    @property
    def kind(self) -> str:
        if "list-type=2" in self.target:
            return "list"
        found = re.search(r"/(journal|artifacts)/|/(live|run)\.json|(probe)\.json", "/" + self.key)
        return next(filter(None, found.groups())) if found else "other"

    @property
    def service(self) -> str:
        """Whom it is signed for."""
        found = _SCOPE.search(self.head)
        return found[1].decode() if found else "unsigned"

    @property
    def operation(self) -> str:
        """What is asked: by the header of the JSON protocol, the action of the query protocol, or, of S3, the method."""
        if found := _TARGET.search(self.head):
            return found[1].decode()
        if found := _ACTION.search(self.body):
            return found[1].decode()
        if self.kind == "list":
            return "ListObjectsV2"
        asked = self.target.partition("?")[2].partition("&")[0].rstrip("=")
        if not self.key:
            return _OF_A_BUCKET.get((self.method, asked), f"{self.method} {asked}".rstrip())
        return _OF_S3.get(self.method, self.method)


Plan = Callable[[Request], str]


def calm(request: Request) -> str:
    return "none"


def stormy(seed: int, often: float, *kinds: str) -> Plan:
    """Faults of the kinds at random, in one request of `1 / often`; the same requests get the same ones."""
    chance = random.Random(seed)
    kinds = kinds or ("lost reply", "cut", "500", "503", "409", "late 500", "delay")

    def plan(request: Request) -> str:
        return chance.choice(kinds) if chance.random() < often else "none"

    return plan


@dataclass
class Proxy:
    """Listens on the loopback address while it is entered. `latency` is added to every request, in seconds."""

    port_behind: int
    plan: Plan = calm
    latency: float = 0.0
    delay: float = 0.05
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(service, operation) -> how often"""
    faults: Counter[str] = field(default_factory=Counter)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Proxy:
        self._loop = asyncio.new_event_loop()
        self._number = 0
        ready = threading.Event()

        def serve() -> None:
            asyncio.set_event_loop(self._loop)
            server = self._loop.run_until_complete(asyncio.start_server(self._client, HOST, 0, limit=1 << 20))
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            self._loop.run_forever()
            server.close()
            pending = asyncio.all_tasks(self._loop)
            for task in pending:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            self._loop.close()

        self._thread = threading.Thread(target=serve, name="proxy", daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # One connection

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                head, body = await message(reader, leave=writer)
                method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
                self._number += 1
                request = Request(method, target, body, self._number, head)
                self.counts[method, request.kind] += 1
                self.operations[request.service, request.operation] += 1
                fault = self.plan(request)
                if fault != "none":
                    self.faults[fault] += 1
                if self.latency:
                    await asyncio.sleep(self.latency)
                if fault == "cut":
                    return
                if fault in CODES:
                    writer.write(_answer(fault, CODES[fault]))
                    continue
                if said := SAID.fullmatch(fault):
                    writer.write(_answer(*said.groups()))
                    continue
                if fault == "delay":
                    await asyncio.sleep(self.delay)
                if behind is None:
                    behind = await asyncio.open_connection(HOST, self.port_behind, limit=1 << 20)
                behind[1].write(head + body)
                answer = await message(behind[0], method)
                if fault == "lost reply":
                    return
                writer.write(_answer("500", CODES["500"]) if fault == "late 500" else b"".join(answer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            for w in (writer, behind[1] if behind else None):
                if w:
                    w.close()


async def message(
    reader: asyncio.StreamReader, answers: str = "", leave: asyncio.StreamWriter | None = None
) -> tuple[bytes, bytes]:
    """A request, or the answer to a request of method `answers`: its head, and its body as it came.

    A client that asks leave before it sends a body is given it, on `leave`.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if leave and b"\r\nexpect: 100-continue" in lower:
        leave.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if lower.startswith(b"http/1.1 100"):
        return await message(reader, answers)
    if answers == "HEAD" or lower.startswith((b"http/1.1 204", b"http/1.1 304")):
        return head, b""
    if b"transfer-encoding: chunked" in lower:
        pieces = []
        while True:
            size = await reader.readuntil(b"\r\n")
            piece = await reader.readexactly(int(size.partition(b";")[0], 16) + 2)
            pieces += [size, piece]
            if piece == b"\r\n":
                return head, b"".join(pieces)
    length = re.search(rb"\r\ncontent-length:\s*(\d+)", lower)
    return head, await reader.readexactly(int(length[1])) if length else b""


def _answer(status: str, code: str, words: str = "by the proxy") -> bytes:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{words}</Message></Error>'.encode()
    return (
        f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
