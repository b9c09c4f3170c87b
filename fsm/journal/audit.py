"""The proof that a run is whole: its chain, its epochs, its state and its artifacts, checked from the first record on.

Lines that went at once (`fsm.journal.lines`) are read as they stand in the journal: in any order it is one chain, and each record
follows from the fold of those before it. Nothing is written and nothing repaired. A finding says what is wrong and since which record; what can be checked in
spite of it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from fsm.errors import FsmError, StoreError
from fsm.journal.fold import Fold
from fsm.journal.journal import Journal, decode, digest
from fsm.journal.past import lines_of_past, parent, past_of
from fsm.speech import out
from fsm.store import RETIRED, RunStore


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. `kind` is header, past, gap, record, chain, epoch, state or artifact.

    `seq` is the record it was first seen at, and `since` that record's time in seconds of the epoch, where it has one.
    """

    kind: str
    message: str
    seq: int | None = None
    since: float | None = None

    def __str__(self) -> str:
        when = f", {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{self.kind}{f' (record {self.seq}{when})' if self.seq is not None else ''}: {self.message}"


@dataclass(frozen=True)
class Audit:
    """What was checked, and what was found wrong."""

    run: str
    url: str
    records: int
    epochs: int
    artifacts: int
    bytes: int
    findings: tuple[Finding, ...]
    freed: int = 0  # artifacts that are not there, for the run was retired

    @property
    def whole(self) -> bool:
        return not self.findings


def audit(run: RunStore, *, content: bool = True) -> Audit:
    """Check a run. Without `content` artifacts are looked for, not read. Raises StoreError where it cannot be read at all."""
    findings: list[Finding] = []
    given: frozenset[str] = frozenset()
    header: dict[str, Any] = {}
    try:
        header = Journal(run).header()
        given = frozenset(file["sha256"] for file in (header.get("given") or {}).values())
        if foreign := Journal(run).foreign():
            findings.append(Finding("header", foreign))
    except StoreError:
        raise
    except FsmError as e:
        findings.append(Finding("header", e.message))
    reading = _Reading(run, findings, given, header)
    if header.get("past"):
        reading.begin_with(header["past"])
    for number, line in run.numbered():
        reading.take(number, line)
    retired = run.read_request(RETIRED) is not None
    gone = {sha256 for sha256 in reading.artifacts if run.artifact_size(sha256) is None} if retired else set()
    total = sum(
        _artifact(run, sha256, named, content, findings)
        for sha256, named in reading.artifacts.items()
        if sha256 not in gone
    )
    return Audit(
        run.name,
        run.url,
        reading.count,
        reading.epoch,
        len(reading.artifacts),
        total,
        tuple(findings),
        len(gone),
    )


@dataclass(frozen=True)
class _Named:
    """The first record that names an artifact."""

    name: str
    size: int
    seq: int
    since: float


@dataclass
class _Reading:
    """The journal as read so far."""

    run: RunStore
    findings: list[Finding]
    given: frozenset[
        str
    ]  # the artifacts of the run that this one came after, which its header names, and of a fork's past; theirs to keep
    header: dict[str, Any]
    past: Fold | None = (
        None  # the state that a fork begins with, by the records of the run that it was begun from
    )
    count: int = 0
    expected: int = 0
    prev: str | None = (
        None  # of the line before; None after a gap, and before the first, which names the header
    )
    epoch: int = 0
    writer: str = ""
    fold: Fold | None = field(default_factory=Fold)  # None from a gap to the next snapshot
    artifacts: dict[str, _Named] = field(default_factory=dict)

    def begin_with(self, past: dict[str, Any]) -> None:
        """Read the past of a fork as far as it is one. What the fork goes on with of it must be there, and be whole."""
        last = ""
        state = Fold()
        try:
            above = parent(self.run, past)
            for line in lines_of_past(self.run, past):
                last = digest(line)
            for record in past_of(self.run):
                state.apply(record)
                self.given |= {file["sha256"] for file in (record.get("files") or {}).values()}
        except Exception as e:  # as of any record: what passes the schema may still say what cannot be
            said = e.message if isinstance(e, FsmError) else f"{type(e).__name__}: {e}"
            self._found("past", f"the past of this fork cannot be read: {said}", None, None)
            return
        if last != past["record"]:
            self._found(
                "past",
                f"it is a fork of {past['run']} at record {past['seq']}, {past['record'][:12]} by SHA-256, and at {above.url} that is "
                f"{last[:12] or 'missing'}",
                None,
                None,
            )
            return
        self.past = state
        for name, file in state.all_files():
            self.artifacts[file["sha256"]] = _Named(name, file["size"], 0, 0.0)

    def take(self, number: int, line: bytes) -> None:
        self.count += 1
        if number != self.expected:
            missing = (
                f"record {self.expected} is"
                if number == self.expected + 1
                else f"records {self.expected} to {number - 1} are"
            )
            self._found("gap", f"{missing} missing; {number} is the next one there", self.expected, None)
            self.prev, self.fold = None, None
        self.expected = number + 1
        before, self.prev = self.prev, digest(line)
        try:
            record = decode(line, f"record {number}")
        except FsmError as e:
            self._found("record", e.message, number, None)
            self.fold = None
            return
        since = record["time"]
        if record["seq"] != number:
            self._found("record", f"it says that it is record {record['seq']}", number, since)
        if before is not None and record["prev"] != before:
            self._found(
                "chain",
                f"it names {record['prev'][:12]} as the record before it, which is {before[:12]}",
                number,
                since,
            )
        self._epochs(number, record)
        self._state(number, record)
        for name, file in (record.get("files") or {}).items():
            self.artifacts.setdefault(file["sha256"], _Named(name, file["size"], number, since))
        for name, sha256 in (record.get("reads") or {}).items():
            if sha256 not in self.artifacts and sha256 not in self.given and self.fold is not None:
                self._found(
                    "artifact",
                    f"{name} was read as {sha256[:12]}, which no record before it put",
                    number,
                    since,
                )

    def _epochs(self, number: int, record: dict[str, Any]) -> None:
        epoch, writer = record["epoch"], record["writer"]
        if record["kind"] in ("claim", "fork"):
            if epoch <= self.epoch:
                self._found(
                    "epoch",
                    f"{writer} claims epoch {epoch}, and epoch {self.epoch} is {self.writer}'s",
                    number,
                    record["time"],
                )
            else:
                self.epoch, self.writer = epoch, writer
        elif (epoch, writer) != (self.epoch, self.writer):
            self._found(
                "epoch", f"{writer} wrote it in epoch {epoch}, while epoch {self.epoch} was {self.writer or 'nobody'}'s", number, record["time"]
            )  # fmt: skip

    def _state(self, number: int, record: dict[str, Any]) -> None:
        snapshot = record.get("snapshot")
        if record["kind"] == "fork":
            self._forked(number, record)
        elif record["kind"] == "accept":
            self._accepted(number, record)
        if self.fold is None:
            self.fold = Fold(json.loads(json.dumps(snapshot))) if snapshot else None
            return
        try:
            self.fold.apply(record)
        except Exception as e:  # a record that passes the schema may still say what cannot be
            self._found(
                "state",
                f"it cannot follow from the state before it ({type(e).__name__}: {e})",
                number,
                record["time"],
            )
            self.fold = None
            return
        if snapshot and snapshot != self.fold.state:
            self._found(
                "state",
                "its snapshot is not the state that the records before it lead to",
                number,
                record["time"],
            )
            self.fold = Fold(json.loads(json.dumps(snapshot)))

    def _forked(self, number: int, record: dict[str, Any]) -> None:
        """What a fork begins with is what its past comes to."""
        if number or record["past"] != self.header.get("past"):
            self._found("past", "it is not the past that the header names", number, record["time"])
        elif self.past is not None and record["snapshot"] != self.past.state:
            self._found(
                "past",
                f"its state is not the one that {record['past']['run']} had at record {record['past']['seq']}",
                number,
                record["time"],
            )

    def _accepted(self, number: int, record: dict[str, Any]) -> None:
        """What is accepted takes the place of what was in force."""
        if self.fold is None:
            return
        accepted = self.fold.state.get("accepted") or {"diagrams": {}}
        force = {**self.header.get("diagrams", {}), **accepted["diagrams"]}
        for name, before in record["before"].items():
            if force.get(name) != before:
                self._found(
                    "state",
                    f"it accepts another drawing {name} in place of {before[:12]}, and {str(force.get(name))[:12]} was in force",
                    number,
                    record["time"],
                )

    def _found(self, kind: str, message: str, seq: int | None, since: float | None) -> None:
        self.findings.append(Finding(kind, message, seq, since))


def _artifact(run: RunStore, sha256: str, named: _Named, content: bool, findings: list[Finding]) -> int:
    """Check one artifact; returns its size as it is kept."""

    def found(message: str) -> None:
        findings.append(
            Finding("artifact", f"{named.name} ({sha256[:12]}) {message}", named.seq, named.since)
        )

    size = run.artifact_size(sha256)
    if size is None:
        found("is missing")
        return 0
    if size != named.size:
        found(f"has {size} bytes; it had {named.size}")
    elif content and _digest(run.artifact_bytes(sha256)) != sha256:
        found("is not whole: its content has another SHA-256")
    return size


def _digest(pieces: Iterator[bytes]) -> str:
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    return whole.hexdigest()


def report(found: Audit, as_json: bool = False) -> int:
    """Print an audit, for people or as one line of JSON a finding and one for the whole; returns the exit code."""
    if as_json:
        for finding in found.findings:
            out(json.dumps(asdict(finding)))
        out(json.dumps({**asdict(found), "findings": len(found.findings), "whole": found.whole}))
        return 0 if found.whole else 2
    for finding in found.findings:
        out(finding)
    checked = (
        f"{found.records} records, {found.epochs} epochs, {found.artifacts} artifacts ({found.bytes:,} bytes)"
    )
    if found.freed:
        checked += f"; {found.freed} of them were freed when it was retired"
    if found.whole:
        out(f"{found.url} is whole: {checked}.")
        return 0
    out(
        f"{found.url} is not whole: {len(found.findings)} finding{'s' * (len(found.findings) > 1)} in {checked}. Restore what is "
        "missing from a copy, or start anew with --fresh."
    )
    return 2
