"""`fsm step RUN --state S`: one state of a run, then out; for whoever drives it from outside, such as AWS Step Functions.

Each call leaves one state of the outermost machine, with all that its handler calls, and says by which edge. The journal is the same as
that of `fsm run`, with a claim for each call: any of the two goes on where the other has stopped.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsm.command import a_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `fsm step`."""
    a_run(parser.add_argument("run", metavar="RUN", help="begun where there is none of that name"))
    parser.add_argument(
        "--state", metavar="S", required=True, help="the state to leave: the run must stand in it"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="CONFIG",
        default=os.environ.get("FSM_CONFIG"),
        help="what it runs by (default: $FSM_CONFIG)",
    )
    parser.add_argument(
        "--after",
        type=int,
        metavar="SEQ",
        help="the newest record that the caller knows of: where the state was left behind it already, that is told again",
    )
    parser.add_argument("--store", metavar="URL", help="default: the configuration's")
    parser.add_argument("--takeover", action="store_true", help="as `fsm run` has it")
    parser.add_argument("--json", action="store_true", help="errors as JSON too; what was done always is")


def step(args: argparse.Namespace) -> int:
    """Leave a state, and print one JSON object: run, state, label, to (where the machine stands now, empty at its end), seq of the
    record, end ({"outcome", "label", "last"}, or null). The exit code is 0, or 3 where the run stopped in the state."""
    from fsm.speech import out, say

    found, stopped = _left(args)
    if found is None:
        say(f"run {args.run} stopped in {args.state}. {stopped}")
        return 3
    out(json.dumps(found, ensure_ascii=False))
    return 0


def _left(args: argparse.Namespace) -> tuple[dict[str, Any] | None, str]:
    from fsm.errors import ConfigError

    if args.config is None:
        raise ConfigError("Say what the run runs by: --config CONFIG, or $FSM_CONFIG.")
    return left(args.run, args.state, args.config, after=args.after, store=args.store, takeover=args.takeover)


def left(
    run: str,
    state: str,
    config: Path,
    *,
    after: int | None = None,
    store: str | None = None,
    takeover: bool = False,
) -> tuple[dict[str, Any] | None, str]:
    """(what `fsm step` prints, ""); or (None, why) where the run stopped in the state. Raises FsmError."""
    from fsm import session
    from fsm.engine import Outcome, Runner
    from fsm.errors import NoSuchRun, NotThere
    from fsm.journal import Journal
    from fsm.library import load

    one = load(config, name=run, store=store)
    machine = one.config.program.machine(one.config.program.root)
    path = machine.chart.find(state)
    # of branches that go at once the whole split is left, by the record that joins them
    split = next((s.path for s in machine.splits if path in s.states), None)

    def leaves(record: Mapping[str, Any]) -> bool:
        if record.get("at") or "to" not in record:
            return False
        return bool(record["from"] == (path if record["kind"] == "transition" else split))

    journal = Journal(one.store.run(run))
    if after is not None:
        try:
            journal.header()
        except NoSuchRun:
            pass
        else:
            for record in journal.records(after + 1):
                if leaves(record):
                    return _said(run, path, record), ""

    def drive(runner: Runner) -> Outcome:
        if runner.standing != path:
            raise NotThere(
                f"Run {run} stands in {runner.standing}, and not in {path}. Give that state; where this one was left already, --after "
                "with the newest record that you know of tells how."
            )
        return runner.step()

    outcome = session.run(one.config, takeover=takeover, store=one.store, drive=drive)
    fold = (after_it := Journal(one.store.run(run))).load()
    newest = next(iter(after_it.records(after_it.next - 1)))
    if leaves(newest):
        return _said(run, path, newest), ""
    if fold.ended:
        raise NotThere(f"Run {run} has ended, after {fold.ended['last']}.")
    return None, outcome.message


def _said(run: str, state: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": run,
        "state": state,
        "label": record["label"],
        "to": record["to"],
        "seq": record["seq"],
        "end": record.get("end"),
    }


class FsmStopped(Exception):
    """The run stopped in the state, and can be gone on with."""


def handler(event: Mapping[str, Any], context: object = None) -> dict[str, Any]:
    """An AWS Lambda function for the tasks of `fsm export --to asl`: {"command": ["fsm", "step", ...]} -> what it prints.

    Raises FsmStopped where the run stopped, and FsmError: the task fails by the name of the error.
    """
    parser = argparse.ArgumentParser(prog="fsm step", exit_on_error=False)
    add_arguments(parser)
    args = parser.parse_args(list(event["command"])[2:])
    found, stopped = _left(args)
    if found is None:
        raise FsmStopped(stopped)
    return found
