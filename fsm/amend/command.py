"""`fsm fork` and `fsm diff`, as text or as JSON. Each returns the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from fsm import config as configs
from fsm.amend import forking
from fsm.amend.program import Changes, changes, texts
from fsm.drawing import Chart, parse
from fsm.errors import FsmError
from fsm.journal import Journal
from fsm.mermaid import MermaidError
from fsm.speech import out, say
from fsm.store import open_store


def fork(run: str, at: int, settings: list[str], name: str, anyway: bool, store: str, as_json: bool) -> int:
    """Begin a fork.

    As JSON one object: run, past, at, place (of its outermost machine), settings {key: value}, used {key: the first use of its
    section}: what --anyway let pass.
    """
    made = forking.fork(open_store(store), run, at, settings, name, anyway=anyway)
    if as_json:
        out(json.dumps(asdict(made), ensure_ascii=False))
        return 0
    for key, use in made.used.items():
        say(f"{key} was used before, at {use}: what was made with it then stays as it is.")
    where = f"in {made.place}" if made.place else "at its beginning"
    out(f"{made.run} shares the past of {made.past} up to record {made.at}, and stands {where}.")
    out(
        f"fsm run CONFIG --run {made.run}    go on with it{', with its own settings' if made.settings else ''}"
    )
    return 0


def diff(run: str, config: Path, store: str, as_json: bool) -> int:
    """Hold a configuration against what a run goes by: 0 where nothing changed, 1 where something did.

    As JSON one object: run, machine (null, or [then, now]), drawings {machine: {"states": {"gone", "new"}, "edges": {"gone",
    "new"}}}, of one whose former text is not kept null; settings {key: [then, now]}, sections (those that are new). Raises NoSuchRun.
    """
    opened = open_store(store).run(run)
    journal = Journal(opened)
    header = journal.header()
    own = {"run.name": run} | forking.settings_of(opened)
    read = configs.load(config, own)
    found = changes(header, journal.load(), read)
    former, now = forking.drawings(opened, header), texts(read.program)
    drawings = {name: _redrawn(name, former.get(name), now.get(name)) for name in found.diagrams}
    if as_json:
        said = {
            "run": run,
            "machine": found.machine,
            "drawings": drawings,
            "settings": found.settings,
            "sections": sorted(found.sections),
        }
        out(json.dumps(said, ensure_ascii=False))
    else:
        for line in _lines(run, found, drawings):
            out(line)
    return 1 if found else 0


def _redrawn(name: str, then: str | None, now: str | None) -> dict[str, dict[str, list[str]]] | None:
    """What a drawing has lost and gained; None where one of the two cannot be looked at."""
    was, is_ = _chart(name, then), _chart(name, now)
    if was is None or is_ is None:
        return None
    states, edges = ([*was.states], [*is_.states]), ([e.id for e in was.edges], [e.id for e in is_.edges])
    return {
        what: {"gone": [x for x in a if x not in b], "new": [x for x in b if x not in a]}
        for what, (a, b) in {"states": states, "edges": edges}.items()
    }


def _chart(name: str, text: str | None) -> Chart | None:
    try:
        return parse(text, name) if text is not None else None
    except (FsmError, MermaidError):
        return None


def _lines(
    run: str, found: Changes, drawings: Mapping[str, dict[str, dict[str, list[str]]] | None]
) -> Iterator[str]:
    if not found:
        yield f"nothing has changed since {run} began"
        return
    if found.machine:
        yield f"machine: {found.machine[0]} then, {found.machine[1]} now"
    for name, (then, now) in found.diagrams.items():
        redrawn = drawings[name]
        if now is None or then is None:
            yield f"drawing {name}: {'takes part no more' if now is None else 'is new'}"
            continue
        yield f"drawing {name}: {then[:12]} then, {now[:12]} now"
        if redrawn is None:
            yield "  its former text is not kept"
        elif not any(inner for what in redrawn.values() for inner in what.values()):
            yield "  the same states and edges: words, notes or their order"
        else:
            for what, mark in (("states", "state "), ("edges", "")):
                yield from (f"  - {mark}{gone}" for gone in redrawn[what]["gone"])
                yield from (f"  + {mark}{new}" for new in redrawn[what]["new"])
    for key, (a, b) in found.settings.items():
        yield f"{key}: {json.dumps(a, ensure_ascii=False)} then, {json.dumps(b, ensure_ascii=False)} now"
    yield from (f"section {name} is new" for name in found.sections)
    if found.settings:
        yield f"`fsm fork {run} --at SEQ --set KEY=VALUE` goes on with other settings"
    elif found.diagrams and not found.machine:
        yield "`fsm run CONFIG --accept` goes on under these drawings"
