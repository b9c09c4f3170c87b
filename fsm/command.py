"""What commands share, the engine's own and those of installed packages: their arguments, and how an error ends them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from fsm.errors import Mistake

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
    one.set_defaults(do=do)
    return one


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
    from fsm.errors import ConfigError, FsmError
    from fsm.mermaid import MermaidError

    try:
        return do(args)
    except ConfigError as e:
        _complain(args, e.message, e.code, e.mistakes)
        return e.exit_code
    except FsmError as e:
        _complain(args, e.message, e.code)
        return e.exit_code
    except MermaidError as e:
        _complain(args, str(e), "F100")
        return 2
    except BrokenPipeError:
        sys.stdout = _nowhere()
        return BROKEN_PIPE


def _complain(args: argparse.Namespace, message: str, code: str, mistakes: Sequence[Mistake] = ()) -> None:
    if getattr(args, "json", False):
        several = {"mistakes": [asdict(mistake) for mistake in mistakes]} if mistakes else {}
        print(json.dumps({"error": message, "code": code} | several))
    for one in mistakes or (message,):
        say(f"{one} [{code}]")


def say(message: str) -> None:
    """A paragraph for the person at the terminal, who may have closed it: that is no failure of the command."""
    try:
        print(f"fsm: {message}", file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = _nowhere()


def _nowhere() -> TextIO:
    """A stream to put in the place of one that cannot be written, so that the interpreter's own flush does not fail."""
    return open(os.devnull, "w")  # noqa: PTH123
