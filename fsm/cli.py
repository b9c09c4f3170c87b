# PYTHON_ARGCOMPLETE_OK
"""`fsm`: the engine's commands, and those that phases bring."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fsm import run, step
from fsm.command import a_run, completed, example, guarded, of_run, of_store, words
from fsm.speech import out, spoken, visible
from fsm.upkeep import command as upkeep

Subparsers = Any  # argparse keeps the type of add_subparsers() to itself


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = parser_of(argv if argv is not None else sys.argv[1:])
    completed(parser)
    args = words(parser, argv)
    return guarded(args.do, args)


def parser_of(argv: list[str]) -> argparse.ArgumentParser:
    """All commands; those that other packages bring where none of the engine's own is given."""
    parser = argparse.ArgumentParser(
        prog="fsm", description="Pipelines that are drawn, proved, run, killed and resumed."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser("run", help="begin a run, or go on with it")
    run.add_arguments(one)
    example(
        one,
        "fsm run configs/local.yaml",
        "fsm run configs/local.yaml --run again --seed 7",
        before=run.EPILOG,
    )
    one.set_defaults(do=run.run)

    one = commands.add_parser("step", help="leave one state of a run, and say by which edge")
    step.add_arguments(one)
    example(one, "fsm step nightly --state Fetch --config nightly.yaml")
    one.set_defaults(do=step.step)

    one = of_run(commands, "status", "where a run stands", status)
    one = of_run(commands, "history", "the records of a run: places, labels, digests of artifacts", history)
    one = of_run(commands, "audit", "prove a journal whole: chain, gaps, epochs, artifacts", audit)

    one = commands.add_parser("compare", help="where two runs part, and what differs after it")
    a_run(one.add_argument("one", metavar="RUN"))
    a_run(one.add_argument("other", metavar="RUN"))
    of_store(one, "one JSON object of all that differs")
    example(one, "fsm compare local again")
    one.set_defaults(do=compare)

    one = commands.add_parser("fork", help="a run that shares the past of another one, with other settings")
    a_run(one.add_argument("run", metavar="RUN"))
    one.add_argument("--at", type=int, metavar="SEQ", required=True, help="the record that it goes on from")
    one.add_argument(
        "--set",
        dest="settings",
        metavar="A.B=C",
        action="append",
        default=[],
        help="another value of a setting, as YAML has it; any number of times",
    )
    one.add_argument("--name", metavar="NEW", default="", help="of the fork (default: RUN-fork)")
    one.add_argument(
        "--anyway", action="store_true", help="though a setting was used before that record, as it was then"
    )
    of_store(one, "what was begun, as one JSON object")
    example(one, "fsm fork local --at 120 --set convergence.on=held_out --name held-out")
    one.set_defaults(do=fork)

    one = commands.add_parser("diff", help="what a configuration would change in a run: drawings, settings")
    a_run(one.add_argument("run", metavar="RUN"))
    one.add_argument("config", type=Path, metavar="CONFIG")
    of_store(one, "one JSON object of all that changed")
    example(one, "fsm diff local configs/local.yaml")
    one.set_defaults(do=diff)

    one = commands.add_parser("runs", help="the runs of a store, and what they take")
    of_store(one)
    example(one, "fsm runs", "fsm runs --store s3://bucket/prefix")
    one.set_defaults(do=runs)

    one = of_run(
        commands,
        "clean",
        "remove a run's scratch on this machine",
        clean,
        as_json="what was freed, as one JSON line",
    )
    one.add_argument(
        "--force", action="store_true", help="also of a run that has stopped and could go on from it"
    )

    upkeep.add(commands)

    one = commands.add_parser("watch", help="the runs of a store, live: on a local page, or in this terminal")
    a_run(
        one.add_argument(
            "run", metavar="RUN", nargs="?", help="the run to open it with (default: the list of runs)"
        )
    )
    one.add_argument(
        "--terminal",
        action="store_true",
        help="one run, as a tree in this terminal, or as lines where there is none",
    )
    one.add_argument(
        "--port", type=int, metavar="N", help="default: 8377, or where that is in use a free one"
    )
    one.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="where others may see it too: it then asks for the token that is in the printed address",
    )
    one.add_argument("--no-open", action="store_true", help="only print the address; open no browser")
    one.add_argument("--attached", action="store_true", help=argparse.SUPPRESS)
    one.add_argument("--lines", type=Path, help=argparse.SUPPRESS)
    of_store(one)
    example(one, "fsm watch", "fsm watch local --terminal")
    one.set_defaults(do=watch)

    one = commands.add_parser("render", help="draw a diagram, or a run on its diagrams")
    one.add_argument(
        "what",
        metavar="DIAGRAM|RUN",
        help="a .mmd, .mermaid or .md file, page.md#name, the name of a machine, or the name of a run",
    )
    one.add_argument(
        "--machine", metavar="NAME", help="of a run: draw this machine (default: the innermost in progress)"
    )
    one.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write .mmd, .svg, .png or .html (default: Mermaid text to stdout)",
    )
    one.add_argument(
        "--at",
        type=int,
        metavar="SEQ",
        help="of a run: as it was at the record of this number (default: as it is)",
    )
    of_store(one)
    example(one, "fsm render diagrams/pipeline.mmd -o pipeline.svg", "fsm render local --at 40")
    one.set_defaults(do=render)

    one = commands.add_parser("check", help="prove what can be proved before anything runs")
    one.add_argument(
        "what",
        metavar="CONFIG|DRAWING",
        nargs="+",
        help="a configuration; or drawings alone: .mmd, .mermaid and .md files, page.md#name, directories of them",
    )
    one.add_argument("--json", action="store_true", help="one JSON line a finding")
    one.add_argument(
        "--format",
        choices=("text", "json", "sarif"),
        default="text",
        help="sarif: what code hosts show beside a change",
    )
    one.add_argument("--watch", action="store_true", help="check again whenever a file is saved")
    _phase_checks(one, argv)
    example(one, "fsm check configs/local.yaml", "fsm check diagrams --format sarif")
    one.set_defaults(do=check, words=argv)

    one = commands.add_parser(
        "export", help="a drawing in another format: States Language, SCXML, XState, dot"
    )
    one.add_argument(
        "what",
        metavar="DIAGRAM|CONFIG",
        help="a .mmd, .mermaid or .md file, page.md#name, or a configuration",
    )
    one.add_argument(
        "--to",
        choices=("asl", "scxml", "xstate", "dot"),
        required=True,
        help="asl: a state machine of AWS Step Functions whose tasks call `fsm step`",
    )
    one.add_argument(
        "--machine", metavar="NAME", help="of a configuration: this machine (default: the one it runs)"
    )
    one.add_argument(
        "--resource",
        metavar="ARN",
        default="${FsmStep}",
        help="with --to asl: the Lambda function or activity that calls `fsm step` (default: a word to be filled in on deployment)",
    )
    one.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: standard output")
    one.add_argument(
        "--json", action="store_true", help="one JSON object: the text, or the file it was written to"
    )
    example(
        one,
        "fsm export configs/local.yaml --to asl -o pipeline.asl.json",
        "fsm export diagrams/convergence.mmd --to scxml",
    )
    one.set_defaults(do=export)

    one = commands.add_parser("import", help="a machine of another format as a drawing")
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument(
        "--from",
        dest="source",
        choices=("asl", "scxml", "xstate"),
        help="default: by the file's name and content",
    )
    one.add_argument("--lossy", action="store_true", help="write what can be said, though not all of it can")
    one.add_argument("-o", "--output", type=Path, metavar="FILE", help="a .mmd (default: standard output)")
    one.add_argument(
        "--json",
        action="store_true",
        help="one JSON object: the drawing, what it cannot say, what is left to handlers",
    )
    example(one, "fsm import order.asl.json -o order.mmd", "fsm import light.json --from xstate --lossy")
    one.set_defaults(do=bring)

    one = commands.add_parser("new", help="begin a pipeline of your own")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--json", action="store_true", help="the files that were written, one JSON line each")
    example(one, "fsm new dice")
    one.set_defaults(do=new)

    one = commands.add_parser("prove", help="kill a pipeline everywhere, go on with it, and compare")
    one.add_argument("config", type=Path, metavar="CONFIG")
    one.add_argument("--machine", metavar="NAME", help="prove this machine instead: a phase alone")
    one.add_argument("--sample", type=int, metavar="N", help="N kills only, spread over the states")
    one.add_argument(
        "--import", dest="modules", metavar="MODULES", default="", help="import these first, once: a,b,c"
    )
    one.add_argument("--json", action="store_true", help="one JSON line a state")
    example(
        one, "fsm prove dice/dice.yaml", "fsm prove configs/local.yaml --machine data_preparation --sample 2"
    )
    one.set_defaults(do=prove)

    one = commands.add_parser("parse", help="what the Mermaid reader sees")
    one.add_argument("files", nargs="+", metavar="FILE", help="or page.md#name, or a directory of drawings")
    one.add_argument("--json", action="store_true", help="one JSON line a file")
    example(one, "fsm parse diagrams/pipeline.mmd README.md#first --json")
    one.set_defaults(do=parse)

    _phase_commands(commands, argv)
    return parser


def _phase_commands(commands: Subparsers, argv: list[str]) -> None:
    """Commands that installed packages bring by the entry point group `fsm.commands`: a function (subparsers) -> None.

    Looked up only when no command of the engine's own was given: finding entry points reads every package's metadata.
    """
    if argv and argv[0] in commands.choices:
        return
    from importlib.metadata import entry_points

    found = sorted(entry_points(group="fsm.commands"), key=lambda e: e.name)
    for entry in [e for e in found if argv and e.name == argv[0]] or found:
        try:
            entry.load()(commands)
        except ModuleNotFoundError as e:  # the other commands are still there
            _without(commands, entry.name, e)


def _without(commands: Subparsers, name: str, error: ModuleNotFoundError) -> None:
    """In place of a command whose extra is not installed: what says so."""
    from fsm.extras import missing

    if missing(error) is None:
        raise error

    def do(args: argparse.Namespace) -> int:
        raise error

    one = commands.add_parser(name, help="(its extra is not installed)", add_help=False, prefix_chars="\0")
    one.add_argument("words", nargs="*")
    one.set_defaults(do=do)


def _phase_checks(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """What `check` asks further where it is told to, by the entry point group `fsm.checks`: --NAME for each.

    A check is a function (configuration, whether as JSON) -> exit code, whose docstring says what it does.
    """
    parser.set_defaults(further=None)
    if argv[:1] != ["check"]:
        return
    from importlib.metadata import entry_points

    for entry in sorted(entry_points(group="fsm.checks"), key=lambda e: e.name):
        ask = entry.load()
        parser.add_argument(
            f"--{entry.name}", action="append_const", dest="further", const=ask, help=ask.__doc__
        )


# The commands


def status(args: argparse.Namespace) -> int:
    """Where a run stands."""
    from fsm.view import commands

    return commands.status(args.run, args.store, args.json)


def history(args: argparse.Namespace) -> int:
    """The records of a run."""
    from fsm.view import commands

    return commands.history(args.run, args.store, args.json)


def compare(args: argparse.Namespace) -> int:
    """Two runs beside each other; 1 where they differ."""
    from fsm.view import compare

    return compare.compare(args.one, args.other, args.store, args.json)


def fork(args: argparse.Namespace) -> int:
    """A run that goes on from a record of another one."""
    from fsm.amend import command

    return command.fork(args.run, args.at, args.settings, args.name, args.anyway, args.store, args.json)


def diff(args: argparse.Namespace) -> int:
    """A configuration beside what a run goes by; 1 where they differ."""
    from fsm.amend import command

    return command.diff(args.run, args.config, args.store, args.json)


def runs(args: argparse.Namespace) -> int:
    """The runs of a store."""
    from fsm.view import commands

    return commands.runs(args.store, args.json)


def clean(args: argparse.Namespace) -> int:
    """The scratch of a run, removed."""
    from fsm.view import commands

    return commands.clean(args.run, args.store, args.force, args.json)


def watch(args: argparse.Namespace) -> int:
    """The runs of a store as they go on, until it is interrupted."""
    if args.terminal:
        from fsm.view import elsewhere

        return elsewhere.watch(args.run, args.store, args.json)
    from fsm.view import serve

    return serve(args.run, args.store, args.host, args.port, not args.no_open, args.attached, args.lines)


def render(args: argparse.Namespace) -> int:
    """A diagram, or a run on its diagrams, as Mermaid text or a picture."""
    from fsm.view import render

    return render.render(args.what, args.store, args.machine, args.output, args.json, args.at)


def audit(args: argparse.Namespace) -> int:
    """The proof that a journal is whole."""
    from fsm.journal import audit, report
    from fsm.store import open_store

    return report(audit(open_store(args.store).run(args.run)), args.json)


def check(args: argparse.Namespace) -> int:
    """What can be proved of configurations, and of drawings alone, before anything runs."""
    from fsm import checking

    form = checking.JSON if args.json else args.format
    if not args.watch:
        return checking.run(args.what, form, args.further or ())
    return checking.watch(args.what, [w for w in args.words[1:] if w != "--watch"])


def export(args: argparse.Namespace) -> int:
    """A drawing in another format."""
    from fsm.exchange import command

    return command.export(args.what, args.to, args.machine, args.resource, args.output, args.json)


def bring(args: argparse.Namespace) -> int:
    """A machine of another format as a drawing; 1 where a drawing cannot say all of it."""
    from fsm.exchange import command

    return command.bring(args.file, args.source, args.output, args.lossy, args.json)


def new(args: argparse.Namespace) -> int:
    """A pipeline to begin with: a drawing, its handlers, a configuration and a test."""
    from fsm.new import make

    for path in make(args.name):
        out(json.dumps({"file": str(path)}) if args.json else path)
    if args.json:
        return 0
    config = f"{args.name}/{args.name}.yaml"
    out(
        f"\nfsm run {config}      run it, kill it, and give the same command again\nfsm prove {config}    have it killed everywhere"
    )
    return 0


def prove(args: argparse.Namespace) -> int:
    """A pipeline killed at every moment; 1 where a state is unsafe."""
    from fsm.prove import command

    return command.prove(args.config, args.machine, args.sample, args.modules, args.json)


def parse(args: argparse.Namespace) -> int:
    """What the Mermaid reader sees of each file; a file that is refused is told, and the others still read."""
    from fsm import mermaid

    refused = False
    for path in args.files:
        try:
            diagrams = mermaid.read_all(path)
        except OSError as e:
            refused = True
            _refused(args, path, f"the file cannot be read: {e.strerror}", 0, 0)
            continue
        except mermaid.MermaidError as e:
            refused = True
            _refused(args, path, e.message if args.json else str(e), e.line, e.column)
            continue
        for diagram in diagrams:
            if args.json:
                out(json.dumps({"file": diagram.file, **mermaid.dump(diagram)}, ensure_ascii=False))
                continue
            for said in diagram.diagnostics:
                out(f"{diagram.file}:{said.line}:{said.column}: {said.severity}: {said.message}")
            out(f"{diagram.file}: {type(diagram).__name__} read")
    return 2 if refused else 0


def _refused(args: argparse.Namespace, path: str, message: str, line: int, column: int) -> None:
    if args.json:
        out(json.dumps({"file": path, "error": message, "line": line, "column": column}))
    else:
        spoken(sys.stderr, visible(message if line else f"{path}: {message}") + "\n")


if __name__ == "__main__":
    sys.exit(main())
