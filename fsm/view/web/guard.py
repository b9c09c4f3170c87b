"""Who may ask: the Host header, the token, the method; and what a browser may do with the answer."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "fsm_watch"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, seen by nobody else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def own_names(host: str) -> frozenset[str]:
    """The names by which a page may be asked for where it is served on `host`, besides addresses."""
    names = {"localhost"}
    if not is_loopback(host):
        names |= {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)


class Guard:
    """Middleware: refuses what is not for this server. A name of somebody else's that leads here (DNS rebinding) is refused
    by the Host header; an address cannot be such a name."""

    def __init__(
        self, app: ASGIApp, host: str, token: str | None, names: Iterable[str] | None = None
    ) -> None:
        self.app = app
        self.loopback = is_loopback(host)
        self.names = frozenset(names) if names is not None else own_names(host)
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for key, value in HEADERS.items():
                    headers.setdefault(key, value)
            await send(message)

        refused = self._refusal(scope)
        await (refused or self.app)(scope, receive, sealed)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("This page only reads.\n", 405, {"allow": "GET, HEAD"})
        if not self._is_own(headers.get("host", "")):
            return PlainTextResponse(
                "The Host header names another server. Give the address that fsm watch printed.\n", 421
            )
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return PlainTextResponse("Another site asked for this.\n", 403)
        return self._without_token(scope, headers) if self.token else None

    def _is_own(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() in self.names:
            return True
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or not self.loopback

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        assert self.token is not None
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token")
        if given is not None and _same(given, self.token):
            answer = RedirectResponse(scope["path"], 303)
            answer.set_cookie(_cookie(scope), self.token, httponly=True, samesite="lax")
            return answer
        try:
            kept = SimpleCookie(headers.get("cookie", "")).get(_cookie(scope))
        except CookieError:
            kept = None
        if kept is not None and _same(kept.value, self.token):
            return None
        said = "This page asks for a token: give the whole address that fsm watch printed, with ?token=... in it."
        if scope["path"].startswith("/api/"):
            return JSONResponse({"error": said}, 401)
        return PlainTextResponse(said + "\n", 401)


def _cookie(scope: Scope) -> str:
    """Cookies are a host's, whatever its port: two servers on one host have two of them."""
    server = scope.get("server")
    return f"{COOKIE}_{server[1] if server else 0}"


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
