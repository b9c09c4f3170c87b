"""`fsm check`: of configurations and of drawings alone, printed as a compiler does, as JSON or as SARIF; once, or at each save."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsm import config as configs
from fsm import mermaid, session
from fsm.check import Finding, alone, check, sarif
from fsm.config import Config
from fsm.drawing import texts_at
from fsm.errors import ConfigError, FsmError
from fsm.speech import out, say

TEXT, JSON, SARIF = "text", "json", "sarif"
FORMS = (TEXT, JSON, SARIF)
SAVED = (*mermaid.SUFFIXES, ".py", ".yaml", ".yml")
Further = Callable[[Config, bool], int]


@dataclass(frozen=True)
class Checked:
    """What was found of one configuration or drawing, and what is said of it where nothing was."""

    findings: Sequence[Finding]
    clean: str = ""
    foreseen: Sequence[str] = ()
    config: Config | None = None


def run(what: Sequence[str], form: str, further: Sequence[Further] = ()) -> int:
    """Check each; 2 where one has an error, or what the worst of the further checks returns.

    Raises FsmError, MermaidError for what cannot be checked at all.
    """
    checked = [one for place in what for one in _checked(place)]
    if form == SARIF:
        from importlib.metadata import version

        out(json.dumps(sarif([f for one in checked for f in one.findings], version("fsm-pipelines"))))
    else:
        for one in checked:
            _tell(one, form == JSON)
    if any(f.severity == "error" for one in checked for f in one.findings):
        return 2
    asked = (ask(one.config, form == JSON) for one in checked if one.config for ask in further)
    return max(asked, default=0)


def _checked(place: str) -> list[Checked]:
    if mermaid.drawn_in(place) or Path(place).is_dir():
        sound = "a drawing that can be run, nothing to complain of"
        return [Checked(alone(source), f"{source.where}: {sound}") for source in texts_at(place)]
    try:
        config = configs.load(Path(place))
    except ConfigError as e:
        if not e.mistakes:
            raise
        return [Checked([Finding("error", e.code, m.file, m.line, m.column, m.message) for m in e.mistakes])]
    findings = check(config.program)
    clean = f"{place}: {len(config.program.machines)} machines, nothing to complain of"
    return [Checked(findings, clean, session.outlook(config), config)]


def _tell(checked: Checked, as_json: bool) -> None:
    for finding in checked.findings:
        out(json.dumps(finding.as_json()) if as_json else finding)
    if not checked.findings and not as_json:
        out(checked.clean)
    for said in checked.foreseen:
        out(json.dumps({"severity": "info", "message": said}) if as_json else said)


def watch(what: Sequence[str], words: Sequence[str]) -> int:
    """Check now and whenever a drawing, a configuration or a Python file near them is saved, until it is interrupted.

    `words` are those of the command that checks once: it is given to an interpreter of its own, which imports what was changed.
    """
    from watchfiles import DefaultFilter, watch

    class Saved(DefaultFilter):
        def __call__(self, change: Any, path: str) -> bool:
            return path.endswith(SAVED) and super().__call__(change, path)

    places = {Path.cwd(), *(_directory(place) for place in what)}
    command = [sys.executable, "-m", "fsm.cli", "check", *words]
    with suppress(KeyboardInterrupt):
        subprocess.run(command, check=False)
        say("watching; Ctrl-C ends it")
        for changes in watch(*sorted(places), watch_filter=Saved()):
            say(f"{', '.join(sorted({_shown(path) for _, path in changes}))} was saved")
            subprocess.run(command, check=False)
    return 0


def _directory(place: str) -> Path:
    path = Path(place.partition("#")[0])
    found = path if path.is_dir() else path.parent
    if not found.is_dir():
        raise FsmError(f"{place}: there is no directory {found} to watch.")
    return found.absolute()


def _shown(path: str) -> str:
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path
