"""What commands share, the engine's own and those of installed packages: their arguments, and how an error ends them."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from fsm.speech import READER_GONE, emit, finished, say, settle, unwritten

if TYPE_CHECKING:
    from fsm.errors import Mistake


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
    a_run(one.add_argument("run", metavar="RUN", help=run))
    of_store(one, as_json)
    example(one, f"fsm {name} local")
    one.set_defaults(do=partial(_of_a_run, do))
    return one


def example(parser: argparse.ArgumentParser, *commands: str, before: str = "") -> None:
    """Show commands as they are given at the end of a command's help, behind what else stands there."""
    shown = "\n".join(["examples:" if len(commands) > 1 else "example:", *(f"  {c}" for c in commands)])
    parser.epilog = "\n\n".join(filter(None, [before, shown])).replace("%", "%%")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def a_run(argument: argparse.Action) -> None:
    """Let the names of a store's runs complete an argument."""
    argument.completer = _runs  # type: ignore[attr-defined]


def _runs(prefix: str, parsed_args: argparse.Namespace, **others: Any) -> list[str]:
    """The runs that a name which begins so may mean; none where the store cannot be asked."""
    from fsm.errors import FsmError
    from fsm.store import open_store

    try:
        known = open_store(getattr(parsed_args, "store", None) or os.environ.get("FSM_STORE", ".")).runs()
    except FsmError:
        return []
    return [name for name in known if name.startswith(prefix)]


def completed(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks how a command goes on, and end; do nothing where none does.

    `eval "$(register-python-argcomplete fsm)"` has bash and zsh ask.
    """
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


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
    from fsm.errors import ConfigError, FsmError, MissingExtra
    from fsm.mermaid import MermaidError

    try:
        code = do(args)
    except ConfigError as e:
        _complain(args, e.message, e.code, e.mistakes)
        code = e.exit_code
    except FsmError as e:
        _complain(args, e.message, e.code)
        code = e.exit_code
    except MermaidError as e:
        _complain(args, str(e), "F100")
        code = 2
    except ModuleNotFoundError as e:
        from fsm import extras

        if (said := extras.missing(e)) is None:
            raise
        _complain(args, said, MissingExtra.code)
        code = 2
    except OSError as e:
        code = unwritten(e)
    except SystemExit as e:  # a library's way to end when the reader of its output has gone
        if not isinstance(e.__context__, BrokenPipeError):
            raise
        code = READER_GONE
    return finished(code)


def _complain(args: argparse.Namespace, message: str, code: str, mistakes: Sequence[Mistake] = ()) -> None:
    if getattr(args, "json", False):
        several = {"mistakes": [asdict(mistake) for mistake in mistakes]} if mistakes else {}
        emit(json.dumps({"error": message, "code": code} | several))
    for one in mistakes or (message,):
        say(f"{one} [{code}]")


def words(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The arguments of a command, whose standard streams are usable from here on. Ends the process as argparse does."""
    settle()
    try:
        return parser.parse_args(argv)
    except SystemExit as end:
        raise SystemExit(finished(int(end.code or 0))) from None
