"""Artifacts in a bucket: by content, large ones in parts, nothing uploaded twice, and whole when they are opened."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fsm.errors import StoreError
from fsm.faults import Patient
from fsm.store.access import PRIVATE, make_directory, of_artifacts
from fsm.store.base import Artifact
from fsm.store.bucket import MIB, Bucket, Exists, Missing, Part, S3Options, Unsure

MOST_PARTS = 10_000  # of one upload, by S3's rules
PARTS_AT_ONCE = 4  # each is held in memory while it is sent
ASK_FIRST = MIB  # from this size on, asking whether the object is there costs less than sending it in vain


def cache_directory(options: S3Options) -> Path:
    """Where downloads are kept, by digest."""
    if options.cache:
        return Path(options.cache).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "fsm" / "artifacts"


class ArtifactMissing(StoreError):
    """There is no object of that digest."""


@dataclass(frozen=True)
class Source:
    """Content that can be read anywhere in it. `parts` are the SHA-256 of its pieces, `sha256` of the whole."""

    content: bytes | int  # the bytes, or a file descriptor
    size: int
    part_size: int
    sha256: str
    parts: tuple[bytes, ...]

    def read(self, number: int) -> bytes:
        """Part `number`, from 0. Raises StoreError where it is no longer what was hashed."""
        at = number * self.part_size
        if isinstance(self.content, bytes):
            return self.content[at : at + self.part_size]
        piece = _pread(self.content, min(self.part_size, self.size - at), at)
        if hashlib.sha256(piece).digest() != self.parts[number]:
            raise StoreError(
                "A file changed while it was being kept as an artifact. Write it whole before it is put."
            )
        return piece


@contextmanager
def source(content: bytes | Path, part_size: int) -> Iterator[Source]:
    """Hash the content, the whole and its parts, in one pass."""
    if isinstance(content, bytes):
        pieces = [content[at : at + part_size] for at in range(0, len(content), part_size)]
        digests = tuple(hashlib.sha256(p).digest() for p in pieces)
        yield Source(content, len(content), part_size, hashlib.sha256(content).hexdigest(), digests)
        return
    fd = os.open(content, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        part_size = max(
            part_size, -(-size // MOST_PARTS // MIB) * MIB + MIB if size > part_size * MOST_PARTS else 0
        )
        whole, parts = hashlib.sha256(), []
        for at in range(0, size, part_size):
            piece = _pread(fd, min(part_size, size - at), at)
            whole.update(piece)
            parts.append(hashlib.sha256(piece).digest())
        yield Source(fd, size, part_size, whole.hexdigest(), tuple(parts))
    finally:
        os.close(fd)


def _pread(fd: int, length: int, at: int) -> bytes:
    pieces = []
    while length > 0 and (piece := os.pread(fd, length, at)):
        pieces.append(piece)
        length, at = length - len(piece), at + len(piece)
    return b"".join(pieces)


class Artifacts:
    """The artifacts of one run. `prefix` ends with a slash, `where` names the run to a person."""

    def __init__(self, bucket: Bucket, prefix: str, where: str, options: S3Options, ask: Patient) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.where = where
        self.options = options
        self.ask = ask
        self._there: set[str] = set()  # digests known to be in the bucket
        self._whole: set[str] = set()  # digests whose cached file was verified by this process

    # Up

    def put(self, name: str, content: bytes | Path) -> Artifact:
        """Keep the content; durable on return. Raises StoreError."""
        try:
            with source(content, self.options.part_size * MIB) as s:
                if s.sha256 not in self._there:
                    self._upload(name, s)
                    self._there.add(s.sha256)
                if isinstance(content, bytes) and s.sha256 not in self._whole:
                    self._keep(s.sha256, iter([content]))
                return Artifact(name, s.sha256, s.size)
        except OSError as e:
            raise StoreError(
                f"Artifact {name} cannot be read: {content!s}: {e.strerror}. See to it and give the same command again."
            ) from e

    def _upload(self, name: str, s: Source) -> None:
        key = self.prefix + s.sha256
        if s.size >= ASK_FIRST and self._is_there(key, s.size):
            return
        if s.size < self.options.multipart_from * MIB:
            body = b"".join(s.read(n) for n in range(len(s.parts)))
            try:
                self.ask(lambda: self.bucket.put(key, body, absent=True))
                return
            except Exists:
                pass
        else:
            self._in_parts(key, s)
        if not self._is_there(key, s.size):
            raise StoreError(
                f"Artifact {name} cannot be kept: {key} was written to s3://{self.bucket.name} and is not there. Something else deletes "
                "objects of this run: stop that, and give the same command again."
            )

    def _is_there(self, key: str, size: int) -> bool:
        there = self.ask(lambda: self.bucket.size(key))
        if there not in (None, size):
            raise StoreError(
                f"s3://{self.bucket.name}/{key} has {there} bytes, and its content {size}: something else wrote it. Remove that object "
                "and give the same command again."
            )
        return there is not None

    def _in_parts(self, key: str, s: Source) -> None:
        """Upload in parts; those that an interrupted upload left are taken as they are."""
        for _ in range(3):  # an upload may be aborted from outside, by a lifecycle rule
            upload, have = self._begun(key, s)
            try:
                parts = self._send(key, upload, s, have)
                self.ask(lambda upload=upload, parts=parts: self.bucket.complete(key, upload, parts))  # type: ignore[misc]
                return
            except Exists:
                return
            except Missing:
                if self._is_there(key, s.size):  # our own completion, whose answer was lost
                    return
        raise StoreError(
            f"The upload of s3://{self.bucket.name}/{key} is aborted again and again from outside. Stop what does that, and give the "
            "same command again."
        )

    def _begun(self, key: str, s: Source) -> tuple[str, dict[int, Part]]:
        """The upload in progress of which the most parts are usable, or a new one."""
        best: tuple[str, dict[int, Part]] | None = None
        for upload in self.ask(lambda: self.bucket.uploads(key)):
            try:
                found = self.ask(lambda upload=upload: self.bucket.parts(key, upload))  # type: ignore[misc]
            except Missing:
                continue
            usable = {p.number: p for p in found if self._fits(p, s)}
            if best is None or len(usable) > len(best[1]):
                best = upload, usable
        return best or (self.ask(lambda: self.bucket.begin(key)), {})

    @staticmethod
    def _fits(part: Part, s: Source) -> bool:
        n = part.number - 1
        return (
            n < len(s.parts)
            and part.size == min(s.part_size, s.size - n * s.part_size)
            and part.sha256 == base64.b64encode(s.parts[n]).decode()
        )

    def _send(self, key: str, upload: str, s: Source, have: dict[int, Part]) -> tuple[Part, ...]:
        def send(n: int) -> Part:
            if found := have.get(n + 1):
                return found
            body, sha256 = s.read(n), base64.b64encode(s.parts[n]).decode()
            return self.ask(lambda: self.bucket.put_part(key, upload, n + 1, body, sha256))

        with ThreadPoolExecutor(PARTS_AT_ONCE, "upload") as pool:
            return tuple(pool.map(send, range(len(s.parts))))

    # Down

    def open(self, sha256: str) -> Path:
        """A local, read-only file with that content. Raises StoreError where it is missing or not whole."""
        path = self._cached(sha256)
        if sha256 in self._whole and path.exists():
            return path
        try:
            with path.open("rb") as f:
                if hashlib.file_digest(f, "sha256").hexdigest() == sha256:
                    self._whole.add(sha256)
                    return path
        except FileNotFoundError:
            pass
        except OSError as e:
            raise self._cache_error(e) from e
        return self._keep(sha256, self.stream(sha256))

    def size(self, sha256: str) -> int | None:
        return self.ask(lambda: self.bucket.size(self.prefix + sha256))

    def stream(self, sha256: str) -> Iterator[bytes]:
        """The content in pieces; a cut connection is taken up where it broke. Raises StoreError where it is missing."""
        at = 0
        pieces: Iterator[bytes] = iter(())

        def piece() -> bytes | None:
            nonlocal pieces
            try:
                return next(pieces, None)
            except Unsure:
                pieces = self.bucket.stream(self.prefix + sha256, at)
                raise

        try:
            pieces = self.bucket.stream(self.prefix + sha256)
            while (got := self.ask(piece)) is not None:
                at += len(got)
                yield got
        except Missing:
            raise ArtifactMissing(
                f"Artifact {sha256[:12]} of {self.where} is missing: the object is gone, though a record names it. Restore it from a "
                "copy, or start anew with --fresh."
            ) from None

    def _cached(self, sha256: str) -> Path:
        return cache_directory(self.options) / sha256[:2] / sha256

    def _keep(self, sha256: str, pieces: Iterator[bytes]) -> Path:
        """Put content into the cache, if it is what it should be."""
        path = self._cached(sha256)
        try:
            make_directory(path.parent.parent, PRIVATE)
            make_directory(path.parent, PRIVATE)
            fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
            try:
                digest = hashlib.sha256()
                with os.fdopen(fd, "wb") as f:
                    for piece in pieces:
                        digest.update(piece)
                        f.write(piece)
                    os.fchmod(f.fileno(), of_artifacts(PRIVATE))
                if digest.hexdigest() != sha256:
                    raise StoreError(
                        f"Artifact {sha256[:12]} of {self.where} is not whole: what comes back has the SHA-256 {digest.hexdigest()}. Restore "
                        "the object from a copy, or start anew with --fresh."
                    )
                Path(temporary).replace(path)
            finally:
                Path(temporary).unlink(missing_ok=True)
        except OSError as e:
            raise self._cache_error(e) from e
        self._whole.add(sha256)
        return path

    def _cache_error(self, e: OSError) -> StoreError:
        return StoreError(
            f"The artifact cache {cache_directory(self.options)} cannot be used: {e.strerror}. Free some space or set "
            "store_options.cache to another directory, and give the same command again."
        )
