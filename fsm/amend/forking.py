"""`fsm fork`: a run that shares the past of another one up to one of its records, with other settings from there on.

Nothing of the past is copied: the fork's header names the run, its journal begins with a record that names the last record of
the past by number and digest and carries the state there, and artifacts of the past are read from where they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fsm.amend.program import in_force
from fsm.amend.used import SEED, Use, used
from fsm.config import Beside, Plug, Run, findable, read_values
from fsm.engine import Phase, Registry, nearest
from fsm.errors import ConfigError, NotThatRun, SettingUsed
from fsm.journal import Fold, Journal, copied, digest, header_of, past_of, whole
from fsm.journal import decode as decoded
from fsm.store import RunStore, Store, Taken


@dataclass(frozen=True)
class Forked:
    """A fork that was begun. `used` are the settings that its past was made with, and that it has otherwise."""

    run: str
    past: str
    at: int
    place: str
    settings: Mapping[str, Any]
    used: Mapping[str, Use]


def fork(
    store: Store, name: str, at: int, said: Sequence[str] = (), new: str = "", *, anyway: bool = False
) -> Forked:
    """Begin a fork of a run at one of its records. `said` are settings, `section.key=value` with a value as YAML has it.

    Raises NoSuchRun, NotThatRun, ConfigError; SettingUsed where a setting was used before, unless `anyway`.
    """
    run = store.run(name)
    journal = Journal(run)
    header = journal.header()
    if foreign := journal.foreign():
        raise NotThatRun(foreign)
    fold, last = _state(run, at)
    settings = dict(_setting(one) for one in said)
    force = in_force(header, fold)
    with findable(Path(header.get("beside") or ".")):
        phases = _phases(header)
        config = _changed(force["config"], settings, phases)
        before = _before(run, at, settings, force["config"], config, phases)
    if before and not anyway:
        raise SettingUsed(
            f"Run {name} used what would be changed before its record {at}: "
            + "; ".join(f"{key} at {use}" for key, use in before.items())
            + ". What was made with it then stays as it is, and the fork goes on with both. Fork at an earlier record, or say --anyway."
        )
    new = new or _free_name(store, name)
    made = {
        **header,
        "name": new,
        "generation": 0,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "seed": config["run"]["seed"],
        "config": {**config, "run": {**config["run"], "name": new}},
        "diagrams": force["diagrams"],
        "drawings": drawings(run, header, at),
        "settings": {**(header.get("settings") or {}), **settings},
        "past": {
            "run": name,
            "generation": int(header.get("generation", 0)),
            "header": digest(run.read_header() or b""),
            "seq": at,
            "record": digest(last),
        },
    }
    state = copied(fold.state)
    state.pop("accepted", None)  # the header says it now
    _begin(store.run(new), made, state)
    place = ", ".join(fold.root["place"]) if fold.root else ""
    return Forked(new, name, at, place, settings, before)


def settings_of(run: RunStore) -> dict[str, Any]:
    """The settings that a fork was begun with, by dotted key: they go before those of the file. None of any other run."""
    content = run.read_header()
    return dict(header_of(content, run).get("settings") or {}) if content else {}


def _begin(run: RunStore, header: Mapping[str, Any], state: dict[str, Any]) -> None:
    """Write the header and the first record; a fork that was interrupted between the two is begun now."""
    content = json.dumps(header, indent=1, sort_keys=True, ensure_ascii=False).encode()
    journal = Journal(run)
    try:
        run.write_header(content)
    except Taken:
        there = journal.header()
        if there | {"created": ""} != dict(header) | {"created": ""}:
            raise ConfigError(
                f"There is a run {run.name} at {run.url} already. Give the fork another name with --name."
            ) from None
    try:
        journal.fork(header["past"], state)
    except Taken:
        raise ConfigError(
            f"There is a run {run.name} at {run.url} already. Give the fork another name with --name."
        ) from None


def _state(run: RunStore, at: int) -> tuple[Fold, bytes]:
    """The state after a record, and its line."""
    fold, last, number = Fold(), b"", -1
    for number, line in enumerate(islice(run.records(), max(at, 0) + 1)):
        last = line
        fold.apply(decoded(line, f"{run.url}, record {number}"))
    if number != at:
        raise ConfigError(
            f"Run {run.name} has no record {at}; its newest is {number}. `fsm history {run.name}` shows them."
        )
    if fold.ended:
        raise ConfigError(
            f"Run {run.name} ends with record {at}: nothing is left to go on with. Fork it at one before."
        )
    return fold, last


def _setting(said: str) -> tuple[str, Any]:
    key, equals, value = said.partition("=")
    if not equals or not key.strip("."):
        raise ConfigError(f"--set {said}: say section.key=value.")
    return key, read_values(f"value: {value}", f"--set {key}").get("value")


def _phases(header: Mapping[str, Any]) -> Registry:
    """The phases of a run, by its header."""
    plug = Plug.model_validate(header["config"].get("plug") or {})
    beside = header.get("beside")
    files = Beside.of(plug, Path(beside)) if beside else Beside()
    return Registry(plug.phases, Phase, files.phases)


def _changed(config: Mapping[str, Any], settings: Mapping[str, Any], phases: Registry) -> dict[str, Any]:
    """The configuration with other settings, as its models give it back. Raises ConfigError."""
    found: dict[str, Any] = json.loads(json.dumps(config))
    for key, value in settings.items():
        steps = key.split(".")
        if steps[0] not in phases and key != "run.seed":
            known = ["run.seed", *(k for k in found if k in phases)]
            raise ConfigError(
                f"--set {key}: a fork may have another run.seed and other settings of phases{nearest(steps[0], known) or '.'} Where "
                "things are kept is said when it is run."
            )
        inner = found.setdefault(steps[0], {})
        for step in steps[1:-1]:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or len(steps) < 2:
            raise ConfigError(
                f"--set {key}: there is no {'.'.join(steps[:-1]) or 'such'} section with keys in it."
            )
        inner[steps[-1]] = value
    for name in {key.partition(".")[0] for key in settings}:
        try:
            section = Run.model_validate(found[name]) if name == "run" else phases[name].section(found[name])
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, (name, *first["loc"])))
            known = [str(k) for k in config.get(name) or {}]
            near = (
                nearest(str(first["loc"][-1]), known)
                if first["type"] == "extra_forbidden" and first["loc"]
                else ""
            )
            raise ConfigError(f"--set {where}: {first['msg']}{near}") from e
        if isinstance(section, BaseModel):
            found[name] = section.model_dump(mode="json")
    return found


def _before(
    run: RunStore,
    at: int,
    settings: Mapping[str, Any],
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    phases: Registry,
) -> dict[str, Use]:
    """The settings that are others now, and were used by then."""
    changed = {key for key in settings if _value(then, key) != _value(now, key)}
    if not changed:
        return {}
    past = sum(1 for _ in past_of(run)) + at + 1
    found = used(
        whole(run), past, lambda machine: phases[machine].section_name if machine in phases else machine
    )
    return {
        key: found[key.partition(".")[0]]
        for key in sorted(changed)
        if _held(key, phases) and key.partition(".")[0] in found
    }


def _held(key: str, phases: Registry) -> bool:
    """Whether a setting decides what is made: not one of those that a phase calls free."""
    section, _, rest = key.partition(".")
    return section == SEED or rest.partition(".")[0] not in phases[section].free


def _value(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for step in key.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def drawings(run: RunStore, header: Mapping[str, Any], at: int | None = None) -> dict[str, str]:
    """The texts of the drawings in force at a record, or now."""
    records = islice(Journal(run).records(), None if at is None else at + 1)
    accepted = (r["drawings"] for r in records if r["kind"] == "accept")
    return reduce(lambda found, texts: found | texts, accepted, dict(header.get("drawings") or {}))


def _free_name(store: Store, name: str) -> str:
    """`NAME-fork`, or with a number behind it."""
    there = set(store.runs())
    return next(n for n in _names(name) if n not in there)


def _names(name: str) -> Iterator[str]:
    yield f"{name}-fork"
    number = 2
    while True:
        yield f"{name}-fork-{number}"
        number += 1
