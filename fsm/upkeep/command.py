"""`fsm answer`, `resume-due`, `cancel`, `retire`: their arguments. What they do is looked up when they are called."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from fsm.command import a_run, example, of_run, of_store

AT_ONCE = 4  # runs that resume-due goes on with at a time
CONFIG = "the configuration to go on with, where the one that it was last run by is not on this machine"


def add(commands: Any) -> None:
    """Add the four commands."""
    one = of_run(commands, "answer", "name the edge by which a run that asks goes on", answer)
    one.add_argument("label", metavar="LABEL", help="one of the edges of the state that asks")
    one.add_argument("--by", metavar="NAME", help="who answers (default: the user of this process)")
    one.add_argument("--note", metavar="TEXT", help="why")
    one.add_argument(
        "--set",
        dest="values",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a value for the data of the machine that asks, as JSON or else as text; may be repeated",
    )
    one.add_argument(
        "--to",
        metavar="QUESTION",
        help="the question that is meant, by its id in `fsm status`, where there may be another",
    )
    example(one, "fsm answer nightly Approved --by ada --note 'within the budget'")

    one = commands.add_parser("resume-due", help="go on with all runs of a store whose time has come")
    one.add_argument(
        "store",
        metavar="STORE",
        nargs="?",
        default=os.environ.get("FSM_STORE", "."),
        help="default: $FSM_STORE, or this directory",
    )
    one.add_argument("--config", type=Path, metavar="CONFIG", help=CONFIG)
    one.add_argument(
        "--at-once",
        type=int,
        default=AT_ONCE,
        metavar="N",
        help=f"runs at a time, each in a process of its own (default: {AT_ONCE})",
    )
    one.add_argument("--dry-run", action="store_true", help="only say which are due")
    one.add_argument(
        "--log", choices=("console", "json", "none"), default="none", help="what the runs log (default: none)"
    )
    one.add_argument("--json", action="store_true", help="one JSON line a run")
    example(one, "fsm resume-due runs --dry-run")
    one.set_defaults(do=resume_due)

    one = of_run(
        commands,
        "cancel",
        "end a run for good, and before it what it has begun outside",
        cancel,
        as_json="one JSON object",
    )
    one.add_argument("--by", metavar="NAME", help="who ends it (default: the user of this process)")
    one.add_argument("--why", metavar="TEXT", help="why")
    one.add_argument("--config", type=Path, metavar="CONFIG", help=CONFIG)
    one.add_argument(
        "--anyway",
        action="store_true",
        help="also where what it has begun outside cannot be ended: that is left as it is, and named",
    )
    example(one, "fsm cancel nightly --by ada --why 'the data was wrong'")

    one = commands.add_parser(
        "retire", help="free the artifacts of runs that are over; their journals are kept"
    )
    a_run(
        one.add_argument(
            "runs", metavar="RUN", nargs="*", help="default, with --older-than: all that are over"
        )
    )
    one.add_argument(
        "--older-than", metavar="TIME", help="only what ended longer ago than that: 90d, 12h, 30m"
    )
    of_store(one)
    example(one, "fsm retire --older-than 90d")
    one.set_defaults(do=retire)


def answer(args: argparse.Namespace) -> int:
    """Answer the question of a run."""
    from fsm.upkeep import answering

    return answering.answer(
        args.run, args.label, args.store, args.by, args.note, args.values, args.to, args.json
    )


def resume_due(args: argparse.Namespace) -> int:
    """Go on with what is due."""
    from fsm.upkeep import due

    return due.resume(args.store, args.config, args.at_once, args.log, args.dry_run, args.json)


def cancel(args: argparse.Namespace) -> int:
    """Cancel a run."""
    from fsm.upkeep import cancelling

    return cancelling.cancel(args.run, args.store, args.by, args.why, args.config, args.anyway, args.json)


def retire(args: argparse.Namespace) -> int:
    """Free what runs keep."""
    from fsm.upkeep import retiring

    return retiring.retire(args.runs, args.store, args.older_than, args.json)
