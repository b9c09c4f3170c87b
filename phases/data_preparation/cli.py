"""`fsm prepared RUN [--store URL] [--json] [-o FILE.svg]`: what data preparation came to, by source."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fsm.command import of_run
from fsm.errors import ConfigError
from fsm.journal import Journal
from fsm.store import open_store
from fsm.view import write


def add_parser(subparsers: Any) -> None:
    """Add the command to `fsm`'s."""
    parser = of_run(
        subparsers,
        "prepared",
        "what data preparation found, left out and kept, by source",
        run,
        run="a data preparation, or a pipeline that has one",
        as_json="JSON, in one line",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.svg", help="write the picture of it")


def run(args: argparse.Namespace) -> int:
    """The report as a table, as JSON (`report.report` says what it holds), or as a picture."""
    if args.output is not None and args.output.suffix != ".svg":
        raise ConfigError(f"-o {args.output}: the picture is an SVG. Give the file the ending .svg.")
    of = open_store(args.store).run(args.run)
    found: dict[str, str] = {}
    for record in Journal(of).records():
        found |= {name: file["sha256"] for name, file in (record.get("files") or {}).items()}
    if "data/report.json" not in found:
        raise ConfigError(
            f"Run {args.run} has no report of data preparation: it has none, or has not come to its split yet. `fsm status {args.run}` "
            "says where it is."
        )
    told = json.loads(of.artifact(found["data/report.json"]).read_text("utf-8"))
    if args.output is not None:
        write(args.output, of.artifact(found["data/report.svg"]).read_bytes())
    if args.json:
        print(json.dumps(told, ensure_ascii=False))
    else:
        from phases.data_preparation.report import table

        print(args.output or table(told))
    return 0
