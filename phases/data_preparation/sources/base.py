"""What every source is: a root with folders of files, told and read by key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fsm.text import encodes


@dataclass(frozen=True, order=True)
class Object:
    """One file of a source: its key below the root, with forward slashes, and its size in bytes.

    `etag` is the bucket's word for this content and no other; empty where the source has none.
    """

    key: str
    size: int
    etag: str = ""


@dataclass(frozen=True, order=True)
class LeftOut:
    """Something of a folder that is not read, and why; the key of a directory ends with a slash."""

    key: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What a folder holds: the files that may be read, and what may not, by key; `there` is whether there is such a folder."""

    files: tuple[Object, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    there: bool = True


class Unreadable(Exception):
    """One file that cannot be read, or is no longer what was listed; the message is the reason, for whoever asks why."""


class Source(Protocol):
    """A root with folders of files."""

    @property
    def url(self) -> str:
        """The root, as a message names it."""

    def list(self, folder: str) -> Listing:
        """All that is below a folder, by key."""

    def folders(self) -> Sequence[str]:
        """The folders directly below the root, sorted, for who looks for one."""

    def beside(self) -> Sequence[Object]:
        """The files directly below the root, by key; none of a bucket, whose root need not be open to whoever reads folders."""

    def read(self, key: str, listed: Object | None = None) -> bytes:
        """The bytes of one file, whole and, with `listed`, as it was then.

        Raises Unreadable where only this file is at fault, InvalidStructure where a bucket's object is another now, or does
        not come whole.
        """

    def contents(self, files: Iterable[Object]) -> Iterator[tuple[Object, bytes | Unreadable]]:
        """The files' bytes, in the order given; of one that is Unreadable, that. Raises what `read` does besides."""


def unfit(key: str) -> str:
    """Why a key can name no file of a source; empty where it can."""
    if "\ufffd" in key or not encodes(key):
        return "its name is not UTF-8"
    if key.startswith("/"):
        return "its key is absolute"
    if ".." in key.split("/"):
        return "its key leads out of its folder (..)"
    return ""
