"""`fsm export` and `fsm import`. Each returns the exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsm import config as configs
from fsm import mermaid
from fsm.drawing import Chart, of_source, text_at
from fsm.engine import Machine
from fsm.errors import ConfigError
from fsm.exchange import asl, asl_read, dot, scxml, xstate
from fsm.exchange.tree import Read, Unsayable, text_of, tree
from fsm.speech import out, say
from fsm.text import NotUtf8, decode

READ = {"asl": asl_read.read, "scxml": scxml.read, "xstate": xstate.read}


def export(what: str, to: str, machine: str | None, resource: str, output: Path | None, as_json: bool) -> int:
    """Write a drawing, or a machine of a configuration, in another format.

    As JSON one object: machine, format, and the text, or the file that it was written to as output.
    """
    found, config = _machine(what, machine)
    if to == "asl":
        text = asl.write(found, config, resource)
    elif to == "scxml":
        text = scxml.write(tree(found.chart), found.name)
    elif to == "xstate":
        text = xstate.write(tree(found.chart), found.name)
    else:
        text = dot.write(tree(found.chart), found.name)
    if output is not None or not as_json:
        _write(text, output)
    if as_json:
        what_of_it = {"text": text} if output is None else {"output": str(output)}
        out(json.dumps({"machine": found.name, "format": to} | what_of_it, ensure_ascii=False))
    return 0


def _machine(what: str, name: str | None) -> tuple[Machine, str]:
    """The machine to write, and the configuration it is of."""
    if mermaid.drawn_in(what):
        chart = of_source(text_at(what))
        return Machine(chart.name, chart, ends=_ends(chart)), ""
    program = configs.load(Path(what)).program
    return program.machine(name or program.root), what


def _ends(chart: Chart) -> list[str]:
    """The states from which nothing leads on: of a drawing alone they are taken for ends."""
    return [path for path, state in chart.states.items() if not state.composite and not chart.moves(path)]


def bring(file: Path, source: str | None, output: Path | None, lossy: bool, as_json: bool) -> int:
    """Read a machine of another format as a drawing: 0 where that means the same, 1 where it does not, and nothing was written.

    What a drawing cannot say is listed; with `lossy` the drawing is written all the same. What is left for handlers to do stands in
    the drawing's head as comments. As JSON one object: format, drawing (null where it was not written), unsaid, notes.
    """
    text = _text(file)
    known = source or _guessed(file, text)
    read = READ[known](text)
    drawing = None
    if lossy or not read.unsaid:
        try:
            drawing = text_of(read.root, read.notes)
        except Unsayable as e:
            read.unsaid.append(e.message)
    if as_json:
        out(
            json.dumps(
                {"format": known, "drawing": drawing, "unsaid": read.unsaid, "notes": read.notes},
                ensure_ascii=False,
            )
        )
    else:
        _tell(read, file, drawing is not None)
        if drawing is not None:
            _write(drawing, output)
    return 1 if read.unsaid else 0


def _tell(read: Read, file: Path, written: bool) -> None:
    for unsaid in read.unsaid:
        say(f"{file}: {unsaid}")
    if read.unsaid and not written:
        say(
            "This is what a drawing cannot say, so nothing was written. Change it there, or say --lossy to have the rest."
        )


def _guessed(file: Path, text: str) -> str:
    """The format by the file's name, or by what is in it."""
    if file.suffix in (".scxml", ".xml"):
        return "scxml"
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    keys: Mapping[str, Any] = said if isinstance(said, dict) else {}
    if "States" in keys:
        return "asl"
    if "states" in keys:
        return "xstate"
    raise ConfigError(f"{file}: which format this is cannot be told. Say --from {', '.join(READ)}.")


def _text(file: Path) -> str:
    try:
        return decode(file.read_bytes(), str(file))
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror}.") from e
    except NotUtf8 as e:
        raise ConfigError(f"{file}: it {e.why}.") from e


def _write(text: str, output: Path | None) -> None:
    if output is None:
        out(text.rstrip("\n"))
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as e:
        raise ConfigError(f"{output} cannot be written: {e.strerror}.") from e
