"""What a handler does outside its run, seen by the interpreter's audit events: files it writes, processes, connections.

A file is copied before it is first written to, so that the next trial finds it as this one did. What libraries do below the
interpreter (a C extension that opens files by itself) is not seen; sqlite is.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MOST_BYTES = 1 << 26  # of a file that is kept to be put back; a larger one is told and left
SYSTEM = ("/dev/", "/proc/", "/sys/")
CACHES = ("XDG_CACHE_HOME", "FSM_CACHE", "HF_HOME", "MPLCONFIGDIR", "TORCH_HOME")
"""Environment variables that name where libraries keep what they can make again."""


@dataclass(frozen=True)
class Effect:
    """Something done outside: `what` is "append", "write", "process" or "connection"; `once`: in a step that is journaled."""

    machine: str
    state: str
    what: str
    target: str
    once: bool = False


class Outside:
    """Watches a process, and notes in a file of lines what it does; `here` tells in which (machine, state, once) it is.

    What lies below `inside` is the run's own and of no interest, and neither is what libraries keep in caches.
    """

    def __init__(
        self,
        notes: Path,
        kept: Path,
        inside: Sequence[Path],
        here: Callable[[], tuple[str, str, bool] | None],
    ) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._kept = kept
        caches = (os.environ[name] for name in CACHES if os.environ.get(name))
        self._inside = tuple(
            f"{path}{os.sep}" for path in (*inside, kept.parent, Path.home() / ".cache", *caches)
        )
        self._here = here
        self._busy = False

    def watch(self) -> None:
        """From here on, for as long as the process lives."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self._busy or event not in _TARGETS:
            return
        here = self._here()
        if here is None:
            return
        self._busy = True
        try:
            for what, target in _TARGETS[event](args):
                self._note(Effect(here[0], here[1], what, target, here[2]))
        finally:
            self._busy = False

    def _note(self, effect: Effect) -> None:
        if effect.what in ("append", "write"):
            path = str(Path(effect.target).absolute())
            if path.startswith((*self._inside, *SYSTEM)) or path.endswith(".pyc") or "__pycache__" in path:
                return
            effect = Effect(effect.machine, effect.state, effect.what, path, effect.once)
            keep(Path(path), self._kept)
        os.write(self._notes, json.dumps(vars(effect)).encode() + b"\n")


def _opened(args: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    path, _, flags = args
    if isinstance(path, str | bytes) and isinstance(flags, int) and flags & WRITES:
        yield "append" if flags & os.O_APPEND else "write", os.fsdecode(path)


def _paths(*places: int) -> Callable[[tuple[Any, ...]], Iterator[tuple[str, str]]]:
    def found(args: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
        for place in places:
            if isinstance(args[place], str | bytes | os.PathLike):
                yield "write", os.fsdecode(args[place])

    return found


def _named(what: str, place: int) -> Callable[[tuple[Any, ...]], Iterator[tuple[str, str]]]:
    def found(args: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
        yield what, str(args[place])

    return found


_TARGETS: dict[str, Callable[[tuple[Any, ...]], Iterator[tuple[str, str]]]] = {
    "open": _opened,
    "os.rename": _paths(0, 1),
    "os.remove": _paths(0),
    "os.truncate": _paths(0),
    "sqlite3.connect": _paths(0),
    "subprocess.Popen": _named("process", 0),
    "os.system": _named("process", 0),
    "socket.connect": _named("connection", 1),
}
"""Of an audit event, what is done to what: https://docs.python.org/3/library/audit_events.html"""


def keep(path: Path, kept: Path) -> None:
    """Remember a file as it is, or that there is none, unless that was done before."""
    place = kept / sha256(str(path).encode()).hexdigest()
    if place.with_suffix(".name").exists():
        return
    if path.is_file() and path.stat().st_size <= MOST_BYTES:
        shutil.copy2(path, place)
    place.with_suffix(".name").write_text(str(path))


def put_back(kept: Path) -> None:
    """Every remembered file as it was; one that was not there is removed."""
    for name in sorted(kept.glob("*.name")):
        path, copy = Path(name.read_text()), name.with_suffix("")
        if copy.exists():
            shutil.copy2(copy, path)
        elif path.is_file() and path.stat().st_size <= MOST_BYTES:
            path.unlink()


def effects(notes: Path) -> list[Effect]:
    """What was noted; a last line that was cut off by a kill is left out."""
    if not notes.exists():
        return []
    lines = notes.read_text().split("\n")[:-1]
    return [Effect(**json.loads(line)) for line in lines]


def content(path: Path) -> bytes | None:
    """A file as it is now; None where there is none, or it is too large to be compared."""
    return path.read_bytes() if path.is_file() and path.stat().st_size <= MOST_BYTES else None
