"""Arguments that commands share: the engine's own, and those that installed packages bring."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any


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
