"""What two runs that should be the same differ in: by record, key of the data, artifact and byte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm.journal import apart, essence, in_order
from fsm.store import RunStore, open_store

SHOWN = 40  # characters of a value, and bytes around the first that differs


@dataclass(frozen=True)
class Difference:
    """One thing that differs. `key` names it, the same in every comparison: the number of the record and what of it."""

    key: str
    machine: str
    state: str
    what: str
    found: str
    reference: str

    def __str__(self) -> str:
        return f"{self.what}: {self.found} where it was {self.reference}"


@dataclass(frozen=True)
class History:
    """What a run came to: its records but the claims, and what its states wrote outside, by path; None where nothing is.

    It lies in the directory `store` under the name `run`, or is open already.
    """

    store: Path
    run: str
    records: Sequence[Mapping[str, Any]]
    outside: Mapping[str, bytes | None]
    opened: RunStore | None = None

    def artifact(self, sha256: str) -> bytes:
        run = self.opened or open_store(str(self.store)).run(self.run)
        return run.artifact(sha256).read_bytes()


def differences(found: History, reference: History) -> Iterator[Difference]:
    """Everything that two histories differ in, in their order; where they went different ways, that and no more.

    What went at once is compared line by line: how the lines are shuffled into each other is chance, and no difference.
    """
    ours, theirs = in_order(found.records), in_order(reference.records)
    for number, (mine, its) in enumerate(zip(ours, theirs, strict=False)):
        if _step(mine) != _step(its):
            yield Difference(f"{number}", its["machine"], its["from"], "the way", _way(mine), _way(its))
            return
        yield from _in_record(number, mine, its, found, reference)
    if len(ours) != len(theirs):
        last = (ours or theirs)[-1]
        counts = f"{len(ours)} records", f"{len(theirs)} records"
        yield Difference("length", last["machine"], last["from"], "the journal", *counts)


def outside(found: History, reference: History, by: Mapping[str, tuple[str, str]]) -> Iterator[Difference]:
    """The files outside that differ; `by` tells which (machine, state) writes which."""
    for path in sorted({*found.outside, *reference.outside}):
        mine, its = found.outside.get(path), reference.outside.get(path)
        if mine != its:
            machine, state = by.get(path, ("", ""))
            yield Difference(f"file {path}", machine, state, f"file {path}", *_bytes(mine, its))


def _step(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return record["kind"], tuple(record["at"]), record["machine"], record["from"], record.get("label")


def _way(record: Mapping[str, Any]) -> str:
    label = f" by {record['label']!r}" if record.get("label") else ""
    return f"{record['kind']} of {record['from']}{label}"


def _in_record(
    number: int, mine: Mapping[str, Any], its: Mapping[str, Any], found: History, reference: History
) -> Iterator[Difference]:
    where = its["machine"], its["from"]
    files, others = mine.get("files") or {}, its.get("files") or {}
    for name in sorted({*files, *others}):
        one, other = (f.get(name, {}).get("sha256") for f in (files, others))
        if one != other:
            contents = (
                found.artifact(one) if one else None,
                reference.artifact(other) if other else None,
            )
            yield Difference(f"{number} artifact {name}", *where, f"artifact {name}", *_bytes(*contents))
    left_out = {"files", "reads", "snapshot"}
    values = ({k: v for k, v in essence(dict(r)).items() if k not in left_out} for r in (mine, its))
    for path, one, other in apart(next(values), next(values)):
        what = path.replace("data.set.", "data.", 1)  # what the state changed of the machine's data
        yield Difference(f"{number} {path}", *where, what, _short(one), _short(other))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _bytes(mine: bytes | None, its: bytes | None) -> tuple[str, str]:
    """Two contents, from a little before the first byte that differs."""
    if mine is None or its is None:
        return tuple("none" if c is None else f"{len(c)} bytes" for c in (mine, its))  # type: ignore[return-value]
    at = next(
        (i for i, (a, b) in enumerate(zip(mine, its, strict=False)) if a != b), min(len(mine), len(its))
    )
    begin = max(0, at - SHOWN // 4)
    shown = (f"{c[begin : begin + SHOWN]!r} at byte {at} of {len(c)}" for c in (mine, its))
    return tuple(shown)  # type: ignore[return-value]
