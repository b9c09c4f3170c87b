"""The prepared splits where others find them: a directory or a prefix of a bucket, with a dataset card in Hugging Face's form."""

from __future__ import annotations

import errno
import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from fsm.engine import Context
from fsm.faults import Patient
from phases.data_preparation import report
from phases.data_preparation.licences import UNKNOWN
from phases.errors import NotProvided
from phases.services import asked, client

SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)
"""The hub's words for how many rows a data set has."""


LICENCES = frozenset(
    {
        "agpl-3.0",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsl-1.0",
        "gpl-2.0",
        "gpl-3.0",
        "isc",
        "lgpl-2.1",
        "lgpl-3.0",
    }
    | {"mit", "mpl-2.0", "unlicense", "zlib"}
)
"""The hub's ids of the licences that are told by their words (licences.py)."""


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
    try:
        _put(Path(target), content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NotProvided(
            f"{target}, of data_preparation.output, cannot be written: {error.strerror}. Make that a directory in which the user that "
            "the run belongs to may write, and give the same command again; or name another one and begin anew with --fresh."
        ) from error


def _put(path: Path, content: Path | bytes) -> None:
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


def _of_hub(licences: Collection[str]) -> str:
    """The hub's id of the only licence there is; `unknown` and `other` are its words where there is none."""
    if len(licences) != 1:
        return "other"
    (licence,) = licences
    name = licence.lower().removesuffix("-only").removesuffix("-or-later")
    return "unknown" if licence == UNKNOWN else name if name in LICENCES else "other"


def card(told: Mapping[str, Any]) -> str:
    """The dataset card: its front matter is what the hub reads, the rest is for people."""
    licences = Counter[str]()
    for found in told["sources"].values():
        licences.update(found["licences"])
    rows = sum(told["rows"].values())
    front = {
        "pretty_name": "Prepared C and C++ functions",
        "language": ["en"],
        "license": _of_hub(licences),
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
