"""`fsm compare A B`: where two runs part, and what differs after it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsm.journal import Journal, apart, in_order, whole
from fsm.prove import History, differences
from fsm.speech import out
from fsm.store import RunStore, open_store

MOST_NUMBERS = 1 << 20  # bytes of a JSON artifact whose numbers are held beside the other's
SHOWN = 20  # lines of a kind


def compare(one: str, other: str, store: str, as_json: bool) -> int:
    """Hold two runs of a store beside each other; 0 where they are the same, 1 where they differ.

    As JSON one object: runs, settings {key: [in A, in B]}, parted (null, or seq in A and B, machine, from, what, and both
    values), edges {"machine: from : label": [times in A, in B]}, artifacts {name: [digest in A, in B]}, numbers {artifact:
    {key: [in A, in B]}} of JSON artifacts that both have, ended [in A, in B]. Only what differs is in it. Raises NoSuchRun.
    """
    opened = open_store(store)
    runs = [_Run(opened.run(name)) for name in (one, other)]
    said = {
        "runs": [one, other],
        "settings": {key: [a, b] for key, a, b in apart(runs[0].settings, runs[1].settings)},
        "parted": _parted(*runs),
        "edges": dict(_apart(*(r.edges() for r in runs))),
        "artifacts": dict(_apart(*(r.artifacts() for r in runs))),
        "numbers": dict(_numbers(*runs)),
        "ended": [r.ended() for r in runs] if runs[0].ended() != runs[1].ended() else None,
    }
    same = not any(v for k, v in said.items() if k not in ("runs", "settings"))
    if as_json:
        out(json.dumps(said, ensure_ascii=False))
    else:
        for line in _lines(said, same):
            out(line)
    return 0 if same else 1


class _Run:
    """What of a run is compared."""

    def __init__(self, run: RunStore) -> None:
        self.run = run
        header = Journal(run).header()
        self.settings = {k: header[k] for k in ("machine", "seed", "config", "diagrams") if k in header}
        # lines that went at once, one after the other; of a fork its past as well
        self.records = in_order(r for r in whole(run) if "from" in r)

    @property
    def history(self) -> History:
        return History(Path(), self.run.name, self.records, {}, self.run)

    def edges(self) -> dict[str, int]:
        """How often each edge was taken, those of counted machines among them."""
        count: Counter[str] = Counter()
        for r in self.records:
            if r["kind"] == "transition":
                count[f"{r['machine']}: {r['from']}" + (f" : {r['label']}" if r["label"] else "")] += 1
                count.update(r.get("counts") or {})
        return dict(count)

    def artifacts(self) -> dict[str, str]:
        """The newest digest of each artifact."""
        return {n: f["sha256"] for r in self.records for n, f in (r.get("files") or {}).items()}

    def ended(self) -> Any:
        """How it ended; None where it has not."""
        return self.records[-1].get("end") if self.records else None

    def content(self, sha256: str) -> Any:
        """What a JSON artifact says; None where it is none, or too long to hold beside another."""
        size = self.run.artifact_size(sha256)
        if size is None or size > MOST_NUMBERS:
            return None
        try:
            return json.loads(b"".join(self.run.artifact_bytes(sha256)))
        except ValueError:
            return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parted(one: _Run, other: _Run) -> dict[str, Any] | None:
    """The first thing that the two did otherwise."""
    first = next(differences(one.history, other.history), None)
    if first is None:
        return None
    number = first.key.partition(" ")[0]
    at = int(number) if number.isdigit() else min(len(one.records), len(other.records))
    seqs = [r.records[at]["seq"] if at < len(r.records) else None for r in (one, other)]
    return {
        "seq": seqs,
        "machine": first.machine,
        "from": first.state,
        "what": first.what,
        "values": [first.found, first.reference],
    }


def _numbers(one: _Run, other: _Run) -> Iterator[tuple[str, dict[str, Any]]]:
    mine, its = one.artifacts(), other.artifacts()
    for name in sorted(mine.keys() & its.keys()):
        if name.endswith(".json") and mine[name] != its[name]:
            numbers = {
                key: [a, b]
                for key, a, b in apart(one.content(mine[name]), other.content(its[name]))
                if _number(a) or _number(b)
            }
            if numbers:
                yield name, numbers


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """(key, both values) of what differs, in the order of the first, then of the second."""
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            yield key, [one.get(key), other.get(key)]


def _lines(said: Mapping[str, Any], same: bool) -> Iterator[str]:
    one, other = said["runs"]
    yield from _listed("settings", said["settings"])
    if same:
        yield f"{one} and {other} did the same"
        return
    if parted := said["parted"]:
        seqs = " and ".join("the end" if s is None else f"record {s}" for s in parted["seq"])
        yield f"they part at {seqs}, in {parted['machine']}: {parted['from']}"
        yield f"  {parted['what']}: {parted['values'][0]} in {one}, {parted['values'][1]} in {other}"
    yield from _listed("edges taken", said["edges"])
    yield from _listed(
        "artifacts", {n: [(d or "none")[:12] for d in ds] for n, ds in said["artifacts"].items()}
    )
    for name, numbers in said["numbers"].items():
        yield from _listed(name, numbers)
    if ended := said["ended"]:
        yield "ended"
        yield from (f"  {name}: {_ending(end)}" for name, end in zip((one, other), ended, strict=True))


def _listed(title: str, apart: Mapping[str, list[Any]]) -> Iterator[str]:
    if apart:
        yield title
        width = max(len(key) for key in list(apart)[:SHOWN])
        for key, (mine, its) in list(apart.items())[:SHOWN]:
            yield f"  {key:{width}}  {_word(mine)}  {_word(its)}"
        if len(apart) > SHOWN:
            yield f"  and {len(apart) - SHOWN} more: --json has them"


def _word(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _ending(end: Mapping[str, Any] | None) -> str:
    return "not yet" if end is None else f"{end['outcome']} by {end['label']!r}, after {end['last']}"
