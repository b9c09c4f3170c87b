"""What commands share, the engine's own and those of installed packages: their arguments, and how an error ends them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO

BROKEN_PIPE = 141  # what a shell reports for a program whose reader has gone


def of_run(
    commands: Any,
    name: str,
    text: str,
    do: Callable[..., int],
    *,
    run: str | None = None,
    as_json: str = "JSON, one line an item",
) -> argparse.ArgumentParser:
    """Add a command about one run of a store; `run` and `as_json` are what its help says of the run and of --json."""
    one: argparse.ArgumentParser = commands.add_parser(name, help=text)
    one.add_argument("run", metavar="RUN", help=run)
    of_store(one, as_json)
    one.set_defaults(do=partial(_of_a_run, do))
    return one


def _of_a_run(do: Callable[..., int], args: argparse.Namespace) -> int:
    """Call the command, and say before it where the run is not the one it stands as."""
    from fsm.errors import FsmError
    from fsm.journal import Journal
    from fsm.store import open_store

    try:
        foreign = Journal(open_store(args.store).run(args.run)).foreign()
    except FsmError:
        foreign = None  # the command itself will tell
    if foreign:
        say(foreign)
    return do(args)


def of_store(parser: argparse.ArgumentParser, as_json: str = "JSON, one line an item") -> None:
    """Add --store and --json."""
    parser.add_argument(
        "--store",
        metavar="URL",
        default=os.environ.get("FSM_STORE", "."),
        help="default: $FSM_STORE, or this directory",
    )
    parser.add_argument("--json", action="store_true", help=as_json)


def guarded(do: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Call a command; the engine's errors become one paragraph (or, with --json, one line) and an exit code."""
    from fsm.errors import FsmError
    from fsm.mermaid import MermaidError

    try:
        return do(args)
    except FsmError as e:
        _complain(args, e.message, e.code)
        return e.exit_code
    except MermaidError as e:
        _complain(args, str(e), "F100")
        return 2
    except BrokenPipeError:
        sys.stdout = _nowhere()
        return BROKEN_PIPE


def _complain(args: argparse.Namespace, message: str, code: str) -> None:
    if getattr(args, "json", False):
        print(json.dumps({"error": message, "code": code}))
    say(f"{message} [{code}]")


def say(message: str) -> None:
    """A paragraph for the person at the terminal, who may have closed it: that is no failure of the command."""
    try:
        print(f"fsm: {message}", file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = _nowhere()


def _nowhere() -> TextIO:
    """A stream to put in the place of one that cannot be written, so that the interpreter's own flush does not fail."""
    return open(os.devnull, "w")  # noqa: PTH123
