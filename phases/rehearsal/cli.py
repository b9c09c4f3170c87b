"""`fsm rehearse`: a configuration written for AWS, run on this machine for nothing."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fsm.command import example
from fsm.speech import emit, out, say
from phases import CONFIGS

SHIPPED = CONFIGS / "pipeline.yaml"  # whose services are served where none is named
STOPPED = 3  # the exit code of a run that can go on


def add_parser(subparsers: Any) -> None:
    """Add `fsm rehearse`."""
    parser = subparsers.add_parser(
        "rehearse",
        help="a configuration written for AWS, run on this machine against services that are played here",
        description="Starts MiniStack (S3, IAM, logs), a Bedrock with the offline teacher behind it and a SageMaker whose "
        "instances are local processes with a tiny student, and runs the configuration against them. Nothing leaves this machine.",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", nargs="?", help="as it is for AWS")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME",
        help="what goes wrong on the way; `help` lists them",
    )
    parser.add_argument(
        "--faults", metavar="seed:N", help="one call in ten fails in passing, in a way that N decides"
    )
    parser.add_argument(
        "--serve", action="store_true", help="only start the services, and print the environment to export"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("rehearsal"),
        metavar="DIR",
        help="where everything of it is kept",
    )
    parser.add_argument(
        "--log", choices=("auto", "console", "json", "none"), default="auto", help="as of `fsm run`"
    )
    parser.add_argument("--json", action="store_true", help="how it went, in one line of JSON")
    example(parser, "fsm rehearse configs/pipeline.yaml", "fsm rehearse --serve")
    parser.set_defaults(do=rehearse)


def rehearse(args: argparse.Namespace) -> int:
    """What `fsm rehearse` does; the exit code is the run's."""
    from phases.rehearsal import ministack
    from phases.rehearsal.faults import NAMED
    from phases.rehearsal.script import rehearsed
    from phases.rehearsal.stage import Stage

    if args.fault == ["help"]:
        for name, what in NAMED.items():
            out(f"{name:18} {what}")
        return 0
    mishaps = _mishaps(args)
    if args.config is None and not args.serve:
        raise ministack.CannotRehearse(
            "Name the configuration to rehearse, or give --serve to start the services alone."
        )
    directory = args.directory.absolute()
    interpreter = ministack.python(say)
    if not args.serve:
        shutil.rmtree(directory, ignore_errors=True)  # a rehearsal begins from nothing
    script = directory / "rehearsed.yaml"
    variables = rehearsed(args.config or SHIPPED, script)
    with Stage(directory, interpreter, script, variables, mishaps) as stage:
        found = stage.environment()
        return _serve(found, stage) if args.serve else _play(args, script, found, stage)


def _mishaps(args: argparse.Namespace) -> Any:
    from phases.rehearsal.faults import NAMED, Mishaps
    from phases.rehearsal.ministack import CannotRehearse

    if unknown := sorted(set(args.fault) - NAMED.keys()):
        raise CannotRehearse(f"No fault is called {', '.join(unknown)}. There are: {', '.join(NAMED)}.")
    seed = None
    if args.faults is not None:
        word, _, number = args.faults.partition(":")
        if word != "seed" or not number.isdecimal():
            raise CannotRehearse(f"--faults {args.faults}: give seed:N, N a whole number.")
        seed = int(number)
    return Mishaps(frozenset(args.fault), seed)


def _serve(found: dict[str, str], stage: Any) -> int:
    """Print the environment, and stay until a signal comes."""
    from phases.rehearsal.stage import BUCKET

    for name, value in sorted({**found, "PIPELINE_BUCKET": BUCKET, "SAGEMAKER_ROLE": stage.role}.items()):
        out(f"export {name}={value}")
    say("the services are up; Ctrl-C ends them. What they keep is there when they are started again.")
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    signal.sigwait(ending)
    return 0


def _play(args: argparse.Namespace, script: Path, found: dict[str, str], stage: Any) -> int:
    """Run it, again where it stops as a person would; then say what it took."""
    from phases.rehearsal import bill
    from phases.rehearsal.stage import apart

    home = script.parent
    command = [sys.executable, "-m", "fsm.run", str(script), "--log", args.log]
    code, starts = STOPPED, 0
    # for the containers too, which are started from here: nothing of a real account's, and a cache that outlasts it
    with apart(found | {"FSM_CACHE": os.environ.get("FSM_CACHE", str(home / "cache"))}):
        while code == STOPPED and (not starts or stage.mishaps.mended()):
            if starts:
                say("rehearsal: what the run asked for is done, and the same command given again")
            code = subprocess.run(command, cwd=home, check=False).returncode
            starts += 1
    told = bill.told(stage, code, starts)
    if args.json:
        emit(json.dumps(told))
    else:
        for line in bill.lines(told):
            out(line)
    return code
