"""The split: by groups, as drawn where there are none, and bounded by shares."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.data_preparation.splitting import Row, bounded, shuffle, split, split_at
from phases.errors import EmptyDataset

GROUPS = st.lists(st.integers(0, 30), min_size=2, max_size=80).filter(lambda groups: len(set(groups)) > 1)


@given(GROUPS, st.integers(1, 99))
def test_no_group_is_in_both_and_no_row_is_lost(groups: list[int], percent: int) -> None:
    rows = [Row(number, group) for number, group in enumerate(groups)]
    if not 0 < len(rows) * percent // 100 < len(rows):
        return
    train, val = split(rows, percent)
    assert train
    assert val
    assert not {row.group for row in train} & {row.group for row in val}
    assert sorted(train + val, key=lambda row: row.number) == rows


@given(st.integers(2, 200), st.integers(1, 99), st.integers(0, 9))
def test_rows_that_are_a_group_each_are_cut_as_drawn(count: int, percent: int, seed: int) -> None:
    rows = shuffle([Row(number, number) for number in range(count)], seed)
    if 0 < (at := count * percent // 100) < count:
        assert split(rows, percent) == (rows[:at], rows[at:])
        assert split_at(count, percent) == at


def test_a_group_that_validation_has_no_room_for_is_trained_on() -> None:
    rows = [Row(number, number) for number in range(90)] + [Row(number, 1000) for number in range(90, 130)]
    train, val = split(rows, 90)
    assert {row.group for row in train} >= {1000}
    assert len(val) == 13


def test_one_group_alone_cannot_be_split() -> None:
    with pytest.raises(EmptyDataset, match="20 examples, all much alike, are left"):
        split([Row(number, 5) for number in range(20)], 90)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 1000)), min_size=1, max_size=120), st.integers(1, 60)
)
def test_a_bounded_choice_takes_of_every_domain_its_share(told: list[tuple[int, int]], most: int) -> None:
    domains, lengths = (np.array(column) for column in zip(*told, strict=True))
    rows = shuffle([Row(number, number) for number in range(len(told))], 1)
    chosen = bounded(rows, most, domains.astype(np.uint8), lengths.astype(np.uint32))
    assert len(chosen) == min(most, len(rows))
    assert chosen == [row for row in rows if row in set(chosen)]
    have = Counter(int(domains[row.number]) for row in rows)
    took = Counter(int(domains[row.number]) for row in chosen)
    for domain, count in have.items():
        assert (
            abs(took[domain] - count * min(most, len(rows)) / len(rows)) <= 4
        )  # one of each quarter by length
