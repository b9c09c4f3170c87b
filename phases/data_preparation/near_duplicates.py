"""Near-duplicates: texts that share most of their 5-grams of tokens, found by MinHash and held against the texts themselves.

The numbers are those of The Stack (Kocetkov et al. 2022), 5-grams and a Jaccard similarity of 0.7; a token is a word of
letters, digits and underscores, or one other character that is no white space. rensa makes the MinHash of a text; the
bands of all texts are looked at one after the other, from disk, so that a corpus needs memory for its numbers alone; and
every pair that a band brings together is compared exactly.

At a similarity of 0.7 one pair in 6,500 shares no band (1 - 0.7**4)**32, at 0.8 one in 20 million.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt
import rensa

GRAM = 5
SIMILAR = 0.7
BANDS = 32
ROWS = 4  # of the MinHash in each band
SEED = 42
BLOCK = 1 << 16  # bytes that are hashed at once: what a core's cache holds
PIECE = 1 << 18  # bytes of texts that are taken at once, or one larger text: 60 bytes of memory for each
NEIGHBOURS = 64  # in a band's bucket that a text is compared with; a larger bucket is of one family, and so chained together

BITS = 48
"""Of the hash of a 5-gram; what is left of 64 is for the number of its text."""
MOST_TEXTS = 1 << (64 - BITS)

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
_PLACES = np.array([pow(_BASE, place, 1 << 64) for place in range(GRAM)], dtype=np.uint64)
_DIGEST = Struct(f"<{BANDS * ROWS}I")  # a MinHash
_KEYED = np.dtype([("number", "<u4"), ("key", "<u4")])  # as a number of 64 bits: by the key first
_SPACE, _WORD, _OTHER = range(3)
_KINDS = np.full(256, _OTHER, dtype=np.uint8)
_KINDS[[*range(48, 58), *range(65, 91), 95, *range(97, 123), *range(128, 256)]] = _WORD
_KINDS[[*range(9, 14), 32]] = _SPACE


@dataclass(frozen=True)
class Shingled:
    """The 5-grams of several texts: hashes of 48 bits without repetition, sorted within each text; text `i` has those from `starts[i]` on."""

    hashes: Hashes
    starts: Numbers

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> Hashes:
        return self.hashes[self.starts[number] : self.starts[number + 1]]

    @property
    def sizes(self) -> Numbers:
        """How many 5-grams each text has."""
        return np.diff(self.starts)


def shingles(texts: Sequence[bytes]) -> Shingled:
    """The 5-grams of tokens of each text, as hashes of 48 bits; a text of fewer tokens has one, of them all.

    Many texts at once, by arrays: a text of its own costs more than its tokens do.
    """
    parts = [_shingles(piece) for piece in _pieces(texts)]
    sizes = np.concatenate([np.zeros(1, dtype=np.int64), *(part.sizes for part in parts)])
    hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *(part.hashes for part in parts)])
    return Shingled(hashes, np.cumsum(sizes))


def _pieces(texts: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    start = size = 0
    for end, text in enumerate(texts, 1):
        size += len(text)
        if size >= PIECE or end - start == MOST_TEXTS or end == len(texts):
            yield texts[start:end]
            start, size = end, 0


def _shingles(texts: Sequence[bytes]) -> Shingled:
    ended = b"\n".join([*texts, b""])  # no word goes on from one text to the next
    content = np.frombuffer(ended, dtype=np.uint8)
    kinds = _KINDS[content]
    word, other = kinds == _WORD, kinds == _OTHER
    begins = np.flatnonzero(other | (word & ~np.concatenate([[False], word[:-1]])))
    ends = np.flatnonzero(other | (word & ~np.concatenate([word[1:], [False]]))) + 1
    until = np.searchsorted(begins, np.cumsum([len(text) + 1 for text in texts], dtype=np.int64))
    counts = np.diff(until, prepend=0)  # of each text's tokens
    grams = _grams(_hashed(content, begins, ends), counts, until)
    # A text's number stands before each of its hashes, so that a single sort, of numbers and not of places, brings the equal
    # ones of a text together.
    owner = np.repeat(np.arange(len(texts), dtype=np.uint64), np.maximum(counts - GRAM + 1, 1))
    grams >>= np.uint64(64 - BITS)
    grams |= owner << np.uint64(BITS)
    grams.sort()
    fresh = np.ones(len(grams), dtype=bool)
    fresh[1:] = grams[1:] != grams[:-1]
    grams = grams[fresh]
    starts = np.searchsorted(grams, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(BITS))
    return Shingled(grams & np.uint64((1 << BITS) - 1), starts.astype(np.int64))


def _hashed(content: npt.NDArray[np.uint8], begins: Numbers, ends: Numbers) -> Hashes:
    """A hash of each stretch of bytes: the polynomial of them modulo 2**64, from sums over all that is before."""
    found = np.empty(len(begins), dtype=np.uint64)
    cuts = np.searchsorted(begins, np.arange(0, len(content) + BLOCK, BLOCK))
    for first, until in pairwise(cuts.tolist()):
        if first == until:
            continue
        start, end = int(begins[first]), int(ends[until - 1])
        powers, inverse = _powers(1 << (end - start + 1).bit_length())
        sums = np.zeros(end - start + 1, dtype=np.uint64)
        np.cumsum((content[start:end] + np.uint64(1)) * powers[: end - start], out=sums[1:])
        one, other = begins[first:until] - start, ends[first:until] - start
        found[first:until] = (sums[other] - sums[one]) * inverse[one] + (other - one).astype(np.uint64)
    return _mixed(found)


@cache
def _powers(count: int) -> tuple[Hashes, Hashes]:
    base = np.full(count, _BASE, dtype=np.uint64)
    undone = np.full(count, pow(_BASE, -1, 1 << 64), dtype=np.uint64)
    base[0] = undone[0] = 1
    return np.multiply.accumulate(base), np.multiply.accumulate(undone)


def _grams(tokens: Hashes, counts: Numbers, until: Numbers) -> Hashes:
    """The 5-grams of each text's tokens, in their order, one for a text of fewer."""
    padded = np.concatenate([tokens, np.zeros(GRAM, dtype=np.uint64)])
    sums = np.zeros(len(tokens) + 1, dtype=np.uint64)
    for place in range(GRAM):  # of all tokens, as if they were of one text: the next one's are passed over
        sums += padded[place : len(sums) + place] * _PLACES[place]
    sizes = np.maximum(counts - GRAM + 1, 1)
    at = np.cumsum(sizes) - sizes  # where those of each text are
    grams = sums[np.repeat(until - counts - at, sizes) + np.arange(sizes.sum())]
    for number in np.flatnonzero(counts < GRAM).tolist():  # they have none of their own
        own = tokens[until[number] - counts[number] : until[number]]
        grams[at[number]] = (own * _PLACES[: len(own)]).sum() + np.uint64(len(own))
    return _mixed(grams)


def _mixed(value: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele et al. 2014)."""
    value = value ^ (value >> np.uint64(30))
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    return value


def bands(texts: Shingled) -> npt.NDArray[np.uint32]:
    """The bands of each text, [text, band]: two texts that share one are to be compared."""
    if not len(texts):
        return np.zeros((0, BANDS), dtype=np.uint32)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        texts.hashes, texts.starts.astype(np.uint64), BANDS * ROWS, SEED
    )
    packed = b"".join([_DIGEST.pack(*row) for row in matrix.to_rows()])
    digests = np.frombuffer(packed, dtype="<u4").reshape(len(texts), BANDS, ROWS)
    mixed = np.zeros(digests.shape[:2], dtype=np.uint64)
    for row in range(ROWS):
        mixed = _mixed(mixed + digests[:, :, row])
    return (mixed >> np.uint64(32)).astype(np.uint32)


def jaccard(one: Hashes, other: Hashes) -> float:
    """How much of what either has both have; of sorted hashes without repetition. 1.0 for two empty texts."""
    if not len(one) or not len(other):
        return float(len(one) == len(other))
    both = np.concatenate([one, other])
    both.sort(kind="stable")
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


def candidates(band: npt.NDArray[np.uint32], sizes: npt.NDArray[np.integer[Any]]) -> Numbers:
    """The pairs [n, 2] that one band brings together, the smaller number first, without those too different in size."""
    both = np.empty(len(band), dtype=_KEYED)
    both["key"], both["number"] = band, np.arange(len(band), dtype=np.uint32)
    both.view("<u8").sort()  # numbers sort in a third of the time in which places do
    keys, order = both["key"], both["number"]
    found: list[Numbers] = []
    for apart in range(1, NEIGHBOURS + 1):
        same = np.flatnonzero(keys[apart:] == keys[:-apart])
        if not len(same):
            break
        found.append(np.stack([order[same], order[same + apart]], axis=1).astype(np.int64))
    pairs: Numbers = np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)
    one, other = sizes[pairs[:, 0]], sizes[pairs[:, 1]]
    alike: npt.NDArray[np.bool_] = np.minimum(one, other) >= SIMILAR * np.maximum(one, other)
    return pairs[alike]


class Groups:
    """Disjoint groups of numbers from 0; each is named by its smallest number."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count, dtype=np.uint32)

    def find(self, number: int) -> int:
        """The name of its group."""
        root = number
        while (above := int(self._parent[root])) != root:
            root = above
        while (above := int(self._parent[number])) != root:
            self._parent[number] = root
            number = above
        return root

    def join(self, one: int, other: int) -> None:
        """Make one group of two."""
        one, other = sorted((self.find(one), self.find(other)))
        self._parent[other] = one

    def join_equal(self, values: npt.NDArray[np.uint64], among: Numbers) -> None:
        """Make one group of those numbers among which a value is the same."""
        values = values[among]
        order = np.argsort(values, kind="stable")
        values = values[order]
        for at in np.flatnonzero(values[1:] == values[:-1]).tolist():
            self.join(int(among[order[at]]), int(among[order[at + 1]]))

    def names(self) -> npt.NDArray[np.uint32]:
        """The name of each number's group; to be read only, and only until two are joined."""
        while not np.array_equal(above := self._parent[self._parent], self._parent):
            self._parent = above
        return self._parent


def digest(text: str) -> int:
    """64 bits of a text, for telling equal ones."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def fresh(pairs: Numbers, seen: Hashes) -> tuple[Numbers, Hashes]:
    """The pairs, which one band brings together once each, that were not seen before, and, sorted, all that has been seen."""
    keys = (pairs[:, 0].astype(np.uint64) << np.uint64(32)) | pairs[:, 1].astype(np.uint64)
    keys.sort()
    at = np.searchsorted(seen, keys)
    known = at < len(seen)
    known[known] = seen[at[known]] == keys[known]
    new = keys[~known]
    both = np.stack([new >> np.uint64(32), new & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
    seen = np.concatenate([seen, new])
    seen.sort(kind="stable")  # which makes one of two that are sorted
    return both, seen


def chunked(numbers: Numbers, weights: Numbers, most: int) -> Iterator[Numbers]:
    """The numbers in pieces whose weights come to about `most` at the most; at least one each."""
    at = np.searchsorted(np.cumsum(weights), np.arange(most, int(weights.sum()) + most, most), side="left")
    start = 0
    for end in np.unique(at + 1).tolist():
        if piece := min(end, len(numbers)) - start:
            yield numbers[start : start + piece]
            start += piece
