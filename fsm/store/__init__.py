"""Where runs are kept: a directory, or a bucket."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fsm.errors import ConfigError
from fsm.store.base import RETIRED, RUN_NAME, Artifact, RunStore, Shelf, Store, Taken, run_name
from fsm.store.local import LocalStore
from fsm.store.s3 import S3Store
from fsm.store.scratch import Scratch, held
from fsm.store.trail import Look, Silent, Trail, trail

__all__ = [
    "RETIRED",
    "RUN_NAME",
    "Artifact",
    "Look",
    "RunStore",
    "S3Store",
    "Scratch",
    "Shelf",
    "Silent",
    "Store",
    "Taken",
    "Trail",
    "held",
    "open_store",
    "run_name",
    "trail",
]


def open_store(url: str, **options: Any) -> Store:
    """The store at a directory or at `s3://bucket/prefix`.

    A bucket's URL may carry options, `s3://bucket/prefix?endpoint_url=http://localhost:9000&path_style=true`, so that
    every command that takes a store can reach it. Raises ConfigError.
    """
    if url.startswith("s3://"):
        place, _, query = url.partition("?")
        given = {key: _word(value) for key, value in parse_qsl(query, keep_blank_values=True)}
        return S3Store(place, **(options | given))
    if "://" in url and not url.startswith("file://"):
        raise ConfigError(f"No store speaks {url!r}. Give a directory or s3://bucket/prefix.")
    return LocalStore(Path(url.removeprefix("file://")), **options)


def _word(value: str) -> str | int | bool:
    """A word of a URL as the value it stands for."""
    if value in ("true", "false"):
        return value == "true"
    return int(value) if value.isdecimal() else value
