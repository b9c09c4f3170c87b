"""GCC's front end, reading text written by a model: bounded in time, memory and files, and told everything.

`cc1` is run without the driver in front of it: half the processes, and the limits are on the one that reads the text
(`bounded`).
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from phases.quality_scoring import bounded
from phases.quality_scoring.config import CompilerLimits

CODE, PRELUDE = "code.c", "prelude.h"  # what diagnostics call the scored text, and what is put before it

# Standard, whatever the compiler's own default: the same text has the same score with GCC 12 and with GCC 15.
_LANGUAGE = (
    "-std=gnu17",
    "-Wno-error=implicit-function-declaration",
    "-Wno-error=implicit-int",
    "-Wno-error=int-conversion",
    "-Wno-error=incompatible-pointer-types",
)
# Both operators can be pasted together by macros where no check of the text can see them, and both open files.
_NO_FILES = ("-D_Pragma(x)=", "-D__has_include(x)=0", "-D__has_include_next(x)=0", "-D__has_embed(x)=0")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One diagnostic in the scored text. `kind` is GCC's: error, fatal error, warning.

    elsewhere  the other half of it is not in the text: a clash with what a header declares
    """

    kind: str
    line: int
    message: str
    option: str
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Compilation:
    """What the compiler said. `failure` is empty, or says why it could not read the text to its end.

    brought  names that what stands before the text declares twice: a header of the prelude brought them as well
    """

    diagnostics: tuple[Diagnostic, ...]
    failure: str = ""
    brought: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compiler:
    """GCC's C front end and the directories of the system's headers."""

    cc1: str
    include: tuple[str, ...]

    @cached_property
    def available(self) -> Callable[[str], bool]:
        """Whether a header, by the name in its #include, is one of the system's; answers are kept."""
        roots = [(d, os.path.realpath(d) + "/") for d in self.include]

        @lru_cache(maxsize=4096)
        def available(name: str) -> bool:
            for directory, root in roots:
                path = f"{directory}/{name}"
                if os.path.isfile(path) and os.path.realpath(path).startswith(root):  # noqa: PTH113 (a third the time)
                    return True
            return False

        return available

    def read(
        self, text: str, warnings: tuple[str, ...], limits: CompilerLimits, *, follow: bool = False
    ) -> Compilation:
        """Diagnostics of a guarded text (see `guard`). Never raises for what is in the text.

        With `follow` the compiler goes on from the text to its flow of control; what it makes of it goes nowhere. Raises OSError where the compiler cannot be started.
        """
        command = [
            self.cc1,
            "-quiet",
            *(() if follow else ("-fsyntax-only",)),
            *_LANGUAGE,
            *warnings,
            *_NO_FILES,
            "-nostdinc",
        ]
        for directory in self.include:
            command += ["-isystem", directory]
        command += ["-fdiagnostics-format=json", "-o", "/dev/null", "-"]
        ended = bounded.run(command, text.encode("utf-8", "replace"), limits)
        output, failure, code = ended.messages, ended.failure, ended.code
        said = _said(output)
        if not failure and code != 0 and not any(part["kind"] != "warning" for part in said):
            # It says that there are errors, and names none. What it does say is then in words.
            failure = "it ran out of memory" if b"out of memory" in output else _ending(code)
        found = tuple(d for part in said if (d := _diagnostic(part)) is not None)
        return Compilation(found, failure, tuple(name for part in said if (name := _clashing(part))))


@lru_cache(maxsize=8)
def find_compiler(command: str) -> Compiler | None:
    """The GCC behind a command; None where there is none, or something else by its name, or no way to bound it."""
    path = shutil.which(command)
    if path is None or not (hasattr(resource, "prlimit") and hasattr(os, "pidfd_open")):
        return None
    ask: Callable[..., subprocess.CompletedProcess[str]] = lambda *args: subprocess.run(  # noqa: E731
        [path, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        env=bounded.ENVIRONMENT,
    )
    try:
        cc1 = ask("-print-prog-name=cc1").stdout.strip()
        searched = ask("-E", "-v", "-x", "c", "/dev/null").stderr
    except (OSError, subprocess.SubprocessError):
        return None
    if not (Path(cc1).is_absolute() and os.access(cc1, os.X_OK)):  # clang answers "cc1"
        return None
    listed = re.search(r"<\.\.\.> search starts here:\n(.*?)End of search list", searched, re.DOTALL)
    directories = [line.strip() for line in listed[1].splitlines()] if listed else []
    return Compiler(cc1, tuple(d for d in directories if Path(d).is_dir()))


def _ending(code: int) -> str:
    if code == 1:
        return "it gave up"
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return "it used up its time"
    return "it broke down" if code in (4, -signal.SIGSEGV, -signal.SIGABRT) else f"it ended with {code}"


def _said(output: bytes) -> list[dict[str, Any]]:
    """The diagnostics, each with its own notes under "notes".

    GCC writes one JSON array at its end; of a broken-off one, what is whole counts.
    """
    text = output.decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    at = text.find("[{") + 1
    while at > 0:
        try:
            raw, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        found.extend(_flatten(raw))
        at = text.find("{", end, end + 4)
    return found


def _flatten(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """GCC groups diagnostics: what follows a first one may be its notes, or others in their own right."""
    alone: dict[str, Any] = {}
    for part in (raw, *raw.get("children", ())):
        if part.get("kind") == "note":
            if alone:
                alone["notes"].append(part)
        else:
            if alone:
                yield alone
            alone = {**part, "kind": str(part.get("kind")), "notes": []}
    if alone:
        yield alone


def _diagnostic(raw: dict[str, Any]) -> Diagnostic | None:
    """A diagnostic in the scored text, or an error that the text causes in a header."""
    caret = _caret(raw)
    message = str(raw.get("message", ""))
    line = int(caret["line"]) if caret else 1
    if caret is not None and (file := str(caret.get("file"))) != CODE:
        if raw["kind"] == "warning" or file == PRELUDE:
            return None
        line, message = 1, f"in {file}: {message}"
    elsewhere = any((note := _caret(n)) is not None and note.get("file") != CODE for n in raw["notes"])
    return Diagnostic(raw["kind"], line, message, str(raw.get("option", "")), elsewhere)


def _clashing(raw: dict[str, Any]) -> str:
    """The name that the prelude and a header of it declare differently; "" for any other diagnostic."""
    clash = re.match(r"conflicting types for '(\w+)'", str(raw.get("message", "")))
    caret = _caret(raw)
    return clash[1] if clash and caret is not None and caret.get("file") == PRELUDE else ""


def _caret(raw: dict[str, Any]) -> dict[str, Any] | None:
    return next((place["caret"] for place in raw.get("locations", ()) if "caret" in place), None)
