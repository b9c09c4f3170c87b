"""ProcessFiles: all files in batches, each kept as it is done, so that a kill repeats one and no more."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from fsm.engine import Context
from fsm.store import Artifact
from phases.data_preparation import engines, listing, processes
from phases.data_preparation.config import DOMAINS
from phases.data_preparation.copies import marked
from phases.data_preparation.corpus import index_bytes, index_name, rows_name
from phases.data_preparation.held_out import HeldOut
from phases.data_preparation.planning import Chunk, batches, chunks
from phases.data_preparation.processing import Rules
from phases.data_preparation.working import Done, Settings, joined
from phases.errors import EmptyDataset

MEGABYTE = 1e6


def process(ctx: Context) -> None:
    """All files. Raises EmptyDataset where none gave an example."""
    plan = list(batches(_chunks(ctx)))
    told = _Telling(ctx, plan)
    workers = processes.of_work(ctx.config.workers, sum(map(len, plan)))
    done: list[dict[str, Any]] = []
    with engines.engine(ctx.config.engine, workers, _settings(ctx), ctx.config.ray_address) as mapping:
        for number, batch in enumerate(plan):

            def work(number: int = number, batch: tuple[Chunk, ...] = batch) -> dict[str, Any]:
                # nothing of the next one is begun before this one is kept, or a kill would repeat a part of that as well
                parts = [told.of(chunk, one) for chunk, one in zip(batch, mapping(batch), strict=True)]
                return _kept(ctx, number, parts)

            done.append(ctx.once(f"batch {number}", work))
            told.passed(number)
    _put(ctx, done)


def _chunks(ctx: Context) -> Iterator[Chunk]:
    first: dict[bytes, str] = {}
    sizes = Counter(size for domain in DOMAINS for size in listing.listed(ctx, domain)["sizes"])
    for domain in DOMAINS:
        if ctx.data["objects"][domain]:
            archive = listing.plain(ctx, domain)
            yield from chunks(domain, archive, marked(archive, listing.archived(ctx, domain), first, sizes))


def _settings(ctx: Context) -> Settings:
    texts = listing.held_out_texts(ctx)
    config = ctx.config
    return Settings(
        Rules(
            # one seed for all files: what a function becomes depends on its text, wherever it stands
            seed=ctx.seed("examples"),
            min_completion_chars=config.min_completion_chars,
            source=config.source,
            redact=config.redact not in (False, "off"),
            licences=config.licences,
            trees=listing.licences(ctx),
            tokenizer=config.tokenizer,
            max_example_tokens=config.max_example_tokens,
        ),
        near=ctx.config.near_dedup != "off",
        held_out=HeldOut.of(texts) if texts else None,
    )


def _kept(ctx: Context, number: int, parts: list[Done]) -> dict[str, Any]:
    """Keep a batch; returns what the journal says of it."""
    done = joined(parts)
    for entry in done.skipped:
        ctx.log.warning("file skipped", key=entry["key"], reason=entry["reason"])
    skipped = b"".join(_line(entry) for entry in done.skipped)
    contents: dict[str, tuple[bytes, int | None]] = {
        rows_name(number): (done.rows, len(done.index)),
        index_name(number): (index_bytes(done), None),
    }
    if skipped:
        contents[_skipped_name(number)] = skipped, None
    kept = {name: ctx.put(name, content, records=n) for name, (content, n) in contents.items()}
    return {
        "files": {name: [kept[name].sha256, kept[name].size, n] for name, (_, n) in contents.items()},
        "rows": len(done.index),
        "texts": done.texts.shape[1],
        "licences": done.licences,
        "tally": {domain: dict(sorted(found.items())) for domain, found in sorted(done.tally.items())},
        "counts": dict(sorted(done.counts.items())),
    }


def _put(ctx: Context, done: list[dict[str, Any]]) -> None:
    """Make one of the batches, those of earlier attempts among them."""
    for batch in done:
        for name, (sha256, size, records) in batch["files"].items():
            ctx.keep(Artifact(name, sha256, size), records)
    counts: Counter[str] = sum((Counter(batch["counts"]) for batch in done), Counter())
    ctx.counts.update(counts)
    tally: dict[str, Counter[str]] = {domain: Counter() for domain in DOMAINS}
    for batch in done:
        for domain, found in batch["tally"].items():
            tally[domain].update(found)
    skipped = b"".join(map(_line, listing.skipped(ctx)))
    for number in range(len(done)):
        if (name := _skipped_name(number)) in ctx.files:
            skipped += ctx.open(name).read_bytes()
    ctx.data["skipped"] = skipped.count(b"\n")
    ctx.data["examples"] = sum(batch["rows"] for batch in done)
    ctx.put("data/skipped.jsonl", skipped)
    told = [{key: batch[key] for key in ("rows", "texts", "licences")} for batch in done]
    sources = {domain: dict(sorted(found.items())) for domain, found in tally.items()}
    ctx.put("data/examples.json", json.dumps({"batches": told, "sources": sources}, indent=1))
    if not ctx.data["examples"]:
        raise _nothing(ctx, sum(found["files"] for found in tally.values()), skipped)


def _line(entry: dict[str, Any]) -> bytes:
    """An object as one line of JSON."""
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _skipped_name(batch: int) -> str:
    return f"data/examples/{batch:05}.skipped"


def _nothing(ctx: Context, files: int, skipped: bytes) -> EmptyDataset:
    entries = [json.loads(line) for line in skipped.splitlines()]
    reasons = Counter(entry["reason"] for entry in entries)
    shown = "; ".join(f"{n} because: {reason}" for reason, n in reasons.most_common(3))
    folders = ", ".join(
        f"{n} in {ctx.config.folders.of(domain)}" for domain, n in ctx.data["objects"].items() if n
    )
    return EmptyDataset(
        f"None of the {files} files below {ctx.data['source']} gave an example ({folders}); all were skipped, {shown}. The last one "
        f"is {entries[-1]['key']}. Mend that, or add C sources, and start anew with --fresh."
    )


class _Telling:
    """How far it is, for whoever looks on."""

    def __init__(self, ctx: Context, plan: list[tuple[Chunk, ...]]) -> None:
        self._ctx = ctx
        self._until = [  # (files, bytes) with each batch
            *zip(
                accumulate(sum(len(chunk.files) for chunk in batch) for batch in plan),
                accumulate(sum(chunk.size for chunk in batch) for batch in plan),
                strict=True,
            )
        ]
        self._files = self._bytes = 0
        self._functions = self._worked = 0  # by this attempt
        self._begun = time.monotonic()

    def of(self, chunk: Chunk, done: Done) -> Done:
        """A chunk is done, by this attempt."""
        self._files += len(chunk.files)
        self._bytes += chunk.size
        self._worked += chunk.size
        self._functions += sum(found["functions"] for found in done.tally.values())
        files, whole = self._until[-1]
        note = f"files, {self._functions:,} functions"
        if speed := self._worked / max(time.monotonic() - self._begun, 1e-3):
            note += f", {speed / MEGABYTE:.1f} MB/s, {(whole - self._bytes) / speed:.0f} s left"
        self._ctx.progress(self._files, files, f"{note} ({chunk.domain} {chunk.files[-1].member.key})")
        return done

    def passed(self, number: int) -> None:
        """A batch is kept, by this attempt or an earlier one."""
        self._files, self._bytes = self._until[number]
