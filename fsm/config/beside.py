"""Machines and phases in files beside a configuration: a drawing and a file of handlers are a pipeline, without a package.

    plug: {drawing: coffee.mmd, handlers: coffee.py}

Every `Machine` and every `Phase` of the handlers' file is plugged in by its name. A drawing of which no `Machine` is there is one
by itself, named after its file, or after its fence in a page. Paths are the configuration file's neighbours.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from fsm import extras
from fsm.config.model import Plug
from fsm.drawing import of_source, text_at
from fsm.engine import Machine, Phase
from fsm.errors import ConfigError, FsmError

T = TypeVar("T", Machine, Phase)


class HandlersError(ConfigError):
    """The file of handlers cannot be used."""


@dataclass(frozen=True)
class Beside:
    """What lies beside a configuration, by name."""

    machines: Mapping[str, Machine] = field(default_factory=dict)
    phases: Mapping[str, Phase] = field(default_factory=dict)

    @classmethod
    def of(cls, plug: Plug, directory: Path) -> Beside:
        """What the files of a configuration in that directory hold.

        Raises HandlersError, and of the drawing DiagramError, MachineError and MermaidError.
        """
        module = _module(directory / plug.handlers) if plug.handlers else None
        machines, phases = _of_kind(module, Machine, "name"), _of_kind(module, Phase, "machine")
        if plug.drawing:
            source = text_at(directory / plug.drawing)
            if source.name not in machines:
                machines[source.name] = Machine(source.name, of_source(source))
        if module is not None and not phases:
            raise HandlersError(
                f"{module.__file__} holds no Phase. Begin it with `from fsm import Context, Phase` and "
                f"`PHASE = Phase({next(iter(machines), 'my_drawing')!r})`."
            )
        return cls(machines, phases)


_found_by_us: Counter[str] = Counter()  # places that `findable` has put on sys.path, and how many are inside
_finding = threading.Lock()


@contextmanager
def findable(directory: Path) -> Iterator[None]:
    """Inside, modules beside a configuration, and in the working directory, can be imported; none of them hides an installed one.

    Afterwards sys.path is as it was. For several threads at once: a place stays for as long as one of them is inside.
    """
    ours = []
    with _finding:
        for path in dict.fromkeys((str(directory.absolute()), str(Path.cwd()))):
            if path not in sys.path:
                sys.path.append(path)
            elif path not in _found_by_us:  # somebody else's, and none of ours to take away
                continue
            _found_by_us[path] += 1
            ours.append(path)
    try:
        yield
    finally:
        with _finding:
            for path in ours:
                _found_by_us[path] -= 1
                if not _found_by_us[path]:
                    del _found_by_us[path]
                    with suppress(ValueError):  # taken away meanwhile
                        del sys.path[-1 - sys.path[::-1].index(path)]  # ours is the last of that name


def _of_kind(module: ModuleType | None, kind: type[T], name: str) -> dict[str, T]:
    """The objects of a kind that a module holds, by their own names, in its order."""
    found: dict[str, T] = {}
    for value in vars(module).values() if module else ():
        if isinstance(value, kind):
            other = found.setdefault(getattr(value, name), value)
            if other is not value:
                raise HandlersError(
                    f"{module.__file__ if module else ''} holds two {kind.__name__}s named {getattr(value, name)!r}. Keep one, or "
                    "name one of them otherwise."
                )
    return found


def _module(path: Path) -> ModuleType:
    """A file of Python, run as a module under a name that hides no other."""
    try:
        source = path.read_bytes()
    except OSError as e:
        raise HandlersError(
            f"{path} cannot be read: {e.strerror}. Name a file of Python beside the configuration."
        ) from e
    name = f"fsm_beside_{path.stem}_{hashlib.sha256(str(path.absolute()).encode() + source).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    try:
        code = compile(source, str(path), "exec")
    except (SyntaxError, ValueError) as e:
        line = f":{e.lineno}" if isinstance(e, SyntaxError) and e.lineno else ""
        said = e.msg if isinstance(e, SyntaxError) else e
        raise HandlersError(f"{path}{line}: this is not Python: {said}. Mend it there.") from e
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(code, vars(module))
    except BaseException as e:
        del sys.modules[name]
        if not isinstance(e, Exception):
            raise
        here = [
            frame.lineno for frame in traceback.extract_tb(e.__traceback__) if frame.filename == str(path)
        ]
        said = e.message if isinstance(e, FsmError) else extras.missing(e) or f"{type(e).__name__}: {e}"
        raise HandlersError(f"{path}:{here[-1] if here else 1}: it fails when it is imported: {said}") from e
    return module
