"""The engine's own keys, and a configuration that was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from fsm.engine import Program
from fsm.secrets import redactor


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Plug(_Model):
    """The packages that hold machines and phases, each with a NAMES mapping, and files beside the configuration.

    `drawing` is a drawing (`coffee.mmd`, `page.md#coffee`); `handlers` is a file of Python with the `Phase` of its states, and with
    its `Machine` where there is more to say of it than the drawing does. What is in files goes before what is in packages.
    """

    machines: str = "machines"
    phases: str = "phases"
    drawing: str | None = None
    handlers: str | None = None


class Run(_Model):
    """`name` is the run's in the store; `seed` decides every random number in it.

    `source` names another run of the store, whose artifacts this one may open: a phase alone, after another one.
    """

    name: str = "run"
    seed: int = Field(default=42, ge=0, lt=2**64)
    source: str | None = None


class Notify(_Model):
    """Whom a run calls out to when it ends, stops, or asks somebody: each is given one line of JSON, at most once for a record.

    `command` gets it on standard input, `webhook`, an http(s) address that is kept secret, as the body of a POST. Each may
    take `seconds`.
    """

    command: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = ()
    webhook: SecretStr | None = None
    seconds: float = Field(default=10, gt=0, le=600, allow_inf_nan=False)

    @field_validator("webhook")
    @classmethod
    def _an_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            _address(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.command and self.webhook is None:
            raise ValueError("calls out to nobody: give it a command, [program, argument, ...], or a webhook")
        return self


class Telemetry(_Model):
    """The collector that a run's trace and metrics are sent to, by OTLP over HTTP (the extra `otel`).

    `endpoint` is its base, such as http://localhost:4318; `headers` go with each request and are kept secret; one that has not
    taken a request within `seconds` is left alone for a while.
    """

    endpoint: str
    headers: dict[str, SecretStr] = {}
    seconds: float = Field(default=3, gt=0, le=60, allow_inf_nan=False)

    @field_validator("endpoint")
    @classmethod
    def _an_address(cls, value: str) -> str:
        _address(value)
        return value


def _address(text: str) -> None:
    """Raises ValueError for what is no http(s) address of a host."""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("must be an address that begins with http:// or https:// and names a host")


class Engine(_Model):
    """The engine's own keys; every other key of the file is a phase's section."""

    machine: str
    plug: Plug = Plug()
    recovery: str | None = None
    run: Run = Run()
    store: str = "."
    store_options: dict[str, Any] = {}
    work: str = "work"
    notify: Notify | None = None
    telemetry: Telemetry | None = None


@dataclass(frozen=True)
class Config:
    """A configuration read, checked and plugged together."""

    file: str
    engine: Engine
    program: Program
    plain: Mapping[str, Any]  # as JSON values, secrets masked: what run.json keeps
    text: str = ""  # the file as it stands, its variables not filled in
    secrets: frozenset[str] = field(repr=False, default=frozenset())
    overrides: Mapping[str, Any] = field(default_factory=dict)  # what the command line said, by dotted name

    def redact(self, text: str) -> str:
        """The text without any secret's value."""
        return redactor(self.secrets)(text)
