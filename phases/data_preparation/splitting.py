"""Which rows stay, in which order, and which of them are for training: decided on their numbers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from phases.errors import EmptyDataset

LENGTHS = 4
"""Quarters by length, from which a bounded choice is made alike."""


@dataclass(frozen=True)
class Row:
    """A row by its number, and the group that it may not be parted from."""

    number: int
    group: int


def first_of_each(digests: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """The numbers of the rows whose digest did not come before: the first one stays, in its place."""
    return np.sort(np.unique(digests, return_index=True)[1]).astype(np.int64)


def shuffle(rows: Sequence[Row], seed: int) -> list[Row]:
    """The rows in a random order that depends on the seed alone."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    return shuffled


def split_at(count: int, train_percent: int) -> int:
    """How many of `count` shuffled rows are for training; the rest are for validation.

    Raises:
        EmptyDataset: there are too few rows for both.
    """
    train = count * train_percent // 100
    if train < 1 or train >= count:
        raise _too_few(count, train, train_percent, "")
    return train


def split(rows: Sequence[Row], train_percent: int) -> tuple[list[Row], list[Row]]:
    """Rows for training and for validation, each in the order given, no group in both.

    Groups are taken for training in their order while there is room, those that validation has no room for first. Of rows
    that are a group each, that is the drawing's cut.

    Raises:
        EmptyDataset: there are too few rows for both, or one group is all there is.
    """
    train = split_at(len(rows), train_percent)
    sizes: dict[int, int] = {}
    for row in rows:
        sizes[row.group] = sizes.get(row.group, 0) + 1
    if len(sizes) < 2:
        raise _too_few(len(rows), train, train_percent, ", all much alike,")
    order = sorted(sizes, key=lambda group: sizes[group] <= len(rows) - train)  # the order stays within both
    chosen: set[int] = set()
    room = train
    for group in order:
        if sizes[group] <= room or not chosen:
            chosen.add(group)
            room -= sizes[group]
    if len(chosen) == len(sizes):  # the first was too large for either
        chosen.remove(order[-1])
    return [row for row in rows if row.group in chosen], [row for row in rows if row.group not in chosen]


def _too_few(count: int, train: int, train_percent: int, alike: str) -> EmptyDataset:
    return EmptyDataset(
        f"{count} examples{alike} are left after removing duplicates; at {train_percent} percent that gives {train} for "
        f"training and {count - train} for validation, and both need one. Add C sources to the folders of "
        "data_preparation.source and start the run anew with --fresh."
    )


def bounded(
    rows: Sequence[Row], most: int, domains: npt.NDArray[np.uint8], lengths: npt.NDArray[np.uint32]
) -> list[Row]:
    """At most so many of shuffled rows, in their order: of each domain and quarter by length its share.

    `domains` and `lengths` are those of all rows, by number.
    """
    if len(rows) <= most:
        return list(rows)
    numbers = np.array([row.number for row in rows])
    places = np.empty(len(rows), dtype=np.int64)
    for domain in np.unique(domains[numbers]):
        here = np.flatnonzero(domains[numbers] == domain)
        rank = np.argsort(np.argsort(lengths[numbers[here]], kind="stable"), kind="stable")
        places[here] = int(domain) * LENGTHS + rank * LENGTHS // len(here)
    strata, counts = np.unique(places, return_counts=True)
    exact = counts * most / len(rows)
    shares = exact.astype(np.int64)
    largest = np.argsort(shares - exact, kind="stable")[: most - int(shares.sum())]
    shares[largest] += 1
    taken = [np.flatnonzero(places == stratum)[:share] for stratum, share in zip(strata, shares, strict=True)]
    return [rows[at] for at in sorted(np.concatenate(taken).tolist())]
