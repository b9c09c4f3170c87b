"""Where raw code comes from: a directory, a git checkout, an archive, or a prefix of an S3 bucket. All are read in key order."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

from fsm.faults import PATIENCE, Clock, Patient, Tells, silent
from phases.data_preparation.sources.base import LeftOut, Listing, Object, Source, Unreadable
from phases.data_preparation.sources.bucket import AT_ONCE, S3Source
from phases.data_preparation.sources.directory import Checkout, LocalSource
from phases.data_preparation.sources.packed import ENDINGS, Packed
from phases.errors import EmptyDataset
from phases.services import client

__all__ = [
    "Checkout",
    "LeftOut",
    "Listing",
    "LocalSource",
    "Object",
    "Packed",
    "S3Source",
    "Source",
    "Unreadable",
    "open_source",
]


def open_source(
    url: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    patience: float = PATIENCE,
    clock: Clock = time,
    tells: Tells = silent,
) -> Source:
    """The source that a URL names: s3://bucket/prefix, a directory, of a git checkout its tracked files, or an archive.

    A bucket that does not answer is asked again for `patience` seconds; `tells` is told of each time.

    Raises:
        EmptyDataset: what is named is not there, or is none of these.
    """
    if not url.startswith("s3://"):
        return _local(url)
    parts = urlsplit(url)
    if not parts.netloc:
        raise EmptyDataset(
            f"data_preparation.source is {url!r}, which names no bucket. Write s3://bucket/prefix."
        )
    s3 = client("s3", endpoint_url=endpoint_url, region=region, connections=AT_ONCE)
    ask = Patient(f"s3://{parts.netloc}", patience, clock, tells=tells)
    return S3Source(parts.netloc, parts.path.strip("/"), s3, ask)


def _local(url: str) -> Source:
    path = Path(url)
    try:
        is_directory = path.is_dir()
        is_checkout = is_directory and (path / ".git").exists()
    except OSError as error:
        raise EmptyDataset(
            f"data_preparation.source names {url!r}, which cannot be looked into: {error.strerror}. Let the user that the run belongs "
            "to read it, or name another source."
        ) from error
    if is_directory:
        return Checkout(path) if is_checkout else LocalSource(path)
    if path.is_file():
        if path.name.lower().endswith(ENDINGS):
            return Packed(path)
        raise EmptyDataset(
            f"data_preparation.source names the file {url!r}; of files those can be read whose name ends with {', '.join(ENDINGS)}. "
            "Name one of them, a directory that holds the raw code, or s3://bucket/prefix."
        )
    raise EmptyDataset(
        f"data_preparation.source names the directory {url!r}, which does not exist below {Path.cwd()}. "
        "Name a directory that holds the raw code, an archive of one, or s3://bucket/prefix."
    )
