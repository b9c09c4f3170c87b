"""The prepared splits where others find them: a directory or a prefix of a bucket, with a dataset card in Hugging Face's form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fsm.engine import Context
from fsm.faults import Patient
from phases.data_preparation import report
from phases.services import asked, client

SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)
"""The hub's words for how many rows a data set has."""


def publish(ctx: Context, name: str, content: Path | bytes) -> None:
    """Put a file where `output` says, whole or not at all; one that is there is replaced. Nowhere where it says nothing."""
    output = ctx.config.output
    if output is None:
        return
    target = f"{output.rstrip('/')}/{name}"
    if output.startswith("s3://"):
        bucket, _, key = target.removeprefix("s3://").partition("/")
        s3 = client("s3", endpoint_url=ctx.config.endpoint_url, region=ctx.config.region)

        def put() -> None:
            if isinstance(content, bytes):
                s3.put_object(Bucket=bucket, Key=key, Body=content)
            else:
                with content.open("rb") as file:
                    s3.upload_fileobj(file, bucket, key)

        asked(
            Patient(f"s3://{bucket}", ctx.config.patience_seconds),
            put,
            f"writing {target}, of data_preparation.output",
        )
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content if isinstance(content, bytes) else b"")
    if isinstance(content, Path):
        with content.open("rb") as source, part.open("wb") as file:
            while piece := source.read(1 << 20):
                file.write(piece)
    part.replace(path)


def publish_report(ctx: Context) -> None:
    """Put the report and the card there."""
    if ctx.config.output is None:
        return
    names = ("report.json", "report.svg")
    files = {name: ctx.open(f"data/{name}").read_bytes() for name in names}
    told = json.loads(files["report.json"])
    for name, content in (*files.items(), ("README.md", card(told).encode())):
        publish(ctx, name, content)


def card(told: Mapping[str, Any]) -> str:
    """The dataset card: its front matter is what the hub reads, the rest is for people."""
    licences = Counter[str]()
    for found in told["sources"].values():
        licences.update(found["licences"])
    rows = sum(told["rows"].values())
    front = {
        "pretty_name": "Prepared C and C++ functions",
        "language": ["en"],
        "license": "other" if len(licences) != 1 else next(iter(licences)).lower(),
        "task_categories": ["text-generation"],
        "tags": ["code", "c", "cpp"],
        "size_categories": [next((word for most, word in SIZES if rows < most), "n>10M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train.jsonl"},
                    {"split": "validation", "path": "val.jsonl"},
                ],
            }
        ],
    }
    licence_lines = "".join(f"| {name} | {n:,} |\n" for name, n in sorted(licences.items()))
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n# Prepared C and C++ functions\n\n"
        f"{told['rows']['train']:,} rows for training and {told['rows']['val']:,} for validation, cut out of {told['source']}. A row has "
        "`messages`, the prompt and the code that answers it, and where the code is from.\n\n"
        f"```\n{report.table(told)}\n```\n\n![What became of each source's examples](report.svg)\n\n"
        f"| licence | rows |\n|---|---|\n{licence_lines}\n"
        "Near-duplicates share 0.7 of their 5-grams of words; "
        + {
            "keep-one": "of each cluster of them one row is here.\n",
            "split-by-cluster": "no cluster of them is in both splits.\n",
            "off": "they were not looked for.\n",
        }[told["near_dedup"]]
    )
