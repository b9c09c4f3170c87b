"""From the examples of all files to the rows of both splits: what Finalize's states do, on arrays of numbers of rows."""

from __future__ import annotations

import json

import numpy as np

from fsm.engine import Context
from phases.data_preparation import processes, publishing, splitting
from phases.data_preparation import report as reports
from phases.data_preparation.corpus import ROWS_AT_ONCE, Corpus
from phases.data_preparation.picture import picture
from phases.data_preparation.planning import CHUNK
from phases.data_preparation.splitting import Rows

BUFFER = 1 << 20
"""Bytes that are written at once."""


def deduplicate(ctx: Context) -> None:
    """Leave the first of equal rows, no held-out one, and, as configured, one of those that are nearly equal."""
    kept = reports.Dropping(Corpus(ctx))
    kept.keep("duplicates", splitting.first_of_each(kept.corpus.known("md5")))
    kept.keep("held out", kept.rows[kept.corpus.known("held_out")[kept.rows] == 0])
    rows: Rows | None = None
    if ctx.config.near_dedup != "off" and len(kept.rows) > 1:
        rows = _apart(ctx, kept)
        if rows is None:
            ctx.data["alike"] = True
            ctx.log.warning(reports.ALIKE.format(len(kept.rows)))
    if rows is None:
        rows = np.stack([kept.rows, kept.rows], axis=1)
    ctx.data["duplicates"] = sum(kept.dropped["duplicates"].values())
    ctx.data["unique"] = len(rows)
    ctx.data["dropped"] = kept.dropped
    _put_rows(ctx, "data/unique.tsv", rows)


def shuffle(ctx: Context) -> None:
    """Put the rows in the order of the seed."""
    rows = splitting.shuffle(_rows(ctx, "data/unique.tsv"), ctx.config.shuffle_seed)
    _put_rows(ctx, "data/shuffled.tsv", rows)


def split(ctx: Context) -> None:
    """Say which rows are for what, and tell what it all came to, before anything is asked of a teacher."""
    rows = _rows(ctx, "data/shuffled.tsv")
    train, val = splitting.split(rows, ctx.config.train_percent)
    known = Corpus(ctx)
    if (most := ctx.config.max_prompts) is not None:
        percent = ctx.config.train_percent
        bounds = (most, max(1, most * (100 - percent) // percent))
        train, val = (
            splitting.bounded(part, bound, known.known("domain"), known.known("length"))
            for part, bound in zip((train, val), bounds, strict=True)
        )
    ctx.data["train"], ctx.data["val"] = len(train), len(val)
    for name, part in (("train", train), ("val", val)):
        _put_rows(ctx, f"data/{name}.tsv", part)
    told = reports.report(ctx, known, train[:, 0], val[:, 0])
    ctx.data["prompts"] = told["prompts"]
    ctx.put("data/report.json", json.dumps(told, indent=1, ensure_ascii=False))
    ctx.put("data/report.svg", picture(told))
    for line in reports.table(told).splitlines():
        ctx.log.unbind("place").info(line)


def write(ctx: Context, split: str) -> None:
    """Write the rows of a split, as prepared and as trained on, and the former where the output is to go besides."""
    known, rows = Corpus(ctx), _rows(ctx, f"data/{split}.tsv")
    work = ctx.workdir("data_preparation")
    prepared, processed = (work / f"{split}.{how}.jsonl" for how in ("prepared", "processed"))
    with known.open() as file, prepared.open("wb", BUFFER) as one, processed.open("wb", BUFFER) as other:
        lines, until = known.lines(file, rows[:, 0]), known.trained_on(rows[:, 0])
        for done, (line, end) in enumerate(zip(lines, until, strict=True)):
            if done % 1000 == 0:
                ctx.progress(done, len(rows), f"rows of {split}.jsonl")
            one.write(line)
            other.write(line[:end] + b"}\n")
    ctx.put(f"data/splits/{split}.jsonl", prepared, records=len(rows))
    ctx.put(f"data/processed/{split}.jsonl", processed, records=len(rows))
    publishing.publish(ctx, f"{split}.jsonl", prepared)
    for path in (prepared, processed):
        path.unlink()


def _apart(ctx: Context, kept: reports.Dropping) -> Rows | None:
    """The rows in groups that the split keeps together, without near-duplicates where one of each is to stay.

    None, and nothing falls away, where that leaves a single group: what is all alike cannot be kept apart.
    """
    workers = processes.of_work(ctx.config.workers, kept.corpus.size // CHUNK)
    groups = kept.corpus.clusters(kept.rows, workers)
    clusters = kept.clusters(groups)
    one = ctx.config.near_dedup == "keep-one"
    stay = kept.rows[groups.names()[kept.rows] == kept.rows] if one else kept.rows
    groups.join_equal(kept.corpus.known("prompt"), stay)
    rows = np.stack([stay, groups.names()[stay]], axis=1)
    if len(np.unique(rows[:, 1])) < 2:
        return None
    kept.dropped["clusters"] = clusters
    if one:
        kept.keep("near-duplicates", stay)
    return rows


def _put_rows(ctx: Context, name: str, rows: Rows) -> None:
    parts = []
    for at in range(0, len(rows), ROWS_AT_ONCE):
        numbers = iter(rows[at : at + ROWS_AT_ONCE].ravel().tolist())
        parts.append("".join([f"{row}\t{group}\n" for row, group in zip(numbers, numbers, strict=True)]))
    ctx.put(name, "".join(parts), records=len(rows))


def _rows(ctx: Context, name: str) -> Rows:
    return np.fromstring(ctx.open(name).read_text(), dtype=np.int64, sep=" ").reshape(-1, 2)
