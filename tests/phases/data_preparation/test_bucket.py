"""A bucket of a real server: its sources are read, and the prepared splits go back to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers.fixtures import aws_environment, server
from tests.servers.process import Server
from tests.servers.s3 import REGION, client

__all__ = ["aws_environment", "server"]

CORPUS = Path(__file__).parents[3] / "configs" / "corpus"
_numbers = itertools.count()


def test_the_rows_of_a_bucket_are_those_of_a_directory_and_go_back_to_it(
    server: Server, finish: Callable[..., Any]
) -> None:
    s3, prefix = client(server.url), f"raw-{next(_numbers)}"
    for path in sorted(CORPUS.rglob("*")):
        if path.is_file():
            s3.put_object(Bucket="bucket", Key=f"{prefix}/{path.relative_to(CORPUS)}", Body=path.read_bytes())
    section = {
        "source": f"s3://bucket/{prefix}",
        "output": f"s3://bucket/{prefix}/prepared/",
        "endpoint_url": server.url,
        "region": REGION,
    }
    there = finish("data_preparation", section, "there")
    here = finish("data_preparation", {"source": str(CORPUS)}, "here")
    assert there.outcome.outcome == "done"
    for split in ("train", "val"):
        name = f"data/processed/{split}.jsonl"
        assert there.text(name) == here.text(name)
        put = s3.get_object(Bucket="bucket", Key=f"{prefix}/prepared/{split}.jsonl")["Body"].read()
        assert put.decode() == there.text(f"data/splits/{split}.jsonl")
    found = s3.list_objects_v2(Bucket="bucket", Prefix=f"{prefix}/prepared/")["Contents"]
    assert {entry["Key"].rpartition("/")[2] for entry in found} == {
        *("README.md", "report.json", "report.svg", "train.jsonl", "val.jsonl"),
    }
