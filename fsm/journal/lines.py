"""What goes on at once in a run: its lines, how a path of calls names them, and what two runs of them have in common.

A line is a branch of a split, or one item of a map. It is a frame below the state where the lines began, so that a record
says by its `at` which line it belongs to:

    ["Epoch", "Split~|Left", "Load"]    in the branch Left of Split, what its state Load has called
    ["Score~0|17"]                      item 17 of the first call that the handler of Score made

A line knows what was there when it began and what it did itself, and nothing of the lines beside it. So the records of one
line are the same in every run, whatever the others do meanwhile, and so is what is merged when all have come to rest; only
how the lines of a journal are shuffled into each other is a matter of chance. `in_order` takes that out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
At = Sequence[str]

MARK = "|"  # in a step, behind its `~`: a line begins here. Of a branch nothing stands between the two.
MISSING = object()
SHOWN = 4  # of lines that go at once, in words


def branch_step(split: str, branch: str) -> str:
    """The step that leads into a branch."""
    return f"{split}~{MARK}{branch}"


def item_step(state: str, key: str, number: int) -> str:
    """The step that leads to an item of a map, which is call `key` of the state's handler."""
    return f"{state}~{key}{MARK}{number}"


def is_line(step: str) -> bool:
    """Whether a line begins with this step of a path."""
    return MARK in step.partition("~")[2]


def is_branch(step: str) -> bool:
    """Whether it is the step into a branch: the same machine as before it, in one of its branches."""
    return step.partition("~")[2].startswith(MARK)


def is_item(step: str) -> bool:
    """Whether it is the step to an item of a map."""
    return is_line(step) and not is_branch(step)


def words(at: At) -> list[str]:
    """A path of calls as a person would say it: branches are no calls, and items are counted from 0."""
    said = []
    for step in at:
        state, _, key = step.partition("~")
        call, mark, number = key.partition(MARK)
        if not mark:
            said.append(state)
        elif call:
            said.append(f"{state}[{number}]")
    return said


def place_of(at: At, state: str) -> str:
    """The stack of places down to a state, as words."""
    return " > ".join([*words(at), state])


def base(at: At) -> tuple[str, ...]:
    """What the lines have in common that are beside each other below a path: it without the branches that it ends in, and without
    the number of the item."""
    steps = list(at)
    while steps and is_branch(steps[-1]):
        steps.pop()
    if steps and is_line(steps[-1]):
        steps[-1] = steps[-1].rpartition(MARK)[0] + MARK
    return tuple(steps)


def said(levels: Sequence[tuple[At, str]]) -> str:
    """Where a run stands, in words: `Epoch > Train > Step`, and where lines are beside each other `Epoch > (Left > Load | Right)`.

    `levels` are the paths with their states, each with what it has called behind it.
    """
    if not levels:
        return ""
    heads: list[list[tuple[At, str]]] = []
    common = base(levels[0][0])
    for level in levels:
        if base(level[0]) == common:
            heads.append([level])
        else:
            heads[-1].append(level)
    parts = [" > ".join(filter(None, (head[0][1], said(head[1:])))) for head in heads]
    if len(parts) == 1:
        return parts[0]
    more = [f"{len(parts) - SHOWN} more"] if len(parts) > SHOWN else []
    return f"({' | '.join([*parts[:SHOWN], *more])})"


class TwoWrites(Exception):
    """Two lines wrote one key, and differently."""

    def __init__(self, key: str, one: tuple[str, Any], other: tuple[str, Any]) -> None:
        super().__init__(f"{one[0]} and {other[0]} both wrote {key!r}")
        self.key = key
        self.one = one
        self.other = other

    def __str__(self) -> str:
        return " and ".join(f"{name} {_did(value)}" for name, value in (self.one, self.other))


def _did(value: Any) -> str:
    text = "" if value is MISSING else repr(value)
    return "dropped it" if value is MISSING else f"wrote {text if len(text) <= 60 else text[:59] + '…'}"


def merged(
    base: Mapping[str, Any], lines: Mapping[str, Mapping[str, Any]], whole: bool = True
) -> dict[str, Any]:
    """What the lines changed of what they all began with, by key, in their order; MISSING for a key that was dropped.

    The values of a line are all that it has, or, not `whole`, those that it put. Raises TwoWrites.
    """
    written: dict[str, Any] = {}
    by: dict[str, str] = {}
    for name, values in lines.items():
        dropped = [key for key in base if key not in values] if whole else []
        for key in (*values, *dropped):
            value = values.get(key, MISSING)
            if value == base.get(key, MISSING):
                continue
            if key in written and written[key] != value:
                raise TwoWrites(key, (by[key], written[key]), (name, value))
            written.setdefault(key, value)
            by.setdefault(key, name)
    return written


def put(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Make the changes that `merged` tells of."""
    for key, value in changes.items():
        if value is MISSING:
            into.pop(key, None)
        else:
            into[key] = value


# Two runs beside each other


def in_order(records: Iterable[Record]) -> list[Record]:
    """The records of a run, claims aside, as though of lines that went at once each had waited for the one before it.

    Two runs that did the same give the same list, but for what always differs (`essence`) and the snapshots within lines.
    Where an error led out of a state whose lines were still under way, only the line counts that it came from: how far the
    others had come is chance.
    """
    return list(_ordered([r for r in records if r["kind"] != "claim"], 0))


def _ordered(records: Sequence[Record], depth: int) -> Iterator[Record]:
    """Of records that are all in one line, or in none, `depth` steps deep: the lines in it, one after the other."""
    number = 0
    while number < len(records):
        record = records[number]
        number += 1
        yield record
        if record["kind"] != "split":
            continue
        until = number
        while until < len(records) and _within(records[until], record):
            until += 1
        joined = until < len(records) and _joins(records[until], record)
        lines: dict[str, list[Record]] = {}
        deep = len(record["at"])
        for one in records[number:until]:
            lines.setdefault(one["at"][deep], []).append(one)
        left = [name for name, line in lines.items() if any(_leaves(one, deep) for one in line)]
        for name in left[:1] if left and not joined else sorted(lines, key=_place(record)):
            yield from _ordered(lines[name], deep + 1)
        number = until


def _place(split: Record) -> Any:
    """How the lines of a split are ordered: branches as it names them, items by their number."""
    branches = list(split.get("branches") or ())

    def place(step: str) -> int:
        name = step.partition("~")[2].partition(MARK)[2]
        return branches.index(name) if branches else int(name)

    return place


def _within(record: Record, split: Record) -> bool:
    """Whether a record is one of a line that began with the split."""
    at, deep = record["at"], len(split["at"])
    if len(at) <= deep or at[:deep] != split["at"]:
        return False
    state, _, key = at[deep].partition("~")
    call, mark, _ = key.partition(MARK)
    return bool(mark) and state == split["from"] and call == (split.get("key") or "")


def _joins(record: Record, split: Record) -> bool:
    return record["kind"] == "join" and all(record.get(k) == split.get(k) for k in ("at", "from", "key"))


def _leaves(record: Record, deep: int) -> bool:
    leave = record.get("leave")
    return leave is not None and len(leave["at"]) <= deep
