"""What others ask of a run, beside its journal: an answer to its question, its end.

    runs/<run>/requests/cancel.json          {"id", "by", "why"}
    runs/<run>/requests/cancel-anyway.json   likewise, later: though what the run has begun outside cannot be ended
    runs/<run>/requests/<slot>.json          {"id", "by", "note", "label", "values"}

Each is written if absent, so that of several at once one stands, and is taken into the journal by whoever is the writer of
the run, now or when it is opened next. `id` tells one's own from another's.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fsm.errors import StoreError
from fsm.store import RunStore

CANCEL, ANYWAY = "cancel", "cancel-anyway"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = ""
    by: str | None = None


class AnswerRequest(_Request):
    """An edge named. Nobody (`by` None) has named it where the time limit passed."""

    label: str
    note: str | None = None
    values: dict[str, Any] = {}


class CancelRequest(_Request):
    """The run is to be over."""

    why: str | None = None


R = TypeVar("R", bound=_Request)


def read(run: RunStore, name: str, kind: type[R]) -> R | None:
    """The request of that name; None where there is none. Raises StoreError."""
    content = run.read_request(name)
    return None if content is None else _read(content, run, name, kind)


def put(run: RunStore, name: str, request: R) -> R:
    """Put a request, if there is none of that name yet; returned is the one that stands. Raises StoreError."""
    content = json.dumps(request.model_dump(), ensure_ascii=False).encode()
    return _read(run.put_request(name, content), run, name, type(request))


def cancel_of(run: RunStore) -> tuple[CancelRequest, bool] | None:
    """The end that was asked for, and whether it is to be made in any case; None where nobody asks for it."""
    asked = read(run, CANCEL, CancelRequest)
    if asked is None:  # `cancel-anyway` is put after it
        return None
    return asked, run.read_request(ANYWAY) is not None


def _read(content: bytes, run: RunStore, name: str, kind: type[R]) -> R:
    try:
        return kind.model_validate_json(content)
    except ValidationError as e:
        first = e.errors()[0]
        field = ".".join(str(p) for p in first["loc"])
        raise StoreError(
            f"{run.url}/requests/{name}.json is not such a request ({f'{field}: ' if field else ''}{first['msg']}): it was not "
            "written by this program, or by a newer one. Remove it, and ask again."
        ) from e
