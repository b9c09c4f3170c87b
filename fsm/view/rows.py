"""A record as one row of a history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fsm.journal import MARK, is_branch, place_of
from fsm.journal import moment as at

_ALWAYS = {
    "transition": ("label", "to", "took"),
    "once": ("key",),
    "error": ("error", "message", "recovery"),
    "verdict": ("verdict", "last"),
    "wait": ("until",),
    "waited": (),
    "ask": ("slot", "question", "labels"),
    "answer": ("label", "by"),
    "cancel": ("end",),
    "split": (),
    "join": ("took",),
}
_SOMETIMES = (
    *("reads", "also", "counts", "end", "item", "retry", "skipped", "leave"),
    *("seconds", "show", "until", "otherwise", "note", "values", "left"),  # of waiting and cancelling
    *("branches", "calls", "items", "key", "last", "label", "to"),  # of what goes at once
)


def moment(time: float) -> str:
    """A Unix time as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as one row of a history: what happened where, without chain and snapshot.

    Always `seq`, `kind`, `time`. Of a claim `epoch`, `writer`, `host`, `pid`; of a fork's first record the `run` that it was
    begun from and `at` which record; of other drawings that were accepted `diagrams` (machine -> SHA-256) and `renames`. Of all
    others `place` (words), `machine`, `from`, `visit`, and of what happens in a branch that goes at once with others `branch`; of a
    transition `label`, `to`, `took` (seconds) and where there are any `artifacts` and `reads` (name -> SHA-256), `also`, `counts`,
    `end`; of a once `key`; of an error `error`, `message`, `recovery`, `item`, `retry`; of a verdict `verdict`, `last`, `skipped`,
    `leave`; of a wait `until` (seconds since 1970) and `seconds`; of an ask `slot`, `question`, `labels`, `show`, `until`,
    `otherwise`; of an answer `label`, `by`, `note`, `values`; of a cancel `end` and `left`; of a split `branches` (name -> where it
    stands), or `calls` (the machine), `items` and `key`; of a join `took`, and of branches `last`, `label`, `to`, `also`, `end`.
    """
    row: dict[str, Any] = {"seq": record["seq"], "kind": record["kind"], "time": moment(record["time"])}
    if record["kind"] == "claim":
        return row | {k: record[k] for k in ("epoch", "writer", "host", "pid")}
    if record["kind"] == "fork":
        return row | {"run": record["past"]["run"], "at": record["past"]["seq"]}
    if record["kind"] == "accept":
        return row | {"diagrams": record["diagrams"], "renames": record.get("renames") or {}}
    row |= {
        "place": place_of(record["at"], record["from"]),
        "machine": record["machine"],
        "from": record["from"],
        "visit": record["visit"],
    }
    if branches := [step.rpartition(MARK)[2] for step in record["at"] if is_branch(step)]:
        row["branch"] = " > ".join(branches)
    row |= {k: record[k] for k in _ALWAYS[record["kind"]]}
    if files := record.get("files"):
        row["artifacts"] = {name: file["sha256"] for name, file in files.items()}
    return row | {k: record[k] for k in _SOMETIMES if record.get(k)}


def what(row: Mapping[str, Any], most: int = 80) -> str:
    """What happened in a row, in words; of an error's message at most `most` characters."""
    kind = row["kind"]
    if kind == "claim":
        return f"taken up by {row['writer']} (epoch {row['epoch']})"
    if kind == "fork":
        return f"forked from {row['run']} at record {row['at']}"
    if kind == "accept":
        renamed = [f"{old} is {new}" for names in row["renames"].values() for old, new in names.items()]
        return "; ".join([f"goes on under other drawings: {', '.join(row['diagrams'])}", *renamed])
    if kind == "once":
        return f"once {row['key']}"
    if kind == "error":
        fits = f"; enters {row['recovery']}" if row["recovery"] else ""
        again = f"; again in {row['retry']['seconds']:g} s" if row.get("retry") else ""
        return f"{row['error']}: {one_line(row['message'], most)}{fits}{again}"
    if kind == "verdict":
        return f"{row['verdict']}, after {row['last']}"
    if kind in _PAUSES:
        return _PAUSES[kind](row, most)
    if kind == "split":
        several = ", ".join(row.get("branches") or ())
        return f"at once: {several or str(row['items']) + ' items through ' + row['calls']}"
    if kind == "join" and "key" in row:
        return "all items have ended"
    to = ", ".join(row.get("to") or ()) or "[*]"
    if kind == "join":
        return f"all branches have joined -> {to}"
    words = f"{row['label']} -> {to}" if row["label"] else f"-> {to}"
    if artifacts := row.get("artifacts"):
        words += f"  + {len(artifacts)} artifact{'s' if len(artifacts) > 1 else ''}"
    return words


def _wait(row: Mapping[str, Any], most: int) -> str:
    return f"waits until {at(row['until'])}"


def _waited(row: Mapping[str, Any], most: int) -> str:
    return "has waited"


def _ask(row: Mapping[str, Any], most: int) -> str:
    return f"asks: {one_line(row['question'], most)}"


def _answer(row: Mapping[str, Any], most: int) -> str:
    note = f": {one_line(row['note'], most)}" if row.get("note") else ""
    return f"answered {row['label']!r} by {row['by'] or 'nobody in time'}{note}"


def _cancel(row: Mapping[str, Any], most: int) -> str:
    why = f": {one_line(row['end']['why'], most)}" if row["end"].get("why") else ""
    return f"cancelled by {row['end'].get('by') or 'request'}{why}"


_PAUSES = {"wait": _wait, "waited": _waited, "ask": _ask, "answer": _answer, "cancel": _cancel}


def one_line(text: str, most: int) -> str:
    """A text on one line, cut after `most` characters."""
    words = " ".join(text.split())
    return words if len(words) <= most else words[: most - 1] + "…"
