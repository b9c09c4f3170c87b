"""A prefix of an S3 bucket, read by several requests at a time and handed on in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from fsm.faults import Patient, fault
from phases.data_preparation.sources.base import LeftOut, Listing, Object, Unreadable, unfit
from phases.errors import InvalidStructure
from phases.services import asked

T = TypeVar("T")
READINGS = 3
"""How often an object that does not come whole is read, before that is said."""
AT_ONCE = 16
"""Requests for content at a time."""
PART = 8 << 20
"""Bytes of one request: a larger object comes by ranges."""
AHEAD = 4 * AT_ONCE
"""Requests that are begun before their content is asked for."""
HELD = 64 << 20
"""Bytes of objects that are read or waited for at a time, and the object that exceeds it."""


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

    def list(self, folder: str) -> Listing:
        start = self._full(folder.rstrip("/") + "/")
        cut = len(start) - len(folder.rstrip("/") + "/")
        files: list[Object] = []
        left_out: list[LeftOut] = []
        there = False
        for page in self._pages(start):
            for entry in page.get("Contents", []):
                there = True
                key = entry["Key"][cut:]
                if key.endswith("/"):  # consoles leave such markers for folders
                    continue
                if reason := unfit(key[len(folder.rstrip("/")) + 1 :]):
                    left_out.append(LeftOut(key, reason))
                else:
                    files.append(Object(key, entry["Size"], entry.get("ETag", "")))
        return Listing(tuple(sorted(files)), tuple(sorted(left_out)), there)

    def folders(self) -> Sequence[str]:
        start = f"{self.prefix}/" if self.prefix else ""
        pages = self._pages(start, Delimiter="/")
        found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        return sorted(prefix.removeprefix(start).rstrip("/") for prefix in found)

    def beside(self) -> Sequence[Object]:
        return ()

    def read(self, key: str, listed: Object | None = None) -> bytes:
        return self._whole(key, listed, "")

    def contents(self, files: Iterable[Object]) -> Iterator[tuple[Object, bytes | Unreadable]]:
        begun: deque[tuple[Object, list[Future[bytes]]]] = deque()
        with ThreadPoolExecutor(AT_ONCE, "get") as pool:
            try:
                for file in files:
                    begun.append((file, [pool.submit(self._whole, file.key, file, r) for r in _ranges(file)]))
                    while _too_many(begun):
                        yield _next(begun)
                while begun:
                    yield _next(begun)
            finally:
                pool.shutdown(cancel_futures=True)

    def _pages(self, start: str, **more: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self._asked(
                lambda: self.client.list_objects_v2(Bucket=self.bucket, Prefix=start, **more),
                f"listing s3://{self.bucket}/{start}",
            )
            yield page
            if not page.get("IsTruncated"):
                return
            more["ContinuationToken"] = page["NextContinuationToken"]

    def _whole(self, key: str, listed: Object | None, part: str) -> bytes:
        """An object, or a part of it ("0-8388607"), read until all of it has come."""
        full = self._full(key)
        doing = f"reading s3://{self.bucket}/{full}"
        wrong = ""
        for _ in range(READINGS):
            body, wrong = self._asked(lambda: self._read(full, listed, part), doing)
            if not wrong:
                return body
        raise InvalidStructure(
            f"{doing}: {wrong}, each of {READINGS} times. Put the object there again, or take it out of the source, and begin the run "
            "anew with --fresh."
        )

    def _read(self, full: str, listed: Object | None, part: str) -> tuple[bytes, str]:
        """The body of one answer, and what is wrong with it though it came to its end; empty for nothing."""
        from botocore.exceptions import FlexibleChecksumError

        etag = listed.etag if listed else ""
        conditions = ({"IfMatch": etag} if etag else {}) | ({"Range": f"bytes={part}"} if part else {})
        answer = self.client.get_object(Bucket=self.bucket, Key=full, **conditions)
        if etag and answer.get("ETag", etag) != etag:  # a server that ignores conditions
            raise self._another(
                f"reading s3://{self.bucket}/{full}", "changed", f"its ETag is {answer['ETag']}"
            )
        try:
            body: bytes = answer["Body"].read()
        except FlexibleChecksumError as error:
            return b"", f"the bytes that came are not those of its checksum ({error})"
        if part:
            first, last = map(int, part.split("-"))
            body = body[first : last + 1] if len(body) > last + 1 - first else body  # one that ignores ranges
            if len(body) != last + 1 - first:
                return b"", f"{len(body)} bytes came of the range {part}"
        elif listed and len(body) != listed.size:
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


def _ranges(file: Object) -> list[str]:
    """The parts of an object as ranges; one that is empty, the whole, where a single request will do."""
    if file.size <= PART:
        return [""]
    return [f"{start}-{min(start + PART, file.size) - 1}" for start in range(0, file.size, PART)]


def _too_many(begun: deque[tuple[Object, list[Future[bytes]]]]) -> bool:
    return sum(len(parts) for _, parts in begun) > AHEAD or sum(file.size for file, _ in begun) > HELD


def _next(begun: deque[tuple[Object, list[Future[bytes]]]]) -> tuple[Object, bytes | Unreadable]:
    file, parts = begun.popleft()
    return file, b"".join(part.result() for part in parts)
