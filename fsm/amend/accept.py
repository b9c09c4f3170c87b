"""Going on with a run under other drawings: every place and pending visit of its history must exist in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fsm.engine import Machine, Program, nearest
from fsm.errors import ConfigError, DiagramError, NotAcceptable
from fsm.journal import MARK, RECOVERY, Fold, Frame, branches_of, whole
from fsm.store import RunStore

Renames = dict[str, dict[str, str]]
"""machine -> {state as it was called: state as it is called}, by their paths."""


def acceptance(
    run: RunStore,
    diagrams: Mapping[str, tuple[str | None, str | None]],
    sections: Mapping[str, Any],
    program: Program,
    texts: Mapping[str, str],
    said: Sequence[str],
) -> dict[str, Any]:
    """The body of the record that accepts the drawings. Raises NotAcceptable with the first record that does not fit."""
    history = _History(run, program, _renames(said, program, diagrams))
    history.check(set(diagrams))
    new = {name: now for name, (_, now) in diagrams.items()}
    body: dict[str, Any] = {
        "kind": "accept",
        "before": {name: then for name, (then, _) in diagrams.items() if then is not None},
        "diagrams": new,
        "drawings": {name: texts[name] for name, now in new.items() if now is not None},
    }
    if history.renames:
        body["renames"] = history.renames
    if sections:
        body["sections"] = dict(sections)
    return body


def _renames(said: Sequence[str], program: Program, changed: Mapping[str, Any]) -> Renames:
    """What `--rename` says, `Old=New` or `machine:Old=New`; without a machine it is of the one changed drawing that has New."""
    found: Renames = {}
    for one in said:
        names, _, new = one.partition("=")
        machine, _, old = names.rpartition(":")
        if not old or not new:
            raise ConfigError(
                f"--rename {one}: say Old=New, or machine:Old=New where several drawings changed."
            )
        fitting = {}
        for name in [machine] if machine else sorted(changed):
            try:
                fitting[name] = program.machine(name).chart.find(new)
            except DiagramError:
                continue
        if len(fitting) != 1:
            which = (
                f"{len(fitting)} of the changed drawings have"
                if not machine
                else f"the drawing of {machine} does not have"
            )
            raise ConfigError(
                f"--rename {one}: {which} one state {new}. Say machine:Old=New, with New's whole path."
            )
        ((name, path),) = fitting.items()
        found.setdefault(name, {})[old] = path
    return found


class _History:
    """A run's records, read against the drawings it is to go on under."""

    def __init__(self, run: RunStore, program: Program, said: Renames) -> None:
        self.run = run
        self.program = program
        self.said = said
        self.renames: Renames = {}

    def check(self, changed: set[str]) -> None:
        """Raises NotAcceptable."""
        fold = Fold()
        seq = -1
        been: dict[
            tuple[str, str], int
        ] = {}  # (machine, state as it is called now): the first record that names it
        for record in whole(self.run):
            fold.apply(record)
            seq = record["seq"]
            if record["kind"] == "accept":
                former = record.get("renames") or {}
                been = {(m, former.get(m, {}).get(s, s)): at for (m, s), at in been.items()}
            elif "from" in record:
                for machine, state in _named(record, fold):
                    been.setdefault((machine, state), seq)
        for (machine, state), at in been.items():
            if machine in changed:
                self._stands(machine, state, at, f"the run was in {state}")
        if fold.root is not None:
            self._pending(fold.root, seq, changed)

    def _pending(self, frame: Frame, seq: int, changed: set[str]) -> None:
        """What is under way must be able to go on: places, and the visits that were begun."""
        machine = frame["machine"]
        if machine in changed:
            for state in (*frame["place"], *frame["open"]):
                path = self._stands(machine, state, seq, f"the run stands in {state}")
                if branches := list(branches_of(frame, state)):
                    self._branches(machine, state, path, branches, seq)
                elif path not in self._machine(machine, seq).states:
                    raise self._refusal(
                        seq,
                        f"the run stands in {state} of {machine}, in which the engine no longer stands: {path} is a composite, or inside one that is one state to it",
                    )
        for state, here in frame["open"].items():
            for key, call in here["calls"].items():
                if not key.startswith(MARK):  # a branch is no call
                    self._calls(machine, state, call["machine"], seq, changed)
                self._pending(call, seq, changed)

    def _branches(self, machine: str, state: str, path: str, under_way: list[str], seq: int) -> None:
        """A branch is called by where it begins, so what runs at once runs to its end under those names."""
        split = next((s for s in self._machine(machine, seq).splits if s.path == path), None)
        now = [branch.name for branch in split.branches] if split else []
        if under_way != now:
            raise self._refusal(
                seq,
                f"{state} of {machine} is in {' and '.join(under_way)} at once, and in the new drawing in "
                f"{' and '.join(now) or 'nothing'}. Let them meet first, under the drawing that they began by",
            )

    def _calls(self, machine: str, state: str, called: str, seq: int, changed: set[str]) -> None:
        if called == self.program.recovery or machine not in changed:
            return
        path = self._stands(machine, state, seq, "")
        declared = self._machine(machine, seq).calls.get(path, ())
        if called not in declared:
            raise self._refusal(
                seq,
                f"{state} of {machine} is in the middle of a call of {called}, which {path} no longer declares",
            )

    def _machine(self, name: str, seq: int) -> Machine:
        found = self.program.machines.get(name)
        if found is None:
            raise self._refusal(seq, f"the run was in machine {name}, which is no longer part of the program")
        return found

    def _stands(self, name: str, state: str, seq: int, what: str) -> str:
        """What a state is called in the new drawing."""
        states = self._machine(name, seq).chart.states
        said = self.said.get(name, {})
        short = state.rpartition(".")[2]
        new = said.get(state) or said.get(short) or (state if state in states else None)
        if new is None:
            there = nearest(short, [s.name for s in states.values()]) or "."
            raise self._refusal(
                seq,
                f"{what}, and the drawing of {name} has no such state{there} If it is called otherwise now, say --rename {state}=NEW",
            )
        if new != state:
            self.renames.setdefault(name, {})[state] = new
        return new

    def _refusal(self, seq: int, why: str) -> NotAcceptable:
        return NotAcceptable(
            f"Run {self.run.name} cannot go on under these drawings: at record {seq} {why}. Nothing was changed."
        )


def _named(record: Mapping[str, Any], fold: Fold) -> Iterator[tuple[str, str]]:
    """(machine, state) of every place that a record names."""
    yield record["machine"], record["from"]
    for state in record.get("to") or ():
        yield record["machine"], state
    for above in record.get("above") or ():
        for state in above["place"]:
            yield above["machine"], state
    for depth, step in enumerate(record["at"]):
        frame = fold.frame(record["at"][:depth])
        if frame is not None and not step.endswith(RECOVERY):
            yield frame["machine"], step.partition("~")[0]
