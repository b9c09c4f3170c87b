"""The split: by groups, as drawn where there are none, and bounded by shares."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation.splitting import Rows, bounded, first_of_each, shuffle, split, split_at
from phases.errors import EmptyDataset


def of(groups: Iterable[int]) -> Rows:
    """Rows by their groups."""
    return np.array([*enumerate(groups)], dtype=np.int64).reshape(-1, 2)


GROUPS = st.lists(st.integers(0, 30), min_size=2, max_size=80).filter(lambda groups: len(set(groups)) > 1)


@given(GROUPS, st.integers(1, 99))
def test_no_group_is_in_both_and_no_row_is_lost(groups: list[int], percent: int) -> None:
    rows = of(groups)
    if not 0 < len(rows) * percent // 100 < len(rows):
        return
    train, val = split(rows, percent)
    assert len(train)
    assert len(val)
    assert not set(train[:, 1].tolist()) & set(val[:, 1].tolist())
    assert sorted([*train.tolist(), *val.tolist()]) == rows.tolist()


@given(st.integers(2, 200), st.integers(1, 99), st.integers(0, 9))
def test_rows_that_are_a_group_each_are_cut_as_drawn(count: int, percent: int, seed: int) -> None:
    rows = shuffle(of(range(count)), seed)
    drawn = list(range(count))
    random.Random(seed).shuffle(drawn)
    assert rows[:, 0].tolist() == drawn
    if 0 < (at := count * percent // 100) < count:
        train, val = split(rows, percent)
        assert (train[:, 0].tolist(), val[:, 0].tolist()) == (drawn[:at], drawn[at:])
        assert split_at(count, percent) == at


def test_a_group_that_validation_has_no_room_for_is_trained_on() -> None:
    train, val = split(of([*range(90), *[1000] * 40]), 90)
    assert 1000 in train[:, 1]
    assert len(val) == 13


def test_one_group_alone_cannot_be_split() -> None:
    with pytest.raises(EmptyDataset, match="20 examples, all much alike, are left"):
        split(of([5] * 20), 90)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 1000)), min_size=1, max_size=120), st.integers(1, 60)
)
def test_a_bounded_choice_takes_of_every_domain_its_share(told: list[tuple[int, int]], most: int) -> None:
    domains, lengths = (np.array(column) for column in zip(*told, strict=True))
    rows = shuffle(of(range(len(told))), 1)
    chosen = bounded(rows, most, domains.astype(np.uint8), lengths.astype(np.uint32))
    assert len(chosen) == min(most, len(rows))
    assert np.array_equal(chosen, rows[np.isin(rows[:, 0], chosen[:, 0])])
    have = Counter(domains[rows[:, 0]].tolist())
    took = Counter(domains[chosen[:, 0]].tolist())
    for domain, count in have.items():
        assert abs(took[domain] - count * len(chosen) / len(rows)) < 1


def test_a_bounded_choice_takes_short_and_long_rows_alike_of_every_domain() -> None:
    domains, lengths = np.repeat([0, 1, 2], 8), np.tile(np.arange(1, 9) * 100, 3)
    rows = shuffle(of(range(24)), 42)
    chosen = bounded(rows, 12, domains.astype(np.uint8), lengths.astype(np.uint32))[:, 0]
    quarters = (lengths[chosen] - 100) // 200
    assert sorted(zip(domains[chosen].tolist(), quarters.tolist(), strict=True)) == [
        (domain, quarter) for domain in range(3) for quarter in range(4)
    ]


@given(st.lists(st.sampled_from("abcd")))
def test_of_duplicates_the_first_stays_in_its_place(digests: list[str]) -> None:
    found = np.array([digest.encode() * 16 for digest in digests], dtype="V16")
    assert first_of_each(found).tolist() == sorted(digests.index(digest) for digest in set(digests))


@given(st.integers(2, 10_000))
def test_nine_of_ten_are_for_training_and_both_splits_have_rows(count: int) -> None:
    train = split_at(count, 90)
    assert 1 <= train < count
    assert 0 <= count * 0.9 - train < 1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_for_two_splits_is_an_empty_dataset(count: int) -> None:
    with pytest.raises(EmptyDataset, match="both need one"):
        split_at(count, 90)
