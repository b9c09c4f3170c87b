"""What a store keeps beside its runs: entries by key, each written once, with a digest of itself.

    {"key":"<digest>","sha256":"<of key and entry>","entry":<a JSON text on one line>}

Such a line is an object of a bucket, and a line of a directory's file. What it says is the business of whoever puts it.
"""

from __future__ import annotations

import hashlib
import re

from fsm.errors import StoreError

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
KEY = re.compile(r"[0-9a-f]{64}")
_LINE = re.compile(rb'\{"key":"([0-9a-f]{64})","sha256":"([0-9a-f]{64})","entry":(.*)\}')


def shelf_name(name: str) -> str:
    """The name, if it can be a shelf's: it stands beside `runs` in the store. Raises StoreError."""
    if not NAME.fullmatch(name) or name == "runs":
        raise StoreError(f"{name!r} cannot name a shelf: small letters, digits and '_', and not 'runs'.")
    return name


def written(key: str, entry: bytes) -> bytes:
    """The line of an entry, without its newline. Raises StoreError where key or entry cannot stand in one."""
    if not KEY.fullmatch(key) or b"\n" in entry:
        raise StoreError(
            f"{key!r} with {len(entry)} bytes is no entry: a key is a SHA-256 in hex, an entry one line."
        )
    return b'{"key":"%s","sha256":"%s","entry":%s}' % (key.encode(), _digest(key.encode(), entry), entry)


def read(line: bytes) -> tuple[str, bytes] | None:
    """(key, entry) of a line; None where it is not what was written."""
    found = _LINE.fullmatch(line)
    if found is None or _digest(found[1], found[3]) != found[2]:
        return None
    return found[1].decode(), found[3]


def half(key: str) -> bytes:
    """Half of a key's 32 bytes, for an index of many: enough to tell any entries apart, and the line says the whole of it."""
    return bytes.fromhex(key[:32])


def place(offset: int, length: int) -> int:
    """Where a line is, in one number: of an index of many, half the memory of a pair."""
    return offset << 32 | length


def placed(place: int) -> tuple[int, int]:
    """(offset, length): the inverse of `place`."""
    return place >> 32, place & 0xFFFFFFFF


def _digest(key: bytes, entry: bytes) -> bytes:
    return hashlib.sha256(key + b"\n" + entry).hexdigest().encode()
