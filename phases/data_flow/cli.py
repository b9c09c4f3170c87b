"""`fsm lineage RUN [--store URL] [--json] [-o FILE]`: what data went where in a run, on the drawing of Diagram 7."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fsm.command import of_run
from fsm.errors import ConfigError
from fsm.store import open_store
from fsm.view import write
from machines import data_flow
from phases.data_flow.family import family
from phases.data_flow.lineage import Lineage, lineage, unit
from phases.data_flow.picture import drawn, flow_of

FORMATS = (".mmd", ".svg", ".png")


def add_parser(subparsers: Any) -> None:
    """Add the command to `fsm`'s."""
    text = "what data went where in a run, held against the data flow drawn"
    parser = of_run(subparsers, "lineage", text, run, as_json="JSON, in one line")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write .mmd, .svg or .png (default: Mermaid text to stdout)",
    )


def run(args: argparse.Namespace) -> int:
    """The data flow with the run's counts on its arrows; 0, or 2 where the run did what is not drawn.

    As JSON one object: run, runs (those read: what it came after, itself, what ran in its job), output, arrows
    [{source, target, label, count, unit, records}] in the order drawn, and findings as `fsm check` gives them.
    """
    if args.output is not None and args.output.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"-o {args.output}: the data flow is written as {', '.join(FORMATS)}. Give the file one of these endings."
        )
    found = family(open_store(args.store), args.run)
    told = lineage(record for records in found.values() for record in records)
    text = drawn(data_flow.flow(), told)
    if args.output is not None:
        _write(told, args.output)
    for name in (name for name, records in found.items() if not records):
        print(f"fsm: run {name}, the work of the job, has not begun: its part is missing.", file=sys.stderr)
    if args.json:
        print(json.dumps(_json(args, list(found), told), ensure_ascii=False))
    else:
        for finding in told.findings:
            print(finding, file=sys.stderr)
        print(args.output) if args.output is not None else sys.stdout.write(text)
    return 2 if told.findings else 0


def _write(told: Lineage, output: Path) -> None:
    flow = flow_of(data_flow.flow(), told)
    if output.suffix.lower() == ".mmd":
        content = flow.text.encode("utf-8")
    else:
        from fsm.view import mermaid_draw, picture

        svg = picture.mark_flow(picture.of_file(flow.file), flow.said, flow.nothing)
        content = mermaid_draw.photograph(svg) if output.suffix.lower() == ".png" else svg.encode("utf-8")
    write(output, content)


def _json(args: argparse.Namespace, runs: list[str], told: Lineage) -> dict[str, Any]:
    edges = {(e.source, e.target): e.label for e in data_flow.flow().edges}
    arrows = [
        {
            "source": a[0],
            "target": a[1],
            "label": edges[a],
            "count": n,
            "unit": unit(a),
            "records": told.records.get(a, 0),
        }
        for a, n in told.counts.items()
    ]
    return {
        "run": args.run,
        "runs": runs,
        "output": str(args.output) if args.output else None,
        "arrows": arrows,
        "findings": [f.as_json() for f in told.findings],
    }
