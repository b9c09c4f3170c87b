"""Where raw code comes from: a directory, or a prefix of an S3 bucket. Both are read in key order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from fsm.faults import PATIENCE, Clock, Patient, Tells, fault, silent
from phases.errors import EmptyDataset, InvalidStructure
from phases.services import asked, client

T = TypeVar("T")
READINGS = 3
"""How often an object that does not come whole is read, before that is said."""


@dataclass(frozen=True, order=True)
class Object:
    """One file of a source: its key below the root, with forward slashes, and its size in bytes.

    `etag` is the bucket's word for this content and no other; empty where the source has none.
    """

    key: str
    size: int
    etag: str = ""


class Source(Protocol):
    """A root with folders of files."""

    @property
    def url(self) -> str:
        """The root, as a message names it."""

    def list(self, folder: str) -> list[Object]:
        """All files below a folder, by key; none if there is no such folder."""

    def read(self, key: str, listed: Object | None = None) -> bytes:
        """The bytes of one file, whole and, with `listed`, as it was then.

        Raises InvalidStructure where a bucket's object is another now, or does not come whole.
        """


@dataclass(frozen=True)
class LocalSource:
    """A directory on this machine."""

    root: Path

    @property
    def url(self) -> str:
        return str(self.root)

    def list(self, folder: str) -> list[Object]:
        base = self.root / folder
        files = [path for path in base.rglob("*") if path.is_file()] if base.is_dir() else []
        # by key, not by path: a path sorts by its parts, and S3 knows no parts
        return sorted(Object(path.relative_to(self.root).as_posix(), path.stat().st_size) for path in files)

    def read(self, key: str, listed: Object | None = None) -> bytes:
        return (self.root / key).read_bytes()


@dataclass(frozen=True)
class S3Source:
    """A prefix of a bucket, by a boto3 S3 client that does not retry: a failure that passes is asked again by `ask`."""

    bucket: str
    prefix: str
    client: Any
    ask: Patient

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def list(self, folder: str) -> list[Object]:
        start = self._full(folder.rstrip("/") + "/")
        cut = len(start) - len(folder.rstrip("/") + "/")
        found: list[Object] = []
        more: dict[str, str] = {}
        while True:
            page = self._asked(
                lambda more=more: self.client.list_objects_v2(Bucket=self.bucket, Prefix=start, **more),  # type: ignore[misc]
                f"listing s3://{self.bucket}/{start}",
            )
            found += [
                Object(entry["Key"][cut:], entry["Size"], entry.get("ETag", ""))
                for entry in page.get("Contents", [])
                if not entry["Key"].endswith("/")  # consoles leave such markers for folders
            ]
            if not page.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def read(self, key: str, listed: Object | None = None) -> bytes:
        full = self._full(key)
        doing = f"reading s3://{self.bucket}/{full}"
        wrong = ""
        for _ in range(READINGS):
            body, wrong = self._asked(lambda: self._read(full, listed), doing)
            if not wrong:
                return body
        raise InvalidStructure(
            f"{doing}: {wrong}, each of {READINGS} times. Put the object there again, or take it out of the source, and begin the run "
            "anew with --fresh."
        )

    def _read(self, full: str, listed: Object | None) -> tuple[bytes, str]:
        """The body of one answer, and what is wrong with it though it came to its end; empty for nothing."""
        from botocore.exceptions import FlexibleChecksumError

        etag = listed.etag if listed else ""
        answer = self.client.get_object(Bucket=self.bucket, Key=full, **({"IfMatch": etag} if etag else {}))
        if etag and answer.get("ETag", etag) != etag:  # a server that ignores conditions
            raise self._another(
                f"reading s3://{self.bucket}/{full}", "changed", f"its ETag is {answer['ETag']}"
            )
        try:
            body: bytes = answer["Body"].read()
        except FlexibleChecksumError as error:
            return b"", f"the bytes that came are not those of its checksum ({error})"
        if listed and len(body) != listed.size:
            return b"", f"{len(body)} bytes came of the {listed.size} that are listed"
        return body, ""

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _asked(self, call: Callable[[], T], doing: str) -> T:
        """What a call returns, asked patiently; its failure as the error of Diagram 8 that it enters."""
        from botocore.exceptions import ClientError

        try:
            return asked(self.ask, call, f"{doing}, of data_preparation.source")
        except ClientError as error:
            cause = fault(error).cause
            if cause not in ("conflict", "missing"):
                raise
            raise self._another(doing, "changed" if cause == "conflict" else "deleted", str(error)) from error

    @staticmethod
    def _another(doing: str, how: str, why: str) -> InvalidStructure:
        return InvalidStructure(
            f"{doing}: the object was {how} after it was listed ({why}). Let nothing write there while a run reads, and begin the run "
            "anew with --fresh: it lists what is there now."
        )


def open_source(
    url: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    patience: float = PATIENCE,
    clock: Clock = time,
    tells: Tells = silent,
) -> Source:
    """The source that a URL names: s3://bucket/prefix, or a directory.

    A bucket that does not answer is asked again for `patience` seconds; `tells` is told of each time.

    Raises:
        EmptyDataset: the directory is not there, or the URL names no bucket.
    """
    if not url.startswith("s3://"):
        root = Path(url)
        if not root.is_dir():
            raise EmptyDataset(
                f"data_preparation.source names the directory {url!r}, which does not exist below {Path.cwd()}. "
                "Name a directory that holds the raw code, or s3://bucket/prefix."
            )
        return LocalSource(root)
    parts = urlsplit(url)
    if not parts.netloc:
        raise EmptyDataset(
            f"data_preparation.source is {url!r}, which names no bucket. Write s3://bucket/prefix."
        )
    s3 = client("s3", endpoint_url=endpoint_url, region=region)
    ask = Patient(f"s3://{parts.netloc}", patience, clock, tells=tells)
    return S3Source(parts.netloc, parts.path.strip("/"), s3, ask)
