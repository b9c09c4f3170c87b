"""What data preparation came to, by source: as JSON and as a table. Nothing in here depends on a clock."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fsm.engine import Context
from fsm.errors import PhaseError
from phases.data_preparation.config import DOMAINS
from phases.data_preparation.corpus import Corpus
from phases.data_preparation.near_duplicates import Groups, Numbers
from phases.data_preparation.processing import COPY, PROMPTS

_NUMBER = re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?![\w-])")  # and not those of a licence: GPL-2.0-only
ALIKE = (
    "All {} examples are near-duplicates of each other, or ask the same: they were split as if they were not, so validation says "
    "nothing of what the student knows. Add sources that differ."
)


class Dropping:
    """Rows that fall away step by step, and how many of each source did for which reason."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.rows: Numbers = np.arange(len(corpus))
        self._domains = corpus.known("domain")
        self.dropped: dict[str, dict[str, int]] = {}

    def keep(self, reason: str, rows: Numbers) -> None:
        """Leave only these; what falls away does for that reason."""
        left = np.ones(len(self.corpus), dtype=bool)
        left[rows] = False
        self.dropped[reason] = self._by_domain(self.rows[left[self.rows]])
        self.rows = rows

    def clusters(self, groups: Groups) -> dict[str, int]:
        """How many groups of several near-duplicates there are, by the source of their first row."""
        names, sizes = np.unique(groups.names()[self.rows], return_counts=True)
        return self._by_domain(names[sizes > 1].astype(np.int64))

    def _by_domain(self, rows: Numbers) -> dict[str, int]:
        counts = np.bincount(self._domains[rows], minlength=len(DOMAINS))
        return {domain: int(n) for domain, n in zip(DOMAINS, counts, strict=True)}


def report(ctx: Context, corpus: Corpus, train: Numbers, val: Numbers) -> dict[str, Any]:
    """What was found in each source, what was left out and why, and what is left.

    `prompts` is what a teacher would be asked: how many there are, and their tokens by the student's tokenizer; 0 where
    none is configured. `limit` is the student's, in tokens. `only names` are prompts that repeat a name and say no more, of
    all that were made.
    """
    split = {"train": train, "val": val}
    skipped, limit = _skipped(ctx), _limit(ctx)
    domains, tokens, licences = (corpus.known(name) for name in ("domain", "tokens", "licence"))
    sources = {}
    for number, domain in enumerate(DOMAINS):
        found = dict(corpus.told["sources"][domain])
        rows = {name: part[domains[part] == number] for name, part in split.items()}
        kept = np.concatenate(list(rows.values()))
        sources[domain] = {
            "folder": ctx.config.folders.of(domain),
            **{what: found.pop(what, 0) for what in ("files", "bytes", "functions")},
            "skipped": skipped.get(domain, {}),
            **{what: by.get(domain, 0) for what, by in ctx.data["dropped"].items()},
            **{name: len(part) for name, part in rows.items()},
            "tokens": _tokens(np.sort(tokens[kept]), limit),
            "licences": _licences(corpus.licences, licences[kept]),
            "found": found,
        }
    return {
        "source": ctx.data["source"],
        "near_dedup": ctx.config.near_dedup,
        "alike": ctx.data.get("alike", False),
        "tokenizer": ctx.config.tokenizer,
        "limit": limit,
        "rows": {name: len(part) for name, part in split.items()},
        "prompts": {
            "count": len(split["train"]),
            "tokens": int(corpus.known("prompt_tokens")[split["train"]].sum(dtype=np.int64)),
            "of": ctx.data["unique"],
        },
        "only names": _only_names(corpus),
        "sources": sources,
    }


def _limit(ctx: Context) -> int | None:
    """How many tokens of a row the student takes, where the configuration has one."""
    try:
        most: int | None = getattr(ctx.section("qlora_training"), "max_length", None)
    except PhaseError:  # this machine runs alone
        return None
    return most


def _skipped(ctx: Context) -> dict[str, dict[str, int]]:
    """How many files of each source were left out, by reason, without what in a reason is of one file alone."""
    found: dict[str, Counter[str]] = {}
    with ctx.open("data/skipped.jsonl").open("rb") as lines:
        for line in lines:
            entry = json.loads(line)
            found.setdefault(entry["domain"], Counter())[_kind_of(entry["reason"])] += 1
    return {domain: dict(sorted(reasons.items())) for domain, reasons in found.items()}


def _kind_of(reason: str) -> str:
    return f"{COPY}another file" if reason.startswith(COPY) else _NUMBER.sub("N", reason)


def _only_names(corpus: Corpus) -> dict[str, float]:
    """Of how many of all prompts that were made nothing but the function's name could be said."""
    made: Counter[str] = Counter()
    for found in corpus.told["sources"].values():
        made.update({what: n for what, n in found.items() if what.startswith(PROMPTS)})
    named, of = made[f"{PROMPTS}name"], made.total()
    return {"count": named, "of": of, "share": round(named / of, 4) if of else 0.0}


def _tokens(tokens: npt.NDArray[np.uint32], limit: int | None) -> dict[str, int]:
    """Of sorted numbers of tokens."""
    told = {"all": int(tokens.sum(dtype=np.int64)), "median": 0, "p95": 0, "over": 0}
    if len(tokens):
        told |= {
            "median": int(tokens[(len(tokens) - 1) // 2]),
            "p95": int(tokens[(len(tokens) - 1) * 95 // 100]),
        }
        told["over"] = int(np.count_nonzero(tokens > limit)) if limit else 0
    return told


def _licences(names: Sequence[str], licences: npt.NDArray[np.uint16]) -> dict[str, int]:
    numbers, counts = np.unique(licences, return_counts=True)
    return {names[number]: int(n) for number, n in zip(numbers, counts, strict=True)}


COLUMNS = (
    *("files", "functions", "skipped", "duplicates", "near-duplicates", "clusters", "held out"),
    *("train", "val", "tokens", "p95", "over limit"),
)


def table(told: Mapping[str, Any]) -> str:
    """The report as aligned text: a line for each source, then why files were skipped, and the licences of rows."""
    rows: list[Sequence[str]] = [("source", *COLUMNS)]
    for domain, found in told["sources"].items():
        tokens = found["tokens"] if told["tokenizer"] else {}
        numbers = found | {
            "skipped": sum(found["skipped"].values()),
            "tokens": tokens.get("median", ""),
            "p95": tokens.get("p95", ""),
            "over limit": tokens.get("over", "") if told["limit"] else "",
        }
        rows.append((domain, *(f"{numbers.get(c, 0):,}" if numbers.get(c) != "" else "" for c in COLUMNS)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    if told["alike"]:
        lines.append(ALIKE.format(sum(told["rows"].values())))
    for domain, found in told["sources"].items():
        lines += [f"{domain}: {n:,} skipped: {reason}" for reason, n in found["skipped"].items()]
        lines += [f"{domain}: {n:,} {what}" for what, n in found["found"].items() if n]
        if licences := ", ".join(f"{name} {n:,}" for name, n in found["licences"].items()):
            lines.append(f"{domain}: licences of rows: {licences}")
    if named := told.get("only names"):  # a report of an earlier version has none
        share = f"{named['count']:,} of {named['of']:,} ({named['share']:.1%})"
        lines.append(f"prompts that only repeat a name: {share}")
    return "\n".join(line.rstrip() for line in lines)
