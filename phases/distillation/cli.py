"""`fsm report`, `fsm merge`, `fsm chat`: a distillation looked at, its student made whole, its student tried."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsm.command import example, of_run
from fsm.errors import ConfigError, FsmError
from fsm.speech import out


class StudentRefused(FsmError):
    """The student of a run cannot be put together, loaded or merged here."""

    code = "P102"


def add_report(subparsers: Any) -> None:
    """Add `fsm report`."""
    parser = _of_run(subparsers, "report", "every epoch of a distillation, and how it ended", run_report)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.html", help="write one HTML file that opens offline"
    )


def add_merge(subparsers: Any) -> None:
    """Add `fsm merge`."""
    parser = _of_run(
        subparsers, "merge", "the student as a model of its own, and how far it drifts by that", run_merge
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: RUN-merged")
    _base(parser)


def add_chat(subparsers: Any) -> None:
    """Add `fsm chat`."""
    parser = _of_run(subparsers, "chat", "ask the student, and score its answer", run_chat)
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="what to ask; - is stdin")
    example(parser, 'fsm chat local --prompt "Write a C function that tells whether a gate is open."')
    _base(parser)


def _of_run(subparsers: Any, name: str, text: str, do: Callable[..., int]) -> Any:
    about = "a distillation, or a pipeline that has one"
    return of_run(subparsers, name, text, do, run=about, as_json="JSON, in one line")


def _base(parser: Any) -> None:
    parser.add_argument(
        "--base", metavar="MODEL", help="where the base model is here, if not where the run had it"
    )


def run_report(args: argparse.Namespace) -> int:
    """The whole run as tables, as JSON, or as a page. `run_report.report` says what the JSON holds."""
    from phases.distillation import run_page
    from phases.distillation import run_report as reports

    if args.output is not None and args.output.suffix != ".html":
        raise ConfigError(
            f"-o {args.output}: the report is written as one HTML page. Give the file the ending .html."
        )
    said = reports.report(_find(args))
    if args.output is not None:
        try:
            args.output.write_text(run_page.page(said), "utf-8")
        except OSError as e:
            raise ConfigError(
                f"-o {args.output}: it cannot be written ({e.strerror}). Choose another place for it."
            ) from e
    if args.json:
        print(json.dumps(said, ensure_ascii=False))
    elif args.output is not None:
        print(args.output)
    else:
        _show_report(said)
    return 0


def run_merge(args: argparse.Namespace) -> int:
    """Merge, save, and measure. `merge.merge` says what the JSON holds."""
    from phases.distillation import merge

    found = _find(args)
    target = args.output or Path(f"{found.name}-merged")
    said = _student(lambda: merge.merge(found, target, args.base, _progress(args)))
    if args.json:
        print(json.dumps(said, ensure_ascii=False))
        return 0
    for line in merge.words(said):
        print(line)
    return 0


def run_chat(args: argparse.Namespace) -> int:
    """Ask and score. `chat.chat` says what the JSON holds."""
    from phases.distillation import chat

    found = _find(args)
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    if not prompt.strip():
        raise ConfigError("--prompt is empty, and the student has nothing to answer. Give it a text.")
    said = _student(lambda: chat.chat(found, prompt, args.base))
    if args.json:
        print(json.dumps(said, ensure_ascii=False))
        return 0
    text = said["answer"]["text"]
    out(text) if sys.stdout.isatty() else print(text)  # a model may write what a terminal would obey
    for line in chat.words(said):
        print(line, file=sys.stderr)
    return 0


def _find(args: argparse.Namespace) -> Any:
    from fsm.store import open_store
    from phases.distillation.stored import find

    return find(open_store(args.store), args.run)


def _student(do: Callable[[], Any]) -> Any:
    """What a phase would take to Diagram 8 is told to whoever gave the command."""
    from phases.errors import PipelineError

    try:
        return do()
    except PipelineError as e:
        raise StudentRefused(str(e)) from e


def _progress(args: argparse.Namespace) -> Callable[[str], None]:
    return (lambda text: None) if args.json else (lambda text: print(text, file=sys.stderr))


def _show_report(said: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from phases.distillation import run_words
    from phases.distillation.report import DIMENSIONS
    from phases.distillation.run_words import SETS, caption, cells, domains, headings, score, teaching

    # a file or a pipe has no width: rows are not broken there
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)
    for line in caption(said):
        console.print(line, soft_wrap=True)
    if prepared := teaching(said):
        table = Table("teacher generation", "", box=None, pad_edge=False)
        for what, much in prepared:
            table.add_row(what, much)
        console.print()
        console.print(table)
    table = Table(box=None, pad_edge=False)
    for heading in headings():
        table.add_column(heading, justify="right")
    for epoch in said["epochs"]:
        table.add_row(*(c if isinstance(c, str) else score(c) for c in cells(epoch)))
    console.print()
    console.print(table)
    for heads, rows in (
        of(said["epochs"]) for of in (run_words.behaviour, run_words.failures, run_words.learned)
    ):
        if rows:
            table = Table(box=None, pad_edge=False)
            for heading in heads:
                table.add_column(heading, justify="left" if heading == "set" else "right")
            for row in rows:
                table.add_row(*(c if isinstance(c, str) else score(c) for c in row))
            console.print()
            console.print(table)
    found = domains(said["epochs"])
    table = Table(box=None, pad_edge=False)
    for heading in ("epoch", "set", *DIMENSIONS, *found):
        table.add_column(heading, justify="left" if heading == "set" else "right")
    for epoch in said["epochs"]:
        for key, (name, _) in SETS.items():
            of = epoch[key]
            shown = [*(of[d] for d in DIMENSIONS), *(of["domains"].get(d) for d in found)]
            table.add_row(str(epoch["epoch"]), name, *(score(s) if s else "" for s in shown))
    console.print()
    console.print(table)
