"""Text handed to a program, or to an address: within a bound of time, and whatever becomes of it.

Neither raises for what goes wrong there: each returns why it did, in words, or None.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from fsm.speech.visible import stripped

LAST = 2000  # bytes of what a program printed that are looked at, from the end
SHOWN = 300  # characters of it that are told


def called(command: Sequence[str], text: str, seconds: float) -> str | None:
    """Run a command with `text` on its standard input; returns why that failed, or None.

    It is killed with all it began after `seconds`, and when this process is interrupted. What it prints is shown only
    where it fails: files take it, so that it waits for no reader, and nobody for what it leaves running.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
        given.write(text.encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(command), stdin=given, stdout=printed, stderr=printed, start_new_session=True
            )
        except (OSError, ValueError) as e:
            why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            return f"it cannot be begun ({why})"
        ended = False
        try:
            code = process.wait(seconds)
            ended = True
        except subprocess.TimeoutExpired:
            return f"it had not ended after {seconds:g} seconds, and was killed{_said(printed)}"
        finally:
            if not ended:
                _kill(process)
        if code < 0:
            return f"it was ended by signal {-code}{_said(printed)}"
        return f"it ended with exit code {code}{_said(printed)}" if code else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(printed: IO[bytes]) -> str:
    """The last line that a program printed."""
    size = printed.seek(0, os.SEEK_END)
    printed.seek(max(0, size - LAST))
    lines = stripped(printed.read().decode("utf-8", "replace")).strip().splitlines()
    return f": {lines[-1].strip()[:SHOWN]}" if lines else ""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nobody elsewhere: what was posted would become a question without its text."""

    def redirect_request(self, *_: Any) -> None:
        return None


def posted(url: str, text: str, seconds: float) -> str | None:
    """POST a JSON text to an http(s) address; returns why that failed, or None. An answer of 2xx is taken for well.

    The reason never holds the address, which may be secret as a whole.
    """
    found: list[str | None] = []

    def post() -> None:
        try:
            request = _request(url, text)
            with urllib.request.build_opener(_Stay).open(request, timeout=seconds):
                found.append(None)
        except urllib.error.HTTPError as e:
            with e:
                found.append(f"it answered {e.code}")
        except Exception as e:  # whatever a server may do to a client
            reason = getattr(e, "reason", e)
            why = (
                reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
            )
            found.append(f"it cannot be reached ({why})")

    # the bound of a socket is one of each wait for a piece, and there is none for the look-up of a name
    thread = threading.Thread(target=post, name="post", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else f"it has not answered after {seconds:g} seconds"


def _request(url: str, text: str) -> urllib.request.Request:
    """With the name and password of an address where they belong, which urllib would take for its host."""
    parts = urlsplit(url)
    who, _, where = parts.netloc.rpartition("@")
    headers = {"Content-Type": "application/json"}
    if who:
        headers["Authorization"] = "Basic " + base64.b64encode(unquote(who).encode()).decode()
    return urllib.request.Request(parts._replace(netloc=where, fragment="").geturl(), text.encode(), headers)


def origin(url: str) -> str:
    """The part of an address that is no secret: scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
