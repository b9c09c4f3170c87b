"""`fsm teacher [STORE] [--export FILE]`: what a store's ledger holds, what it cost, and what reuse saved."""

from __future__ import annotations

import argparse
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fsm.command import example
from fsm.speech import out, visible
from fsm.store import open_store
from phases.teacher_generation.accounts import BESIDE, Accounts, accounts, exported


def add_parser(subparsers: Any) -> None:
    """Add the command to `fsm`'s."""
    parser = subparsers.add_parser(
        "teacher", help="a store's teacher answers: tokens and dollars by model and run, and what reuse saved"
    )
    parser.add_argument(
        "store",
        metavar="STORE",
        nargs="?",
        default=os.environ.get("FSM_STORE", "."),
        help="a directory, or s3://bucket/prefix; default: $FSM_STORE, or this directory",
    )
    parser.add_argument(
        "--export", type=Path, metavar="FILE", help="write the whole answers as training rows (JSONL)"
    )
    parser.add_argument("--json", action="store_true", help="JSON, one line an account")
    example(parser, "fsm teacher --export rows.jsonl", "fsm teacher s3://bucket/prefix")
    parser.set_defaults(do=run)


def run(args: argparse.Namespace) -> int:
    """Show the accounts, or export the answers. Raises StoreError, OSError."""
    store = open_store(args.store)
    if args.export is not None:
        number = 0
        with args.export.open("w", encoding="utf-8") as file:
            for row in exported(store):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                number += 1
        out(
            json.dumps({"exported": number, "file": str(args.export)})
            if args.json
            else f"{number} answers in {args.export}"
        )
        return 0
    found = accounts(store)
    if args.json:
        for one in found.as_json():
            out(json.dumps(one, ensure_ascii=False))
    elif not found.by and not found.beside:
        out(f"The ledger of {store.url} holds no answer yet.")
    else:
        _show(found)
    return 0


def _show(found: Accounts) -> None:
    # into a file or a pipe no name is cut off
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
    table = Table(box=None, pad_edge=False)
    for column in ("model", "run", "answers", "of no use", "tokens in", "tokens out", "dollars"):
        table.add_column(column, justify="left" if column in ("model", "run") else "right")
    for (model, run), one in sorted(found.by.items()):
        table.add_row(
            visible(model) or "?",
            visible(run) or "?",
            f"{one.answers:,}",
            f"{one.useless:,}",
            f"{one.input_tokens:,}",
            f"{one.output_tokens:,}",
            _dollars(one.dollars),
        )
    total = sum((one.dollars for one in found.by.values()), Decimal(0))
    if len(found.by) > 1:
        answers = sum(one.answers for one in found.by.values())
        table.add_row("all", "", f"{answers:,}", "", "", "", _dollars(total))
    console.print(table)
    for (what, run), (number, dollars) in sorted(found.beside.items()):
        out(f"{run}: {number} {BESIDE[what]}: {_dollars(dollars)}")
    for run, saved in sorted(found.saved.items()):
        tokens = f"{saved.input_tokens:,} tokens in and {saved.output_tokens:,} out"
        out(f"{run}: reuse saved {saved.answers:,} answers, {tokens}, {_dollars(saved.dollars)}")
    if found.damaged:
        out(f"{found.damaged} entries are altered or cut short; whoever needs one of them asks anew.")


def _dollars(amount: Decimal) -> str:
    return f"${amount:.4f}"
