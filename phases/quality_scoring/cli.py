"""`fsm score FILE... [--prompt TEXT] [--reference FILE] [--json]`: the scores of C files, or of a model's answers, with their reasons."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from fsm.command import example
from phases.decoding import NotText, decode_latin1, decode_utf8
from phases.quality_scoring.behaviour import Behaviour
from phases.quality_scoring.config import QualityScoringConfig
from phases.quality_scoring.scorer import score_many
from phases.quality_scoring.scoring import DEFAULT, Score


def add_parser(subparsers: Any) -> None:
    """Add the command to `fsm`'s."""
    parser = subparsers.add_parser("score", help="score C code, with every rule that fired")
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="C code, or Markdown with C in it; - is stdin"
    )
    parser.add_argument(
        "--prompt", default="", metavar="TEXT", help="what was asked for: it tells the domain"
    )
    parser.add_argument(
        "--reference", metavar="FILE", help="an answer that is right: what the code does is compared with it"
    )
    parser.add_argument(
        "--behaviour", action="store_true", help="look at what the code does without a reference too"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line a file")
    example(parser, 'fsm score gate.c --prompt "Write a C function that tells whether a gate is open."')
    parser.set_defaults(do=run)


def run(args: argparse.Namespace, config: QualityScoringConfig = DEFAULT) -> int:
    """Score the files; 0, or 2 when one cannot be read (the others are scored)."""
    texts: list[tuple[str, str]] = []
    failed = 0
    for name in args.files:
        try:
            texts.append((name, _read(name, config.max_chars)))
        except OSError as e:
            failed = 2
            _say(f"{name}: cannot be read: {e.strerror}. Name a file of C code, or - for stdin.")
        except NotText as e:
            failed = 2
            _say(f"{name}: is no text: {e}. Name a file of C code, in UTF-8.")
    reference = None
    if args.reference is not None:
        try:
            reference = _read(args.reference, config.max_chars)
        except (OSError, NotText) as e:
            why = f"cannot be read: {e.strerror}" if isinstance(e, OSError) else f"is no text: {e}"
            _say(f"{args.reference}: {why}. Name a file with the answer to compare with.")
            return 2
    with _said_beside():
        scores = score_many(
            [(text, args.prompt) for _, text in texts],
            config,
            references=[reference] * len(texts),
            behaves=args.behaviour,
        )
    for (name, _), result in zip(texts, scores, strict=True):
        if args.json:
            print(json.dumps({"file": name, **result.as_dict()}, ensure_ascii=False))
        else:
            _show(name, result)
    return failed


def _read(name: str, most: int) -> str:
    """The text as data preparation reads sources, UTF-8 and then Latin-1, which is said.

    It is read no further than it takes to see that it is too long: four bytes a character at most. Raises NotText.
    """
    enough = 4 * most + 1
    if name == "-":
        content = sys.stdin.buffer.read(enough)
    else:
        with Path(name).open("rb") as file:
            content = file.read(enough)
    if len(content) == enough:  # it will be refused for its length, and may be cut within a character
        return content.decode("utf-8", "replace")
    try:
        return decode_utf8(content)
    except NotText as e:
        try:
            text = decode_latin1(content)
        except NotText:
            raise e from None
        _say(f"{name}: is not UTF-8 ({e}); it was read as Latin-1.")
        return text


@contextmanager
def _said_beside() -> Iterator[None]:
    """What is not installed is said beside the scores: a line on stdout is a file's."""
    before, was_configured = structlog.get_config(), structlog.is_configured()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        if was_configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _show(name: str, result: Score) -> None:
    console = Console(highlight=False)
    verdict = "needs correction" if result.needs_correction else "acceptable"
    scores = "  ".join(f"{k} {getattr(result, k):.2f}" for k in ("syntax", "protocol", "safety", "style"))
    console.print(
        f"{name}: {result.overall:.2f}, {verdict} ({scores}; domain {result.domain})",
        markup=False,
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    for column, justify in (("rule", "left"), ("line", "right"), ("points", "right"), ("found", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for r in result.reasons:
        table.add_row(r.rule, str(r.line or ""), f"{r.points:+.2f}", r.note.replace("[", "\\["))
    console.print(table)
    if result.behaviour is not None:
        for line in _behaved(result.behaviour):
            console.print(line, markup=False, soft_wrap=True)


def _behaved(found: Behaviour) -> Iterator[str]:
    """What the code does, in lines."""
    shown = "not measured" if found.score is None else f"{found.score:.2f}"
    agreed = (
        f"; {found.agreeing} of {found.inputs} inputs agree"
        if found.score is not None and found.inputs
        else ""
    )
    yield f"behaviour {shown}{agreed}{': ' + found.reason if found.reason else ''}"
    if found.first is not None:
        yield f"  {found.first.input}"
        yield f"    the reference: {found.first.expected}"
        yield f"    this code:     {found.first.got}"
    for line, note in found.findings:
        yield f"  {f'line {line}: ' if line else ''}{note}"
