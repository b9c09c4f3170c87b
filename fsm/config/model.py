"""The engine's own keys, and a configuration that was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fsm.engine import Program
from fsm.secrets import redactor


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
    seed: int = Field(default=42, ge=0, lt=2**64)
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
