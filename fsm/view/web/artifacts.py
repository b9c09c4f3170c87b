"""An artifact on its way to a page: in part, as text to look at; whole, as a file to keep; or as a picture.

Whatever a browser makes of it, it runs nothing: what is shown is told to be plain text, a picture is for <img> alone, and
both are sealed by a policy of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from starlette.responses import JSONResponse, Response, StreamingResponse

from fsm.errors import FsmError
from fsm.store import RunStore

DIGEST = re.compile(r"[0-9a-f]{64}")
MOST = 1 << 20  # bytes in one part
LARGEST_PICTURE = 8 << 20
PICTURES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif"}
SEALED = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


def answer(run: RunStore, sha256: str, name: str, form: str, most: int) -> Response:
    """The artifact as `form` says: `part` (the first `most` bytes), `picture` or `file`."""
    if not DIGEST.fullmatch(sha256):
        return _refused("An artifact is named by its SHA-256, 64 hexadecimal digits.", 400)
    try:
        size = run.artifact_size(sha256)
        if size is None:
            return _refused(
                f"Artifact {sha256[:12]} of run {run.name} is gone, though a record names it. Restore it from a copy.",
                404,
            )
        if form == "file":
            return _file(run, sha256, name, size)
        if form == "picture":
            return _picture(run, sha256, name, size)
        part = _first(run.artifact_bytes(sha256), min(max(most, 0), MOST))
    except FsmError as e:
        return _refused(e.message, 502)
    headers = {"x-size": str(size), "x-shown": str(len(part)), **SEALED}
    return Response(part, media_type="text/plain; charset=utf-8", headers=headers)


def _first(pieces: Iterator[bytes], most: int) -> bytes:
    found = b""
    while len(found) < most and (piece := next(pieces, b"")):
        found += piece
    return found[:most]


def _file(run: RunStore, sha256: str, name: str, size: int) -> Response:
    plain = name.rpartition("/")[2] or sha256
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(plain, safe='')}",
        "content-length": str(size),
        **SEALED,
    }
    pieces = run.artifact_bytes(sha256)
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)


def _picture(run: RunStore, sha256: str, name: str, size: int) -> Response:
    ending = re.search(r"\.\w+$", name.lower())
    form = PICTURES.get(ending[0] if ending else "")
    if form is None or size > LARGEST_PICTURE:
        return _refused(f"{name} is no picture that a page can show ({size} bytes).", 415)
    return Response(b"".join(run.artifact_bytes(sha256)), media_type=form, headers=dict(SEALED))


def _refused(why: str, status: int) -> JSONResponse:
    said: dict[str, Any] = {"error": why}
    return JSONResponse(said, status)
