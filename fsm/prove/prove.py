"""The proof that a pipeline may be killed anywhere: it is, everywhere, and gone on with, and compared with one left alone.

Before that it is run several times without a kill, under other hash seeds and with steady random numbers: what differs then is no
kill's doing, and how it differs tells the cause.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fsm.config import Config
from fsm.moments import APPENDED, APPENDING, ENTERED, PROGRESS, PUT, PUTTING, Moment
from fsm.prove import compare
from fsm.prove.apart import scratched
from fsm.prove.compare import Difference, History
from fsm.prove.outside import Effect, content, effects, put_back
from fsm.prove.trial import Stuck, Trial, apart, forked

HASH_SEEDS = (1, 2, 3)  # of a set of two, one order in eight is that of all of them
TELLING = (APPENDING, PUT, PUTTING, PROGRESS, APPENDED, ENTERED)
"""The moments of a state, the one first at which most of it is done and nothing is kept."""

CLOCK, CHANCE, ORDER = "a clock", "an unseeded random number", "an unordered set"
APPEND, EFFECT, LEFT = (
    "an append that is repeated",
    "an effect outside `once`",
    "what the first attempt left behind",
)
ADVICE = {
    CLOCK: "take times from `ctx.once`, or leave them out of data and artifacts",
    CHANCE: "draw from `ctx.random`, or seed by `ctx.seed()`",
    ORDER: "sort before the order matters",
    APPEND: "write the whole file, or keep it as an artifact",
    EFFECT: "wrap it in `ctx.once`, and name what it makes by `ctx.effect_name`",
    LEFT: "let a second attempt begin by clearing or taking over what the first one made",
}


@dataclass
class State:
    """What was found of one state: kills in it, and for each that made a difference the moment, the difference and its cause."""

    machine: str
    state: str
    kills: int = 0
    unsafe: list[tuple[str, Difference, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "machine": self.machine,
            "state": self.state,
            "kills": self.kills,
            "safe": not self.unsafe,
            "differences": [
                {"moment": moment, "what": d.what, "found": d.found, "reference": d.reference, "cause": cause}
                for moment, d, cause in self.unsafe
            ],
        }


def prove(
    file: Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    sample: int | None = None,
    modules: Iterable[str] = (),
    told: Callable[[int, int, int], None] = lambda done, of, unsafe: None,
) -> list[State]:
    """Kill a configuration's pipeline at every moment, or at `sample` of them, and say of each state whether it is safe.

    `modules` are imported before the processes are forked. `told` hears of the kills done, of how many, and of the unsafe states.
    Raises Stuck where the pipeline does not end by itself.
    """
    with tempfile.TemporaryDirectory(prefix="fsm-prove-") as temporary:
        proof = _Proof(file, dict(overrides or {}), Path(temporary), tuple(modules))
        return proof.run(sample, told)


class _Proof:
    """The trials of one configuration, one after the other in one directory."""

    def __init__(
        self, file: Path, overrides: dict[str, Any], directory: Path, modules: Sequence[str]
    ) -> None:
        self.directory = directory / "now"
        self.config: Config = scratched(file, self.directory, overrides)
        self.overrides = overrides
        self.kept_reference = directory / "reference"
        for name in ("structlog", "fsm.journal.record", *modules):
            importlib.import_module(name)
        for machine in self.config.program.machines.values():
            _ = machine.kernel
        self.states: dict[tuple[str, str], State] = {}

    def run(self, sample: int | None, told: Callable[[int, int, int], None]) -> list[State]:
        reference, moments, done = self._reference()
        writers = _writers(done)
        for record in reference.records:
            if record["kind"] == "transition":
                self._state(record["machine"], record["from"])
        restless = self._restless(reference, writers)
        chosen = _chosen(moments, sample)
        for number, moment in enumerate(chosen):
            self._kill(moment, reference, writers, restless, done)
            told(number + 1, len(chosen), sum(bool(s.unsafe) for s in self.states.values()))
        return list(self.states.values())

    def _state(self, machine: str, state: str) -> State:
        return self.states.setdefault((machine, state), State(machine, state))

    def _trial(self, start: Callable[[Trial], int] = forked, **said: Any) -> tuple[History, Trial]:
        """One run to its end, and what it came to; the files outside are put back as they were."""
        shutil.rmtree(self.directory, ignore_errors=True)
        trial = Trial(self.config, self.directory, overrides=self.overrides, **said)
        trial.kept.mkdir(parents=True)
        try:
            trial.to_the_end(start)
        finally:
            paths = {e.target for e in effects(trial.effects) if e.what in ("append", "write")}
            files = {path: content(Path(path)) for path in sorted(paths)}
            put_back(trial.kept)
        return History(trial.store, self.config.engine.run.name, trial.records(), files), trial

    def _reference(self) -> tuple[History, list[Moment], list[Effect]]:
        history, trial = self._trial()
        moments, done = trial.passed(), effects(trial.effects)
        shutil.copytree(trial.store, self.kept_reference)
        return replace(history, store=self.kept_reference), moments, done

    def _differences(
        self, found: History, reference: History, writers: Mapping[str, tuple[str, str]]
    ) -> Iterator[Difference]:
        yield from compare.differences(found, reference)
        yield from compare.outside(found, reference, writers)

    def _restless(self, reference: History, writers: Mapping[str, tuple[str, str]]) -> set[str]:
        """What differs from run to run without a kill: noted with its cause, and no kill's doing from here on."""
        seen: dict[str, tuple[Difference, str]] = {}
        again = {d.key: d for d in self._differences(self._trial()[0], reference, writers)}
        if again:
            steady, _ = self._trial(steady=True)
            steady = replace(steady, store=shutil.copytree(steady.store, self.directory.parent / "steady"))
            still = {d.key for d in self._differences(self._trial(steady=True)[0], steady, writers)}
            seen |= {key: (d, CLOCK if key in still else CHANCE) for key, d in again.items()}
        for seed in HASH_SEEDS:
            found, trial = self._trial(apart(seed))
            by = {**_writers(effects(trial.effects)), **writers}
            for d in self._differences(found, reference, by):
                seen.setdefault(d.key, (d, ORDER))
        for difference, cause in seen.values():
            moment = "from run to run, without a kill"
            self._state(difference.machine, difference.state).unsafe.append((moment, difference, cause))
        return set(seen)

    def _kill(
        self,
        moment: Moment,
        reference: History,
        writers: Mapping[str, tuple[str, str]],
        restless: set[str],
        done: Sequence[Effect],
    ) -> None:
        state = self._state(moment.machine, moment.state)
        state.kills += 1
        try:
            found, _ = self._trial(kill=moment)
        except Stuck as e:
            stuck = Difference("stuck", state.machine, state.state, "the run", e.message, "gone on with")
            state.unsafe.append((str(moment), stuck, LEFT))
            return
        for difference in self._differences(found, reference, writers):
            if difference.key not in restless:
                state.unsafe.append((str(moment), difference, _cause(difference, state, done)))
                return  # what follows it need not be told


def _writers(done: Sequence[Effect]) -> dict[str, tuple[str, str]]:
    """Which (machine, state) writes which file outside."""
    return {e.target: (e.machine, e.state) for e in done if e.what in ("append", "write")}


def _cause(difference: Difference, state: State, done: Sequence[Effect]) -> str:
    """What makes a killed state differ, by what it does outside its run."""
    mine = [e for e in done if (e.machine, e.state) == (state.machine, state.state) and not e.once]
    files = {f"file {e.target}": e.what for e in mine}
    if difference.what in files:
        return APPEND if files[difference.what] == "append" else EFFECT
    if any(e.what == "append" for e in mine):
        return APPEND
    return EFFECT if mine else LEFT


def _chosen(moments: Sequence[Moment], sample: int | None) -> list[Moment]:
    """The moments to be killed at: all, or as many as are asked for, every state's most telling ones first."""
    if sample is None or sample >= len(moments):
        return list(moments)
    ranked: dict[tuple[str, str], list[Moment]] = {}
    for moment in sorted(moments, key=lambda m: TELLING.index(m.what)):
        ranked.setdefault((moment.machine, moment.state), []).append(moment)
    turns = [(rank, moment) for group in ranked.values() for rank, moment in enumerate(group)]
    first = sorted(turns, key=lambda turn: turn[0])[:sample]
    return sorted((m for _, m in first), key=lambda m: (m.seq, m.nth))


def table(states: Sequence[State]) -> list[str]:
    """The proof as lines: state, kills, safe or not, and of the unsafe ones what differed and why, likely."""
    name = {id(s): f"{s.machine}: {s.state}" for s in states}
    width = max((len(n) for n in name.values()), default=5)
    lines = [f"{'STATE':{width}}  KILLS"]
    for state in states:
        lines.append(f"{name[id(state)]:{width}}  {state.kills:5}  {'UNSAFE' if state.unsafe else 'safe'}")
        for cause in dict.fromkeys(cause for _, _, cause in state.unsafe):
            (moment, difference, _), *more = [u for u in state.unsafe if u[2] == cause]
            shown = moment.removeprefix(f"{name[id(state)]}, ")
            lines.append(f"    {shown}: {difference}" + (f" (and {len(more)} more)" if more else ""))
            lines.append(f"    likely {cause}: {ADVICE[cause]}")
    return lines
