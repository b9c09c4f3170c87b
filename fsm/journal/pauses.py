"""What a run waits for, a moment or an answer: how the records of it fold, and what is open.

    open[state]["pauses"] = {key: {"until", "seconds"?}                     a wait
                                | {"slot", "question", "labels", "show"?, "until"?, "seconds"?, "otherwise"?}   a question
                                | {"over": True}                            a wait that is over
                                | {"answer": {"label", "by", "note", "values"}}}

`key` counts the pauses of one visit. `until` is the moment in seconds since 1970 by the clock of who wrote the record: the one
value in here that two equal runs differ in. `slot` names the question, the same in every attempt: the first request that is put
under it is its answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fsm.journal.lines import MARK

KINDS = frozenset({"wait", "waited", "ask", "answer"})
_OPEN = ("until", "seconds", "slot", "question", "labels", "show", "otherwise")
_ANSWER = ("label", "by", "note", "values")


@dataclass(frozen=True)
class Pause:
    """One thing that a run waits for. `place` is the stack of places in words; without a question it is a wait."""

    place: str
    until: float | None = None
    slot: str | None = None
    question: str | None = None
    labels: tuple[str, ...] = ()
    show: Any = None
    otherwise: str | None = None

    @classmethod
    def of(cls, place: str, pause: Mapping[str, Any]) -> Pause:
        """By a record of it, or by what the fold keeps."""
        said = {k: pause[k] for k in _OPEN if k in pause and k not in ("seconds", "labels")}
        return cls(place, labels=tuple(pause.get("labels", ())), **said)

    def words(self, run: str) -> str:
        """What is waited for, as a sentence; for a question with how it is answered."""
        within = f" until {moment(self.until)}" if self.until is not None else ""
        if self.question is None:
            return f"{self.place} is waiting{within}."
        answers = ", ".join(repr(label) for label in self.labels)
        then = f" (then {self.otherwise!r})" if self.otherwise is not None else ""
        return f"{self.place} asks{within}{then}: {self.question} Answer with `fsm answer {run} LABEL`, by one of: {answers}."

    def as_json(self) -> dict[str, Any]:
        """What is said of it, without what is not."""
        said = {k: v for k, v in vars(self).items() if v is not None}
        return said | {"labels": list(self.labels)} if self.question is not None else said | {"labels": []}


def apply(here: dict[str, Any], record: Mapping[str, Any]) -> None:
    """Fold a record of a pause into what its state has begun."""
    pauses = here.setdefault("pauses", {})
    kind, key = record["kind"], record["key"]
    if kind in ("wait", "ask"):
        pauses[key] = {k: record[k] for k in _OPEN if k in record}
    elif kind == "waited":
        pauses[key] = {"over": True}
    else:
        pauses[key] = {"answer": {k: record.get(k) for k in _ANSWER}}


def is_open(pause: Mapping[str, Any]) -> bool:
    """Whether it is still waited for."""
    return "over" not in pause and "answer" not in pause


def pauses_of(root: Mapping[str, Any] | None) -> tuple[Pause, ...]:
    """All that the machines in progress wait for, the outermost first; `root` is the outermost frame."""
    return tuple(_below(root, [])) if root else ()


def _below(frame: Mapping[str, Any], above: list[str]) -> Iterator[Pause]:
    if not frame["place"]:
        return
    for state, begun in frame["open"].items():
        for pause in begun.get("pauses", {}).values():
            if is_open(pause):
                yield Pause.of(" > ".join([*above, state]), pause)
        for key, call in begun["calls"].items():
            yield from _below(call, above if key.startswith(MARK) else [*above, state])


def timeless(frame: Mapping[str, Any] | None) -> Any:
    """A frame without the moments that the clock has put into it: what two equal runs agree in."""
    if frame is None:
        return None
    return {**frame, "open": {state: _timeless(begun) for state, begun in frame["open"].items()}}


def _timeless(begun: Mapping[str, Any]) -> dict[str, Any]:
    said = {**begun, "calls": {key: timeless(call) for key, call in begun["calls"].items()}}
    if "pauses" in begun:
        said["pauses"] = {
            key: {k: v for k, v in pause.items() if k != "until"} for key, pause in begun["pauses"].items()
        }
    return said


def moment(until: float) -> str:
    """A Unix time in UTC, to the second."""
    return datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
