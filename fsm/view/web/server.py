"""`fsm watch`: serve the page of a store until it is interrupted."""

from __future__ import annotations

import errno
import gc
import os
import secrets
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

from fsm.errors import ConfigError
from fsm.speech import out, say
from fsm.store import Store, open_store, run_name
from fsm.view.following import give_way
from fsm.view.web.guard import is_loopback

PORT = 8377  # where it is free, so that a page finds the next server again
TOKEN = "FSM_WATCH_TOKEN"
AFTERWARDS = 3.0  # seconds that a page has to fetch the end of a run whose command has ended


def serve(
    run: str | None,
    store: str,
    host: str,
    port: int | None,
    browse: bool,
    attached: bool = False,
    lines: Path | None = None,
) -> int:
    """Serve until interrupted, or, `attached`, until standard input ends. The first line printed is the address. `lines`: a file of
    the log's lines as JSON, where there is one.

    Raises ConfigError where the address cannot be had.
    """
    import uvicorn

    from fsm.view.web.app import app

    opened = open_store(store)
    if run is not None:
        run_name(run)
    token = None if is_loopback(host) else os.environ.get(TOKEN) or secrets.token_urlsafe(24)
    listening = listen(host, port)
    address = url(host, listening.getsockname()[1], token, run)
    config = uvicorn.Config(
        app(opened, host, token, lines, run),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=1,
        ws="none",
    )
    server = uvicorn.Server(config)
    give_way()
    _collect_seldom()
    out(address)
    sys.stdout.flush()
    _remark(opened, run)
    if token:
        say("Who has this address can read the runs of the store; the connection is not encrypted.")
    if attached:
        threading.Thread(target=_until_input_ends, args=(server,), daemon=True).start()
    if browse:
        threading.Thread(target=_browse, args=(address,), daemon=True).start()
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # that is how it ends
    finally:
        if lines is not None:
            shutil.rmtree(lines.parent, ignore_errors=True)
    return 0


def _collect_seldom() -> None:
    """Records are read by the ten thousands, and none of them refers to itself: to look for such is a fifth of reading them."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _remark(store: Store, run: str | None) -> None:
    """A name that is no run may be one soon: said, and served."""
    if run is not None and store.run(run).read_header() is None:
        say(f"There is no run {run} at {store.url} yet; the page shows it as soon as it begins.")


def listen(host: str, port: int | None) -> socket.socket:
    """A socket at the address; without a port at PORT, or where that is taken, at any. Raises ConfigError."""
    given = port is not None
    if port is not None and not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: a port is a number from 0 to 65535.")
    for wanted in (port if port is not None else PORT, *(() if given else (0,))):
        try:
            family, _, _, _, where = socket.getaddrinfo(
                host.strip("[]"), wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            # asyncio sends at once (TCP_NODELAY) only where the protocol is named; else each answer may wait 40 ms for an
            # acknowledgement of its first half
            listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(128)
            return listening
        except socket.gaierror as e:
            raise ConfigError(
                f"--host {host}: there is no such address ({e.strerror}). Give one of this machine's."
            ) from e
        except OSError as e:
            if e.errno == errno.EADDRINUSE and not given and wanted:
                continue
            raise ConfigError(_why(host, wanted, e)) from e
    raise AssertionError("a free port is always found or refused")


def _why(host: str, port: int, e: OSError) -> str:
    if e.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is in use, perhaps by another fsm watch. Give another with --port, or leave --port out: then a "
            "free one is chosen."
        )
    if e.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: this machine does not have that address. Give one that it has."
    return f"{host}, port {port}, cannot be served: {e.strerror}. Give another with --port or --host."


def url(host: str, port: int, token: str | None, run: str | None) -> str:
    """The address to open."""
    name = host if host not in ("0.0.0.0", "::", "") else socket.gethostname()
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    asked = f"?token={token}" if token else ""
    return f"http://{name}:{port}/{asked}{f'#run={quote(run)}' if run else ''}"


def _browse(address: str) -> None:
    import webbrowser

    windows = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME")
    )
    try:
        opened = windows and webbrowser.open(address)
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        say("No browser could be opened here. Open the address above in one; --no-open leaves this out.")


def _until_input_ends(server: object) -> None:
    while os.read(0, 4096):
        pass
    time.sleep(AFTERWARDS)
    server.should_exit = True  # type: ignore[attr-defined]
