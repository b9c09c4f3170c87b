"""What a run was begun with, held against a configuration: drawings, settings, and what of them may change.

A run's header has the digests of its drawings, their texts, and every setting. Where things are (`store`, `work`) may change
between two starts, and what a phase calls free. Drawings may where they are accepted; all else only in a fork.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fsm.amend.accept import acceptance
from fsm.config import Config
from fsm.drawing import text_at
from fsm.engine import Program
from fsm.errors import ConfigChanged, DiagramError, JournalDamaged
from fsm.journal import Fold, apart
from fsm.store import RunStore

FREE = frozenset({"store", "store_options", "work"})
SHOWN = 5  # changes in the message of a refusal


@dataclass(frozen=True)
class Changes:
    """What differs between what is in force in a run and a configuration.

    `diagrams` are digests by machine, (then, now), None where there is none; `settings` values by dotted key, likewise;
    `sections` are those that the run has never had.
    """

    machine: tuple[str, str] | None = None
    diagrams: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    sections: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.machine or self.diagrams or self.settings or self.sections)

    def words(self) -> Iterator[str]:
        """Each in words."""
        yield from (f"diagram {name}" for name in self.diagrams)
        if self.machine:
            yield f"machine: {self.machine[0]} then, {self.machine[1]} now"
        for key, (then, now) in self.settings.items():
            yield f"{key}: {json.dumps(then)} then, {json.dumps(now)} now"
        yield from (f"section {name}, which is new" for name in self.sections)


def texts(program: Program) -> dict[str, str]:
    """The text of every drawing that takes part, by machine; those that are in no file are left out."""
    found = {}
    for name, machine in sorted(program.machines.items()):
        with suppress(DiagramError):
            found[name] = text_at(machine.chart.where).text
    return found


def in_force(header: Mapping[str, Any], fold: Fold) -> dict[str, Any]:
    """What a run goes by now: {"machine", "config", "diagrams"}, the header's and what was accepted since."""
    accepted = fold.state.get("accepted") or {"diagrams": {}, "sections": {}}
    diagrams = {**header["diagrams"], **accepted["diagrams"]}
    return {
        "machine": header["machine"],
        "config": {**header["config"], **accepted["sections"]},
        "diagrams": {name: digest for name, digest in diagrams.items() if digest is not None},
    }


def changes(header: Mapping[str, Any], fold: Fold, config: Config) -> Changes:
    """What a configuration would change in a run."""
    force = in_force(header, fold)
    # a header that was just written is not read back, and has its secrets still
    kept, plain = (json.loads(config.redact(json.dumps(dict(c)))) for c in (force["config"], config.plain))
    diagrams, digests = force["diagrams"], config.program.digests
    then, now = _held(kept, config.program), _held(plain, config.program)
    new = {k: v for k, v in now.items() if k not in then}
    return Changes(
        (force["machine"], config.program.root) if force["machine"] != config.program.root else None,
        {
            name: (diagrams.get(name), digests.get(name))
            for name in sorted({*diagrams, *digests})
            if diagrams.get(name) != digests.get(name)
        },
        {key: (a, b) for key, a, b in apart(then, {k: v for k, v in now.items() if k in then})},
        new,
    )


def _held(config: Mapping[str, Any], program: Program) -> dict[str, Any]:
    """The settings that a run is held to."""
    held = {k: v for k, v in config.items() if k not in FREE}
    for name, phase in program.phases.items():  # how far it goes may change as well, where the phase says so
        if phase.free and isinstance(held.get(name), dict):
            held[name] = {k: v for k, v in held[name].items() if k not in phase.free}
    return held


def hold(
    run: RunStore, header: Mapping[str, Any], fold: Fold, config: Config, renames: Sequence[str] | None
) -> dict[str, Any] | None:
    """The record that accepts the drawings of a configuration for a run; None where none is needed.

    `renames` (`Old=New`, `machine:Old=New`) are what is said of them, None where they are not to be accepted. Raises
    ConfigChanged, NotAcceptable.
    """
    if header.get("past") and run.first() is None:
        raise JournalDamaged(
            f"Run {run.name} is a fork of {header['past']['run']} that was interrupted before it was begun. Give the `fsm fork` that "
            "began it again."
        )
    found = changes(header, fold, config)
    if not found:
        return None
    acceptable = bool(found.diagrams) and not (found.machine or found.settings)
    if acceptable and renames is not None:
        return acceptance(run, found.diagrams, found.sections, config.program, texts(config.program), renames)
    said = list(found.words())
    shown = "; ".join(said[:SHOWN]) + ("; and more" if len(said) > SHOWN else "")
    fork = f"`fsm fork {run.name} --at SEQ --set KEY=VALUE` goes on from a record of it with other settings. "
    accept = "--accept goes on under the drawings as they are now. " if acceptable else ""
    raise ConfigChanged(
        f"Run {run.name} at {run.url} was begun with another program: {shown}. Put that back to go on with it, give this one "
        f"another name with --run, or start anew with --fresh. {accept}{fork if found.settings else ''}".rstrip()
    )
