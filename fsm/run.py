"""`python -m fsm.run pipeline.yaml`: begin a run, or go on with it where it stands."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EPILOG = """\
Interrupt it (Ctrl-C, a kill, a closed terminal, a lost machine) and give the same command again: it goes on from the state it was in.
exit codes: 0 done; 1 the run ended in a failure edge; 2 bad input; 3 stopped and resumable; 4 waiting (--no-wait); 5 cancelled"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `fsm run`, which are those of `python -m fsm.run`."""
    parser.add_argument(
        "config", type=Path, metavar="CONFIG", nargs="?", help="a YAML file, such as configs/local.yaml"
    )
    parser.add_argument(
        "--example",
        metavar="NAME",
        help="a pipeline that an installed package brings, such as local: its files are laid out here, where there are none yet",
    )
    parser.add_argument(
        "--run", metavar="NAME", help="the run's name in the store (default: run.name of the configuration)"
    )
    parser.add_argument("--machine", metavar="NAME", help="run this machine instead: a phase alone")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="RUN",
        help="another run, whose artifacts this one may open: a phase after another one",
    )
    parser.add_argument(
        "--store", metavar="URL", help="where runs are kept: a directory, or s3://bucket/prefix"
    )
    parser.add_argument("--seed", type=int, help="what every random number of the run derives from")
    parser.add_argument(
        "--fresh", action="store_true", help="start anew; the former run of that name is moved aside"
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="go on with a run that stopped; begin one anew that ended in a failure, or with items given up. That pays for nothing "
        "that the store keeps: a teacher's answers are taken from its ledger, and only what has none there is asked",
    )
    parser.add_argument(
        "--takeover",
        action="store_true",
        help="go on with a run in a bucket though its runner was seen alive a moment ago; that one is replaced, and ends",
    )
    parser.add_argument(
        "--accept",
        action="store_true",
        help="go on with a run though its drawings have changed since, where its history exists in them as they are now",
    )
    parser.add_argument(
        "--rename",
        dest="renames",
        metavar="OLD=NEW",
        action="append",
        help="with --accept: a state that is called otherwise now (machine:OLD=NEW where several drawings changed)",
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="where the run waits for a moment or an answer, end and say for which (exit code 4); `fsm resume-due` goes on with it",
    )
    parser.add_argument(
        "--log",
        choices=("auto", "console", "json", "none"),
        default="auto",
        help="lines instead of the live tree",
    )
    parser.add_argument(
        "--watch", action="store_true", help="serve a page of the run while it goes on, and say its address"
    )
    parser.add_argument(
        "--no-notify", action="store_true", help="call out to nobody, whatever the configuration says"
    )
    parser.add_argument("--json", action="store_true", help="print how the run ended as one line of JSON")


def main(argv: list[str] | None = None) -> int:
    """Run a configuration; returns the exit code."""
    from fsm.command import guarded, words

    parser = argparse.ArgumentParser(
        prog="python -m fsm.run",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    args = words(parser, argv)
    return guarded(run, args)


def _chosen(args: argparse.Namespace) -> Path:
    """The configuration to run: the one that is given, or an example's, laid out in this directory."""
    from fsm.errors import ConfigError

    if (args.config is None) == (args.example is None):
        raise ConfigError("Give the path of a configuration, or --example NAME, and not both.")
    if args.config is not None:
        return Path(args.config)
    from importlib.metadata import entry_points

    from fsm.engine import nearest
    from fsm.speech import say

    known = {entry.name: entry for entry in entry_points(group="fsm.examples")}
    if args.example not in known:
        there = f"There are: {', '.join(sorted(known))}." if known else "No installed package brings one."
        raise ConfigError(
            f"--example: there is none {args.example!r}{nearest(args.example, sorted(known)) or '.'} {there}"
        )
    files: dict[str, Path] = known[args.example].load()()
    laid = 0
    for name, source in files.items():
        if not Path(name).exists():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(source.read_bytes())
            laid += 1
    config = next(iter(files))
    if laid:
        say(
            f"the example {args.example} is laid out here: {config} and {laid - 1} files that it names, yours to change."
        )
    return Path(config)


def run(args: argparse.Namespace) -> int:
    """What `fsm run` does."""
    import json

    from fsm.errors import ConfigError
    from fsm.library import load
    from fsm.speech import emit, say
    from fsm.view import telling, watching

    if args.renames and not args.accept:
        raise ConfigError(
            "--rename says what states are called in drawings that are accepted: give it with --accept."
        )
    one = load(
        _chosen(args),
        {"notify": None, "telemetry": None} if args.no_notify else None,
        name=args.run,
        machine=args.machine,
        source=args.source,
        store=args.store,
        seed=args.seed,
        forked=not args.fresh,
    )
    name = one.name
    for sentence in one.outlook():
        say(sentence)
    with watching(one.config, args.watch), telling(one.config, args.log) as (observer, logger):
        outcome = one.drive(
            fresh=args.fresh,
            retry=args.retry_failed,
            takeover=args.takeover,
            observer=observer,
            logger=logger,
            stay=not args.no_wait,
            accept=(args.renames or []) if args.accept else None,
        )
    if args.json:
        said = {"run": name, "outcome": outcome.outcome, "label": outcome.label, "last": outcome.last}
        why = emit(json.dumps(said | ({"message": outcome.message} if outcome.message else {})))
        if why:  # the exit code still tells
            say(f"run {name} {outcome.outcome}, which could not be written to standard output: {why}.")
    elif outcome.outcome in ("stopped", "waiting"):
        say(f"run {name} {'stopped' if outcome.outcome == 'stopped' else 'rests'}. {outcome.message}")
    elif outcome.outcome == "cancelled":
        say(f"run {name} is cancelled, {outcome.message or 'by request'}. --fresh begins it anew.")
    else:
        how = f"by {outcome.label!r}, after {outcome.last}" if outcome.label else f"after {outcome.last}"
        then = " Mend the cause and start anew with --fresh." if outcome.outcome == "failed" else ""
        say(f"run {name} {outcome.outcome} {how}.{then}")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
