"""What a record may say: the schema every line read from a journal is held against."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from fsm.errors import JournalDamaged

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

# Dictionaries and no models: of a record only the values are wanted, and no object is made of each to be thrown away
_exactly = with_config(ConfigDict(extra="forbid", strict=True))


@_exactly
class File(TypedDict):
    sha256: Digest
    size: Annotated[int, Field(ge=0)]
    records: NotRequired[Annotated[int, Field(ge=0)]]  # in it, where it is made of some


@_exactly
class Patch(TypedDict):
    """What a state changed of its frame's data."""

    set: NotRequired[dict[str, Any]]
    drop: NotRequired[list[str]]


@_exactly
class Ended(TypedDict):
    outcome: Literal["done", "failed", "cancelled"]
    label: str | None
    last: str
    by: NotRequired[str | None]  # of a cancelled one: who asked for it, and why
    why: NotRequired[str | None]


@_exactly
class _Record(TypedDict):
    seq: Annotated[int, Field(ge=0)]
    epoch: Annotated[int, Field(ge=1)]
    writer: str
    id: str
    prev: Digest
    time: float


@_exactly
class Claim(_Record):
    """A writer takes the run."""

    kind: Literal["claim"]
    host: str
    pid: int


@_exactly
class Past(TypedDict):
    """What a fork shares: a run up to one of its records, each by digest."""

    run: str
    generation: Annotated[int, Field(ge=0)]
    header: Digest  # of its run.json
    seq: Annotated[int, Field(ge=0)]
    record: Digest  # of the line of that number


@_exactly
class Fork(_Record):
    """The first record of a fork: where its past ends, and the state there."""

    kind: Literal["fork"]
    host: str
    pid: int
    past: Past
    snapshot: dict[str, Any]


@_exactly
class Accept(_Record):
    """The run goes on under other drawings: `before` and `diagrams` are their digests by machine, then and now, of those that
    changed, `drawings` the texts of the new ones, `renames` the states that are called otherwise in them, by machine."""

    kind: Literal["accept"]
    before: dict[str, Digest]
    diagrams: dict[str, Digest | None]  # None where it takes part no more
    drawings: dict[str, str]
    renames: NotRequired[dict[str, dict[str, str]] | None]
    sections: NotRequired[dict[str, Any] | None]  # of machines that came with the drawings
    snapshot: NotRequired[dict[str, Any] | None]


@_exactly
class Above(TypedDict):
    """A machine that called down before it wrote a record of its own, and where it stands."""

    at: list[str]
    machine: str
    place: list[str]


_Acted = TypedDict("_Acted", {"from": str})
"""The state that acted: a word that Python keeps for itself, so that it cannot stand in a class."""


@_exactly
class _InState(_Record, _Acted):
    at: list[
        str
    ]  # the states, outermost first, that called down to this machine; `~2` marks a second call, `~|B` branch B
    # of a split, `~0|7` item 7 of a first call
    machine: str
    visit: Annotated[int, Field(ge=1)]
    place: NotRequired[list[str] | None]  # where the machine stands, if in more than one state
    above: NotRequired[list[Above] | None]  # machines above that no record has told of before
    snapshot: NotRequired[dict[str, Any] | None]
    spent: NotRequired[dict[str, float | None]]  # seconds used of limits of time; null of one that is over


@_exactly
class Transition(_InState):
    """A state was left by an edge; `to` is the place after it, empty when the machine has ended."""

    kind: Literal["transition"]
    label: str | None
    to: list[str]
    took: float
    data: NotRequired[Patch | None]
    files: NotRequired[dict[str, File] | None]  # artifacts put, by logical name
    reads: NotRequired[dict[str, Digest] | None]  # artifacts opened
    uses: NotRequired[list[str] | None]  # sections of other phases that the handler asked for
    also: NotRequired[list[str] | None]  # edges of composites left on the way, "source --> target : label"
    # edges walked by counted machines, "machine: source --> target : label"
    counts: NotRequired[dict[str, int] | None]
    end: NotRequired[Ended | None]


@_exactly
class Once(_InState):
    """A step inside a state, done and never to be done again in this visit."""

    kind: Literal["once"]
    key: str
    value: Any


@_exactly
class Retry(TypedDict):
    """The state starts again after so many seconds, for its machine declares that of such errors."""

    of: str  # the class, by its name
    seconds: Annotated[float, Field(ge=0)]


@_exactly
class Error(_InState):
    """An exception in a state; `recovery` is the state of the recovery machine it entered, if it fits a class."""

    kind: Literal["error"]
    recovery: str | None
    by: NotRequired[str | None]  # the recovery machine
    error: str
    message: str
    item: NotRequired[str | None]
    retry: NotRequired[Retry]
    traceback: str


@_exactly
class Leave(TypedDict):
    """An outer state that the failure ends by an edge of its own."""

    at: list[str]
    state: str
    label: str


@_exactly
class Verdict(_InState):
    """How the recovery machine ended, and what that does to the state that failed."""

    kind: Literal["verdict"]
    verdict: Literal["stop", "again", "skip"]
    last: str
    patch: NotRequired[dict[str, Any] | None]
    skipped: NotRequired[dict[str, str] | None]
    leave: NotRequired[Leave | None]


@_exactly
class Split(_InState):
    """Lines begin here that go at once: branches of a split, each with where it stands, or items that a handler maps.

    `visit` counts the splits here; of a map it is the state's. What happens in a line carries its step in `at`.
    """

    kind: Literal["split"]
    branches: NotRequired[dict[str, list[str]] | None]
    key: NotRequired[str | None]  # which of its calls the handler's map is
    calls: NotRequired[str | None]  # the machine that every item walks
    items: NotRequired[Annotated[int, Field(ge=1)] | None]


@_exactly
class Join(_InState):
    """All lines of a split have come to rest, and what they did is put together. Of branches: `last` and `label` are those of the
    last branch in the drawing, `to` the place after it, `also` the edges of what was left with it."""

    kind: Literal["join"]
    took: float
    key: NotRequired[str | None]
    last: NotRequired[str | None]
    label: NotRequired[str | None]
    to: NotRequired[list[str] | None]
    also: NotRequired[list[str] | None]
    end: NotRequired[Ended | None]


@_exactly
class Wait(_InState):
    """A state waits: until a moment, in seconds since 1970; `seconds` where that many were asked for."""

    kind: Literal["wait"]
    key: str
    until: float
    seconds: NotRequired[float | None]


@_exactly
class Waited(_InState):
    """A wait is over, whatever the clock says after it."""

    kind: Literal["waited"]
    key: str


@_exactly
class Ask(_InState):
    """A state waits for one of its edges to be named, `until` a moment at most: then it is left by `otherwise`."""

    kind: Literal["ask"]
    key: str
    slot: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    question: str
    labels: list[str]
    show: NotRequired[Any]
    until: NotRequired[float | None]
    seconds: NotRequired[float | None]
    otherwise: NotRequired[str | None]


@_exactly
class Answer(_InState):
    """A question is answered: by whom, or by nobody in time."""

    kind: Literal["answer"]
    key: str
    label: str
    by: str | None
    note: NotRequired[str | None]
    values: NotRequired[dict[str, Any] | None]


@_exactly
class Cancel(_InState):
    """The run is over, for somebody asked for that; `left` says what could not be ended outside."""

    kind: Literal["cancel"]
    left: NotRequired[list[str] | None]
    end: Ended


_adapter: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        Claim
        | Fork
        | Accept
        | Transition
        | Once
        | Error
        | Verdict
        | Wait
        | Waited
        | Ask
        | Answer
        | Cancel
        | Split
        | Join,
        Field(discriminator="kind"),
    ]
)


def validated(value: Any, where: str) -> dict[str, Any]:
    """The value, if it is a record. Raises JournalDamaged saying which field is wrong."""
    try:
        _adapter.validate_python(value)
    except ValidationError as e:
        raise _refused(e, where) from e
    return value  # type: ignore[no-any-return]


def read(line: bytes, where: str, ordered: bool = True) -> dict[str, Any]:
    """A line, if it is a record. Raises JournalDamaged.

    `ordered`: its keys stand as they do in the line, so that it can be written again. Who only looks needs that not, and has
    it read and held against the schema in one, which takes three quarters of the time.
    """
    try:
        if not ordered:
            return _adapter.validate_json(line)  # type: ignore[no-any-return]
        value = from_json(line)
        _adapter.validate_python(value)
    except ValidationError as e:
        if e.errors()[0]["type"] == "json_invalid":
            raise _no_json(e.errors()[0]["ctx"]["error"], where) from e
        raise _refused(e, where) from e
    except ValueError as e:
        raise _no_json(e, where) from e
    return value  # type: ignore[no-any-return]


def _no_json(why: object, where: str) -> JournalDamaged:
    return JournalDamaged(
        f"{where}: a record is not JSON ({why}). The journal was changed from outside: restore it from a copy, or start "
        "anew with --fresh."
    )


def _refused(e: ValidationError, where: str) -> JournalDamaged:
    first = e.errors()[0]
    field = ".".join(str(p) for p in first["loc"])
    return JournalDamaged(
        f"{where}: this is not a record of a run: {field}: {first['msg']}. The journal was changed from outside, or was "
        "written by a newer version: restore it from a copy, or start anew with --fresh."
    )
