"""What the services of a rehearsal have in common: HTTP on the loopback, with all the ways in which a reply can go wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What a client sent. `path` is without the query and still quoted; the names of `headers` are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def steps(self) -> list[str]:
        """The steps of the path, unquoted."""
        return [unquote(step) for step in self.path.strip("/").split("/")]

    def json(self) -> Any:
        """The body as JSON; an empty one is an empty object. Raises ValueError."""
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Reply:
    """What goes over the wire, and how.

    after  seconds before its first byte
    cut    so many bytes of it, its head included, come through before the connection is closed; 0 for none
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    after: float = 0.0
    cut: int | None = None

    def wire(self) -> bytes:
        """Head and body as they are sent."""
        lines = {"Content-Type": self.kind, "Content-Length": str(len(self.body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        first = f"HTTP/1.1 {self.status} {responses.get(self.status, '')}\r\n"
        return f"{first}{head}\r\n".encode("latin-1") + self.body


class Service(Protocol):
    """Whoever answers requests. Called from several threads at once."""

    def __call__(self, request: Request) -> Reply: ...


def said(value: Any, **how: Any) -> Reply:
    """A value as a reply in JSON."""
    return Reply(body=json.dumps(value, default=str).encode(), **how)


def refusal(status: int, code: str, message: str = "", **how: Any) -> Reply:
    """An error as the JSON protocols of AWS write it: its code in a header, its message in the body."""
    text = message or f"{code} it is"
    headers = {"x-amzn-errortype": code, **how.pop("headers", {})}
    return said({"message": text}, status=status, headers=headers, **how)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        address = urlsplit(self.path)
        request = Request(
            self.command,
            address.path,
            dict(parse_qsl(address.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
        )
        reply = self.server.service(request)
        if reply.after and self.server.closing.wait(reply.after):
            self.close_connection = True
            return
        sent = reply.wire()
        try:
            self.wfile.write(sent if reply.cut is None else sent[: reply.cut])
            self.wfile.flush()
            if reply.cut is not None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # whoever asked has left
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

    def log_message(self, format: str, *args: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks off is in the order of a rehearsal; anything else is said as ever."""
        import sys

        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@dataclass(frozen=True)
class Place:
    """Where a service can be found. `ca` is the file of the certificate that vouches for it, where it speaks https."""

    url: str
    ca: str = ""


@contextmanager
def serving(service: Service, *, port: int = 0, tls: bool = False) -> Iterator[Place]:
    """A service on the loopback, in threads of this process; with `tls` under a certificate made for the occasion.

    A client finds that certificate by AWS_CA_BUNDLE or SSL_CERT_FILE.
    """
    with TemporaryDirectory(prefix="rehearsal-") as directory:
        server = _Server(service, port)
        ca = ""
        if tls:
            ca = str(Path(directory) / "ca.pem")
            server.socket = _certified(Path(ca)).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield Place(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", ca)
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
            server.server_close()


def _certified(ca: Path) -> ssl.SSLContext:
    import trustme  # of the extra `rehearse`: nobody else needs a certificate

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@contextmanager
def apart(make: Callable[[], Service], *, port: int = 0) -> Iterator[Place]:
    """A service in a process of its own, so that what it does is not measured with whoever asks it.

    `make` is a function of a module (or a partial of one), which the other process imports.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_apart, args=(make, port, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Place(ours.recv())
    finally:
        ours.close()  # ends it
        process.join(10)
        if process.is_alive():
            process.kill()


def _apart(make: Callable[[], Service], port: int, link: Any) -> None:
    with serving(make(), port=port) as place:
        link.send(place.url)
        try:
            link.recv()
        except (EOFError, OSError):
            os._exit(0)  # threads may still be at an answer that nobody waits for
