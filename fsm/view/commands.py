"""`fsm status`, `history`, `runs`, `clean`: what a store says, as text or as JSON. Each returns the exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from fsm.journal import Journal, base, moment, past_of
from fsm.speech import out, say, visible
from fsm.store import open_store
from fsm.view import clean as cleaning
from fsm.view import report
from fsm.view.durations import duration
from fsm.view.projection import flat
from fsm.view.report import Reading
from fsm.view.rows import one_line, what
from fsm.view.sizes import size
from fsm.view.views import Level

SHOWN = 5  # newest records in the text of a status


def status(run: str, store: str, as_json: bool) -> int:
    """Where a run stands.

    As JSON one object:

        run, url, machine, created   as begun
        status     running, waiting (for a moment or an answer, and nobody at it), stopped (resumable), done, failed or cancelled;
                   with label and last of the edge it ended by
        waiting    what it waits for: {place, until, slot, question, labels, show, otherwise}, as far as there is any of it
        place      the stack of places in words; empty when it has ended
        stack      outermost first: {machine, state, place, visit, since} and, where there are any, overview (where it
                   stands seen from the machine above: the states of the drawing inside `state`) and progress
        records, missing, artifacts, errors   counts; missing: records known to have been written that are not there
        stopped    why the last attempt stopped, where the journal says so
        updated    time of the newest record
        runner     {writer, host, pid, time} of the process that is at it, or null
        recent     the newest records, as `history --json` prints them
        watching   the same object of the run that this one follows, or null
        foreign    why it is not the run that it stands as (a copy, a changed header), or null
        next       what to do now
    """
    reading = report.read(open_store(store), run)
    if as_json:
        _print_json(report.status_json(reading))
    else:
        _print(_status_lines(reading))
    return 0


def history(run: str, store: str, as_json: bool) -> int:
    """The records of a run, oldest first.

    As JSON one line a record, as `fsm.view.projection.flat` describes it: seq, kind, time, place, machine, from, label,
    to, visit, took, artifacts {name: sha256}, and what belongs to errors and verdicts. Before them, of a run that is not
    the one it stands as, a line {"foreign": why}. Of a fork the records of its past come first, under the numbers they have there;
    each has `of_past`: true.
    """
    journal = Journal(open_store(store).run(run))
    foreign = journal.foreign()
    if foreign and as_json:
        _print_json({"foreign": foreign})
    rows = chain(
        ({**flat(record), "of_past": True} for record in past_of(journal.store)),
        (flat(record) for record in journal.records()),
    )
    if as_json:
        for row in rows:
            _print_json(row)
    else:
        table = [("SEQ", "TIME", "PLACE", "WHAT", "VISIT", "TOOK")]
        _print_table(chain(table, (_history_row(row) for row in rows)))
    return 0


def runs(store: str, as_json: bool) -> int:
    """The runs of a store, the one last written to first.

    As JSON one line a run: run, machine, status (running, waiting, stopped, done, failed, cancelled), waiting (for what, as in a
    status), label, place, records, artifacts,
    artifact_bytes (of all that are kept), scratch (its directories on this machine), scratch_bytes, workers (the
    processes that still work in them though no runner is at the run: a job whose launcher was killed), generation, created,
    updated, age (seconds since `updated`), progress (how many of the outermost states were left, of how many, or null),
    foreign (why it is not the run that it stands as, or null); of one that cannot be read only run and problem.
    """
    opened = open_store(store)
    now = time.time()
    rows = [report.summary(opened, name, now) for name in opened.runs()]
    rows.sort(key=_age)
    if as_json:
        for row in rows:
            _print_json(row)
    elif rows:
        head = ("RUN", "MACHINE", "STATUS", "PLACE", "RECORDS", "ARTIFACTS", "SCRATCH", "AGE")
        _print_table([head, *(_run_row(row) for row in rows)])
    else:
        out(f"No runs at {opened.url}. `fsm run CONFIG` begins one.")
    for row in rows:
        if row.get("foreign"):
            say(row["foreign"])
    return 0


def clean(run: str, store: str, force: bool, as_json: bool) -> int:
    """Remove the scratch of a run on this machine.

    As JSON one object: run, removed (directories), freed (bytes).
    """
    done = cleaning.clean(open_store(store), run, force)
    if as_json:
        _print_json({"run": done.run, "removed": list(done.removed), "freed": done.freed})
    elif done.removed:
        out(f"Run {run}: {size(done.freed)} freed; removed {', '.join(done.removed)}.")
    else:
        out(f"Run {run} has no scratch on this machine.")
    return 0


def _age(row: dict[str, Any]) -> float:
    age = row.get("age")
    return float("inf") if age is None else float(age)


# Text


def _status_lines(reading: Reading, indent: str = "") -> Iterable[str]:
    p = reading.projection
    ended = p.ended
    how = f" by {ended['label']!r}" if ended and ended["label"] else ""
    how = f"{how}, after {ended['last']}" if ended else how
    yield f"{indent}{reading.name}  {reading.header['machine']}  {reading.status}{how}"
    if reading.missing:
        yield (
            f"{indent}  {reading.missing} records are missing: the runner has written {p.records + reading.missing}, "
            f"the journal at {reading.url} holds {p.records}."
        )
    if reading.alive and reading.live:
        yield f"{indent}  runner    process {reading.live.get('pid')} on {reading.live.get('host')}"
    now = time.time()
    before: list[Level] = []
    for depth, level in enumerate(p.stack()):
        seen = f" ({' or '.join(level.overview)})" if level.overview else ""
        visit = f", visit {level.visit}" if level.visit > 1 else ""
        since = f" for {duration(max(0.0, now - level.since))}" if reading.alive else ""
        others = [s for s in level.place if s != level.state]
        beside = f", beside {', '.join(others)}" if others else ""
        at = f"{level.state}{seen}"
        same = any(base(lv.at) == base(level.at) for lv in before)
        before.append(level)
        yield f"{indent}  {'stands in ' if depth == 0 else '        | ' if same else '        > '}{at}{since}{visit}{beside}  [{level.machine}]"
        if level.progress:
            of = f" of {level.progress.total:g}" if level.progress.total else ""
            yield f"{indent}            {level.progress.done:g}{of} {level.progress.note}".rstrip()
    if reading.watching:
        yield f"{indent}  follows"
        yield from _status_lines(reading.watching, indent + "    ")
    if ended and ended["outcome"] == "cancelled":
        why = f": {one_line(ended['why'], 200)}" if ended.get("why") else ""
        yield f"{indent}  cancelled by {ended.get('by') or 'request'}{why}"
    for pause in p.pauses.values():
        yield f"{indent}  waits     {one_line(pause.words(reading.name), 400)}"
        if pause.slot is not None:
            yield f"{indent}  question  {pause.slot}"
        if pause.show is not None:
            yield f"{indent}  shown     {json.dumps(pause.show, ensure_ascii=False)}"
    if reading.status == "stopped" and p.stopped:
        yield f"{indent}  stopped   {one_line(p.stopped, 200)}"
    counts = [f"{p.records} records", f"{p.artifacts} artifacts"]
    if errors := sum(t.errors for tallies in p.tallies.values() for t in tallies.values()):
        counts.append(f"{errors} errors")
    yield f"{indent}  so far    {', '.join(counts)}"
    if not indent:
        newest = [_history_row(row) for row in list(p.recent)[-SHOWN:]]
        for number, line in enumerate(_aligned(newest)):
            yield f"  {'newest    ' if number == 0 else '          '}{line}"
        yield f"  next      {reading.advice}"


def _history_row(row: dict[str, Any]) -> tuple[str, ...]:
    at = _local_time(row["time"])
    if "place" not in row:
        return str(row["seq"]), at, "", what(row), "", ""
    took = duration(row["took"]) if "took" in row else ""
    return str(row["seq"]), at, row["place"], what(row), str(row["visit"]), took


def _run_row(row: dict[str, Any]) -> tuple[str, ...]:
    if "problem" in row:
        return row["run"], "?", "unreadable", one_line(row["problem"], 100), "", "", "", ""
    place = row["place"] + (f" ({row['label']})" if row["label"] else "")
    place += "".join(f"; {_for(pause)}" for pause in row["waiting"])
    age = f"{duration(max(0.0, row['age']))} ago" if row["age"] is not None else "never begun"
    takes = size(row["artifact_bytes"]), size(row["scratch_bytes"])
    status = row["status"] + "".join(f", process {pid} at work" for pid in row["workers"])
    return row["run"], row["machine"], status, place, str(row["records"]), *takes, age


def _for(pause: dict[str, Any]) -> str:
    """What a run waits for, in short."""
    if pause.get("question") is None:
        return f"until {moment(pause['until'])}"
    return f"asks: {one_line(pause['question'], 60)} ({', '.join(pause['labels'])})"


def _local_time(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    rows = [tuple(visible(cell, keep="") for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _print_table(rows: Iterable[tuple[str, ...]]) -> None:
    _print(_aligned(list(rows)))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        out(line)


def _print_json(value: Any) -> None:
    out(json.dumps(value, ensure_ascii=False))
