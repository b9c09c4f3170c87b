"""What makes two examples one: the MD5 of the normalised code, with every run of white space as one blank.

The prompt does not count: its wording is ours, and the same code under another prompt in the validation split would be code
that was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

_BLANK = ord(" ")
_BLANKS = bytes(_BLANK if byte in b" \t\n\r\v\f" else byte for byte in range(256))


def md5s(codes: Sequence[str]) -> list[str]:
    """The MD5 of each code, in hexadecimal digits."""
    return [hashlib.md5(code, usedforsecurity=False).hexdigest() for code in normalised(codes)]


def normalised(codes: Sequence[str]) -> Iterator[bytes]:
    """Each code with its words one blank apart, as UTF-8. All at once, by arrays: to split and join each takes twice as long."""
    # nearly all are ASCII, in which white space is one of six bytes
    words = [code.encode() if code.isascii() else " ".join(code.split()).encode() for code in codes]
    signs = np.frombuffer(b" ".join([*words, b""]).translate(_BLANKS), dtype=np.uint8)
    blank = signs == _BLANK
    stays = np.ones(len(signs), dtype=bool)
    np.logical_not(blank[1:] & blank[:-1], out=stays[1:])
    ends = np.cumsum([0, *(len(word) + 1 for word in words)])
    until = np.concatenate([[0], np.cumsum(stays)])[ends].tolist()
    kept = signs[stays].tobytes()
    return (kept[start:end].strip() for start, end in pairwise(until))
