"""Near-duplicates: 5-grams by arrays are those of a plain reading, and what shares 0.7 of them is found."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation import near_duplicates as near
from phases.data_preparation.held_out import HeldOut
from phases.data_preparation.near_duplicates import (
    Groups,
    bands,
    candidates,
    chunked,
    fresh,
    jaccard,
    shingles,
)

TOKENS = re.compile(rb"[A-Za-z0-9_\x80-\xff]+|[^\sA-Za-z0-9_\x80-\xff]")
TEXTS = st.lists(st.text("ab1_ \n\t(;é", max_size=40).map(str.encode), min_size=1, max_size=6)


def plain(text: bytes) -> set[tuple[bytes, ...]]:
    """The 5-grams of a text as anybody would write them down."""
    tokens = TOKENS.findall(text)
    return {tuple(tokens[at : at + 5]) for at in range(max(1, len(tokens) - 4))}


@given(TEXTS)
def test_grams_by_arrays_are_those_of_a_plain_reading(texts: list[bytes]) -> None:
    found, told = shingles(texts), [plain(text) for text in texts]
    assert found.sizes.tolist() == [len(grams) for grams in told]
    for one, grams in enumerate(told):
        assert (np.diff(found[one].astype(object)) > 0).all()
        for other, others in enumerate(told):
            exact = len(grams & others) / len(grams | others)
            assert jaccard(found[one], found[other]) == pytest.approx(exact)


@given(TEXTS)
def test_a_text_has_the_same_grams_whatever_stands_beside_it(texts: list[bytes]) -> None:
    together = shingles(texts)
    for number, text in enumerate(texts):
        assert np.array_equal(together[number], shingles([text])[0])
        assert np.array_equal(bands(together)[number], bands(shingles([text]))[0])


def test_long_texts_are_hashed_piece_by_piece_to_the_same_grams(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"for (int i = 0; i < count; i++) sum += values[i];\n" * 40
    whole = shingles([text, text[:100]])
    monkeypatch.setattr(near, "BLOCK", 16)
    pieces = shingles([text, text[:100]])
    assert np.array_equal(whole.hashes, pieces.hashes)


@given(TEXTS, st.integers(min_value=1, max_value=50), st.integers(min_value=1, max_value=4))
def test_texts_that_are_taken_in_pieces_have_the_same_grams(texts: list[bytes], size: int, most: int) -> None:
    whole = shingles(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "PIECE", size)
        patch.setattr(near, "MOST_TEXTS", most)
        parts = shingles(texts)
    assert np.array_equal(parts.hashes, whole.hashes)
    assert np.array_equal(parts.starts, whole.starts)


def test_what_is_alike_is_found_and_what_is_not_is_not() -> None:
    """Of random texts of which every other one is a copy with some words exchanged."""
    chance = random.Random(7)
    texts: list[bytes] = []
    for _ in range(150):
        words = [f"w{chance.randrange(500)}" for _ in range(120)]
        other = [word if chance.random() < 0.985 else "changed" for word in words]
        texts += [" ".join(words).encode(), " ".join(other).encode()]
    found = shingles(texts)
    groups, seen = Groups(len(texts)), np.zeros(0, dtype=np.uint64)
    for band in bands(found).T:
        pairs, seen = fresh(candidates(band, found.sizes), seen)
        for one, other_one in pairs.tolist():
            if jaccard(found[one], found[other_one]) >= near.SIMILAR:
                groups.join(one, other_one)
    alike = [jaccard(found[n], found[n + 1]) >= near.SIMILAR for n in range(0, len(texts), 2)]
    assert 100 < sum(alike) < 150
    assert [groups.find(n) == groups.find(n + 1) for n in range(0, len(texts), 2)] == alike
    assert len(set(groups.names().tolist())) == len(texts) - sum(alike)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_groups_are_named_by_their_smallest_number(pairs: list[tuple[int, int]]) -> None:
    groups = Groups(20)
    told = [{number} for number in range(20)]
    for one, other in pairs:
        groups.join(one, other)
        merged = told[one] | told[other]
        for number in merged:
            told[number] = merged
    assert groups.names().tolist() == [min(told[number]) for number in range(20)]


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 60))
def test_pieces_are_all_of_it_and_none_is_much_over(weights: list[int], most: int) -> None:
    numbers = np.arange(len(weights))
    pieces = list(chunked(numbers, np.array(weights, dtype=np.int64), most))
    assert [n for piece in pieces for n in piece.tolist()] == numbers.tolist()
    assert all(sum(weights[n] for n in piece.tolist()[:-1]) < most for piece in pieces)


def test_a_text_that_holds_most_of_a_held_out_one_is_hit() -> None:
    held = "static int clamp(int value, int low, int high)\n{\n\treturn value < low ? low : value > high ? high : value;\n}"
    texts = [
        held,
        held.replace("\t", "    ") + "\nint other(void) { return 1; }",
        "/* Something else altogether. */\nint sum(const int *values, int count);",
        "",
    ]
    hits = HeldOut.of([held, "another text that nobody has"]).hits([text.encode() for text in texts])
    assert hits.tolist() == [True, True, False, False]
