"""The configuration: YAML to pydantic, unknown keys refused with the nearest known name.

    machine: pipeline                  # what to run
    plug: {machines: machines, phases: phases}
    recovery: error_recovery           # where exceptions go; leave out for none
    run: {name: local, seed: 42}
    store: .                           # a directory, or s3://bucket/prefix
    work: work                         # scratch on this machine: checkpoints, caches
    data_preparation: {...}            # a section for each phase, read by the phase's own model

A value may name an environment variable, `${NAME}` or `${NAME:-default}`. What the variable holds is used, and kept out
of the journal and the logs wherever it looks like a secret or enters a field that is one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from fsm.engine import Phase, Program, Registry, closure, nearest
from fsm.errors import ConfigError
from fsm.secrets import redactor
from fsm.store import run_name

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|API_?KEY|ACCESS_KEY", re.IGNORECASE)
SHORTEST_SECRET = 8  # shorter values would blot out ordinary words


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Plug(_Model):
    """The packages that hold machines and phases, each with a NAMES mapping."""

    machines: str = "machines"
    phases: str = "phases"


class Run(_Model):
    """`name` is the run's in the store; `seed` decides every random number in it.

    `source` names another run of the store, whose artifacts this one may open: a phase alone, after another one.
    """

    name: str = "run"
    seed: int = 42
    source: str | None = None


class Engine(_Model):
    """The engine's own keys; every other key of the file is a phase's section."""

    machine: str
    plug: Plug = Plug()
    recovery: str | None = None
    run: Run = Run()
    store: str = "."
    store_options: dict[str, Any] = {}
    work: str = "work"


@dataclass(frozen=True)
class Config:
    """A configuration read, checked and plugged together."""

    file: str
    engine: Engine
    program: Program
    plain: Mapping[str, Any]  # as JSON values, secrets masked: what run.json keeps
    text: str = ""  # the file as it stands, its variables not filled in
    secrets: frozenset[str] = field(repr=False, default=frozenset())

    def redact(self, text: str) -> str:
        """The text without any secret's value."""
        return redactor(self.secrets)(text)


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration file. `overrides` are engine keys by dotted name (`run.name`), given on the command line.

    Raises ConfigError for anything wrong with it, with the file, the key, and what would be right.
    """
    text = _read(path)
    raw = _parsed(text, path)
    for dotted, value in (overrides or {}).items():
        _set(raw, dotted, value)
    secrets: set[str] = set()
    raw = _substituted(raw, str(path), "", secrets)
    own = {k: v for k, v in raw.items() if k in Engine.model_fields}
    engine = _model(Engine.model_validate, own, str(path), "")
    run_name(engine.run.name)
    machines = Registry(engine.plug.machines, _machine_type())
    phases = Registry(engine.plug.phases, Phase)
    sections = {k: v for k, v in raw.items() if k not in own}
    _refuse_unknown(sections, phases, str(path))
    _known_machine(engine, machines, str(path))
    found = closure(engine.machine, engine.recovery, machines)
    plugged = {name: phases[name] for name in found if name in phases}
    values = {
        name: _model(p.section, sections.get(p.section_name), str(path), p.section_name)
        for name, p in plugged.items()
    }
    for name in sections.keys() - values.keys():  # of phases that do not run, but may be asked about
        values[name] = _model(phases[name].section, sections[name], str(path), name)
    program = Program(
        engine.machine,
        MappingProxyType(found),
        MappingProxyType(plugged),
        engine.recovery,
        MappingProxyType(values),
    )
    secrets |= {s for v in values.values() for s in _secret_values(v)}
    plain = engine.model_dump(mode="json") | {n: _plain(v) for n, v in sorted(values.items())}
    return Config(str(path), engine, program, plain, text, frozenset(secrets))


def _machine_type() -> type[Any]:
    from fsm.engine import Machine

    return Machine


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as e:
        raise ConfigError(
            f"{path}: the configuration cannot be read: {e.strerror}. Give the path of a YAML file, such as configs/local.yaml."
        ) from e
    except UnicodeDecodeError as e:
        raise ConfigError(
            f"{path}: the configuration is not UTF-8 (byte {e.start}). Save it as UTF-8."
        ) from e


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        raw = yaml.load(text, _UniqueKeys)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{where}: this is not YAML: {e.problem}. Mend that line.") from e
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise ConfigError(f"{path}: this is not YAML: {e}. Mend the file.") from e
    if not isinstance(raw, dict):
        found = "empty" if raw is None else f"a {type(raw).__name__}"
        raise ConfigError(
            f"{path}: the configuration must be a mapping of keys, and is {found}. Begin it with `machine: NAME`."
        )
    return raw


class _UniqueKeys(yaml.SafeLoader):
    """YAML as it should be: a key given twice is an error, not the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            value = self.construct_object(key, deep=True)
            if isinstance(value, str | int) and value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {value!r} is given twice", key.start_mark
                )
            seen.add(value if isinstance(value, str | int) else repr(value))
        return super().construct_mapping(node, deep)


def _set(raw: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    for key in path:
        inner = raw.setdefault(key, {})
        if not isinstance(inner, dict):
            return  # the model will say what is wrong with it
        raw = inner
    raw[last] = value


def _substituted(value: Any, file: str, key: str, secrets: set[str]) -> Any:
    """Environment variables filled in, all the way down."""
    if isinstance(value, dict):
        return {k: _substituted(v, file, f"{key}.{k}".lstrip("."), secrets) for k, v in value.items()}
    if isinstance(value, list):
        return [_substituted(v, file, f"{key}.{i}", secrets) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = os.environ.get(name, default)
        if found is None:
            raise ConfigError(
                f"{file}: {key} names the environment variable {name}, which is not set. Set it, or write ${{{name}:-default}}."
            )
        if SECRET_NAME.search(name) and len(found) >= SHORTEST_SECRET:
            secrets.add(found)
        return found

    return VARIABLE.sub(fill, value)


def _model(build: Callable[[Any], Any], value: Any, file: str, section: str) -> Any:
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: {section} must be a mapping of keys, and is a {type(value).__name__}.")
    try:
        return build(value)
    except ValidationError as e:
        raise ConfigError(
            f"{file}: {'; '.join(_explained(error, section, e) for error in e.errors())}."
        ) from e


def _explained(error: Any, section: str, e: ValidationError) -> str:
    where = ".".join([*([section] if section else []), *(str(p) for p in error["loc"])])
    if error["type"] == "extra_forbidden":
        known = _known_keys(e.title, error["loc"])
        name = str(error["loc"][-1])
        return f"unknown key {where!r}{nearest(name, known) or (' (known: ' + ', '.join(known) + ')' if known else '')}"
    if error["type"] == "missing":
        return f"the key {where!r} is missing"
    shown = error["input"]
    given = (
        f", not {shown!r}"
        if isinstance(shown, str | int | float | bool) and not SECRET_NAME.search(where)
        else ""
    )
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}{given}"


def _known_keys(title: str, loc: tuple[Any, ...]) -> list[str]:
    """The fields of the model in which an unknown key stands."""

    def subclasses(cls: type[BaseModel]) -> list[type[BaseModel]]:
        return [s for c in cls.__subclasses__() for s in (c, *subclasses(c))]

    model: Any = next((c for c in subclasses(BaseModel) if c.__name__ == title), None)
    for step in loc[:-1]:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or step not in model.model_fields:
            return []
        model = model.model_fields[str(step)].annotation
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _refuse_unknown(sections: Mapping[str, Any], phases: Registry, file: str) -> None:
    known = [*Engine.model_fields, *phases.names]
    for key in sections:
        if key not in phases:
            raise ConfigError(
                f"{file}: unknown key {key!r}{nearest(str(key), known) or ' (known: ' + ', '.join(known) + ')'}."
            )


def _known_machine(engine: Engine, machines: Registry, file: str) -> None:
    for key, name in (("machine", engine.machine), ("recovery", engine.recovery)):
        if name is not None and name not in machines:
            known = list(machines.names)
            raise ConfigError(
                f"{file}: {key}: there is no machine {name!r}{nearest(name, known) or '.'} There are: {', '.join(known)}."
            )


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _secret_values(value: Any) -> list[str]:
    """The secrets in a section: every SecretStr, however deep."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return [secret] if len(secret) >= SHORTEST_SECRET else []
    if isinstance(value, BaseModel):
        return [s for name in type(value).model_fields for s in _secret_values(getattr(value, name))]
    if isinstance(value, Mapping):
        return [s for v in value.values() for s in _secret_values(v)]
    if isinstance(value, list | tuple):
        return [s for v in value for s in _secret_values(v)]
    return []


def environment_secrets() -> frozenset[str]:
    """Values of environment variables that are named like secrets: never to be written anywhere."""
    return frozenset(v for n, v in os.environ.items() if SECRET_NAME.search(n) and len(v) >= SHORTEST_SECRET)
