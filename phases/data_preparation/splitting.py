"""Which rows stay, in which order, and which of them are for training: decided on their numbers."""

from __future__ import annotations

import random
from array import array

import numpy as np
import numpy.typing as npt

from phases.errors import EmptyDataset

LENGTHS = 4
"""Quarters by length, from which a bounded choice is made alike."""

Rows = npt.NDArray[np.int64]
"""Rows [n, 2]: the number of each, and the group that it may not be parted from. Arrays, for there may be millions."""


def first_of_each(digests: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """The numbers of the rows whose digest did not come before: the first one stays, in its place."""
    if not len(digests):
        return np.zeros(0, dtype=np.int64)
    halves = digests.view("<u8").reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    first = np.zeros(len(order), dtype=bool)
    first[0] = True
    for half in halves.T:  # one after the other: `np.unique` has all of it in memory twice
        in_order = half[order]
        first[1:] |= in_order[1:] != in_order[:-1]
    return np.sort(order[first])


def shuffle(rows: Rows, seed: int) -> Rows:
    """The rows in a random order that depends on the seed alone."""
    order = array("q", range(len(rows)))
    random.Random(seed).shuffle(order)
    return rows[np.frombuffer(order, dtype=np.int64)] if len(rows) else rows


def split_at(count: int, train_percent: int) -> int:
    """How many of `count` shuffled rows are for training; the rest are for validation.

    Raises:
        EmptyDataset: there are too few rows for both.
    """
    train = count * train_percent // 100
    if train < 1 or train >= count:
        raise _too_few(count, train, train_percent, "")
    return train


def split(rows: Rows, train_percent: int) -> tuple[Rows, Rows]:
    """Rows for training and for validation, each in the order given, no group in both.

    Groups are taken for training in their order while there is room, those that validation has no room for first. Of rows
    that are a group each, that is the drawing's cut.

    Raises:
        EmptyDataset: there are too few rows for both, or one group is all there is.
    """
    train = split_at(len(rows), train_percent)
    group = rows[:, 1]  # by the number of one of its rows, so that arrays by number do for tables
    sizes = np.bincount(group)
    names = np.flatnonzero(sizes)
    if len(names) == len(rows):
        return rows[:train], rows[train:]
    if len(names) < 2:
        raise _too_few(len(rows), train, train_percent, ", all much alike,")
    first = np.zeros(len(sizes), dtype=np.int64)
    first[group[::-1]] = np.arange(len(rows))[::-1]  # of several the one written last, which is the first
    order = names[np.lexsort((first[names], sizes[names] <= len(rows) - train))]
    chosen = np.zeros(len(sizes), dtype=bool)
    room = train
    for name in order:
        if sizes[name] <= room or name == order[0]:
            chosen[name] = True
            room -= int(sizes[name])
    if chosen[names].all():  # the first was too large for either
        chosen[order[-1]] = False
    in_train = chosen[group]
    return rows[in_train], rows[~in_train]


def _too_few(count: int, train: int, train_percent: int, alike: str) -> EmptyDataset:
    return EmptyDataset(
        f"{count} examples{alike} are left after removing duplicates; at {train_percent} percent that gives {train} for "
        f"training and {count - train} for validation, and both need one. Add C sources to the folders of "
        "data_preparation.source and start the run anew with --fresh."
    )


def bounded(rows: Rows, most: int, domains: npt.NDArray[np.uint8], lengths: npt.NDArray[np.uint32]) -> Rows:
    """At most so many of shuffled rows, in their order: of each domain and quarter by length its share.

    `domains` and `lengths` are those of all rows, by number.
    """
    if len(rows) <= most:
        return rows
    numbers = rows[:, 0]
    taken: list[npt.NDArray[np.int64]] = []
    of_domain = domains[numbers]
    names, counts = np.unique(of_domain, return_counts=True)
    for domain, share in zip(names, _shares(counts, most), strict=True):
        here = np.flatnonzero(of_domain == domain)
        rank = np.argsort(np.argsort(lengths[numbers[here]], kind="stable"), kind="stable")
        quarter = rank * LENGTHS // len(here)
        shares = _shares(np.bincount(quarter, minlength=LENGTHS), int(share))
        taken += [here[quarter == number][:part] for number, part in enumerate(shares)]
    chosen: Rows = rows[np.sort(np.concatenate(taken))]
    return chosen


def _shares(counts: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """What each of several counts has of so many in all: its share, with what is left over for the largest remainders."""
    exact = counts * most / counts.sum()
    shares: npt.NDArray[np.int64] = exact.astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: most - int(shares.sum())]] += 1
    return shares
