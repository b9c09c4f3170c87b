"""From a file to a configuration, with everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from fsm.config import document, environment
from fsm.config.beside import Beside, HandlersError, findable
from fsm.config.draft import Draft
from fsm.config.explain import section, unknown
from fsm.config.model import Config, Engine, Plug
from fsm.engine import Machine, Phase, Program, Registry, closure, nearest
from fsm.errors import ConfigError, FsmError, Mistake
from fsm.mermaid import MermaidError
from fsm.store import run_name
from fsm.text import NotUtf8, decode

NOT_KEPT = {"notify", "telemetry"}  # who hears of a run is no part of what it does
MOST_BYTES = 2**20  # of a configuration; a longer file is another one


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration file. `overrides` are engine keys by dotted name (`run.name`), given on the command line.

    Modules beside it, and in the working directory, can be imported meanwhile, and again while a run of it is driven.

    Raises ConfigError with all that is wrong with it: the file, the line, the key, and what would be right.
    """
    text = _text(path)
    with findable(path.parent):
        return _load(path, text, overrides or {})


def _load(path: Path, text: str, overrides: Mapping[str, Any]) -> Config:
    draft = Draft(document.read(text, str(path)), overrides)
    environment.fill(draft)
    own = {k: v for k, v in draft.values.items() if k in Engine.model_fields}
    beside = _beside(draft, own, path.parent)
    engine = section(draft, (), own, Engine, Engine.model_validate)
    _name_of_run(draft, own)
    plug = engine.plug if engine is not None else _plug(own.get("plug"))
    machines = _registry(draft, "machines", plug.machines, Machine, beside.machines) if plug else None
    phases = _registry(draft, "phases", plug.phases, Phase, beside.phases) if plug else None
    sections: dict[str, Any] = {}
    if phases is not None:
        sections = _sections(draft, phases, [k for k in draft.values if k not in own])
    root = _known_machine(draft, own, "machine", machines)
    recovery = _known_machine(draft, own, "recovery", machines)
    if (
        machines is None
        or phases is None
        or root is None
        or (own.get("recovery") is not None and recovery is None)
    ):
        draft.settle()
        raise AssertionError(
            "a configuration without its machines has mistakes"
        )  # all ways here have noted one
    found = closure(root, recovery, machines)
    plugged = {name: phases[name] for name in found if name in phases}
    values: dict[str, Any] = {}
    for name, phase in plugged.items():  # `pipeline` is the section of the validation alone too
        given = draft.values.get(phase.section_name)
        values[name] = section(draft, (phase.section_name,), given, phase.config, phase.section)
    for name in sections.keys() - values.keys():  # of phases that do not run, but may be asked about
        values[name] = sections[name]
    draft.settle()
    program = Program(
        root, MappingProxyType(found), MappingProxyType(plugged), recovery, MappingProxyType(values)
    )
    secrets = draft.secrets | {s for v in (engine, *values.values()) for s in environment.secret_values(v)}
    plain = engine.model_dump(mode="json", exclude=NOT_KEPT) | {
        n: _plain(v) for n, v in sorted(values.items())
    }
    return Config(str(path), engine, program, plain, text, frozenset(secrets), dict(overrides or {}))


def read_values(text: str, file: str) -> dict[str, Any]:
    """The values of a configuration's text, its variables not filled in. Raises ConfigError."""
    draft = Draft(document.read(text, file), {})
    draft.settle()
    return draft.values


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as e:
        raise ConfigError(
            f"{path}: the configuration cannot be read: {e.strerror}. Give the path of a YAML file, such as configs/local.yaml."
        ) from e
    if len(content) > MOST_BYTES:
        raise ConfigError(
            f"{path}: the file is longer than {MOST_BYTES} bytes, and no configuration is. Name another one."
        )
    try:
        return decode(content, str(path))
    except NotUtf8 as e:
        raise ConfigError.of(
            [Mistake(str(path), e.line, 1, f"the configuration {e.why}: save it as UTF-8")]
        ) from e


def _plug(value: Any) -> Plug | None:
    """What is plugged in where another of the engine's keys is wrong, so that the sections can still be looked at."""
    try:
        return Plug.model_validate(value or {})
    except ValueError:
        return None


def _beside(draft: Draft, own: dict[str, Any], directory: Path) -> Beside:
    """What is plugged in from files; one machine there need not be named as the one to run."""
    plug = _plug(own.get("plug"))
    if plug is None:
        return Beside()
    try:
        found = Beside.of(plug, directory)
    except (FsmError, MermaidError) as e:
        key = "handlers" if isinstance(e, HandlersError) else "drawing"
        draft.mistake(("plug", key), f"plug.{key}: {e.message if isinstance(e, FsmError) else e}")
        if "machine" not in own:  # it would have been found there
            own["machine"] = ""
            draft.let_be(("machine",))
        return Beside()
    if len(found.machines) == 1:
        own.setdefault("machine", *found.machines)
    return found


def _registry(
    draft: Draft, key: str, package: str, kind: type[Any], own: Mapping[str, Any]
) -> Registry | None:
    if draft.wrong(("plug", key)):
        return None
    try:
        return Registry(package, kind, own)
    except ConfigError as e:
        draft.mistake(("plug", key), e.message)
        return None


def _name_of_run(draft: Draft, own: Mapping[str, Any]) -> None:
    run = own.get("run")
    name = run.get("name") if isinstance(run, dict) else None
    if isinstance(name, str) and not draft.wrong(("run", "name")):
        try:
            run_name(name)
        except ConfigError as e:
            draft.mistake(("run", "name"), f"run.name: {e.message}")


def _sections(draft: Draft, phases: Registry, keys: list[str]) -> dict[str, Any]:
    values = {}
    for key in keys:
        if key in phases:
            phase = phases[key]
            values[key] = section(draft, (key,), draft.values[key], phase.config, phase.section)
        else:
            known = [*Engine.model_fields, *phases.names]
            draft.mistake((key,), f"unknown key {key!r}{unknown(key, known)}", at_key=True)
    return values


def _known_machine(draft: Draft, own: Mapping[str, Any], key: str, machines: Registry | None) -> str | None:
    """The name of a machine that there is; None where there is none, which is noted."""
    name = own.get(key)
    if not isinstance(name, str) or machines is None or draft.wrong((key,)):
        return None
    if name in machines:
        return name
    known = list(machines.names)
    draft.mistake(
        (key,),
        f"{key}: there is no machine {name!r}{nearest(name, known) or '.'} There are: {', '.join(known)}",
    )
    return None


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
