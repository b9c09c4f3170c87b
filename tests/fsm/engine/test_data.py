"""What a handler may do with its data is what it may do with a dict of its own, and costs by what it touches."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.engine.data import Data
from fsm.errors import NotJson
from fsm.journal import copied, encode, json_values

KEYS = st.sampled_from("abcde")
LEAVES = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-1, 1) | st.text("xé", max_size=2)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)
BASES = st.dictionaries(KEYS, JSON, max_size=5)


def copying(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any] | None:
    """The patch between a whole copy that a handler was given and what it made of it: all of it compared."""
    differs = {k: v for k, v in now.items() if k not in before or before[k] != v}
    patch: dict[str, Any] = {}
    if differs:
        patch["set"] = json_values(differs, "")
    if dropped := before.keys() - now.keys() - patch.get("set", {}).keys():
        patch["drop"] = sorted(dropped)
    return patch or None


def bend(value: Any) -> Any:
    """Change a value in its innermost first place, if it has one."""
    if isinstance(value, list):
        if value and isinstance(value[0], (list, dict)):
            return bend(value[0])
        value.append("bent")
    elif isinstance(value, dict):
        key = next(iter(value), "new")
        if isinstance(value.get(key), (list, dict)):
            return bend(value[key])
        value[key] = "bent"
    return None


def alias(data: dict[str, Any], one: str, other: str) -> Any:
    data[one] = data.get(other)
    return bend(data[one])


def each(data: dict[str, Any]) -> list[Any]:
    found = []
    for key in data:  # changing values while iterating is allowed, of a dict too
        bend(data[key])
        found.append((key, copied(data[key])))
    return found


def spread(data: dict[str, Any], how: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    """Another dict made of it, changed within: it may share values with the data, and never with what that was made of."""
    other = how(data)
    for value in other.values():
        bend(value)
    return repr(other)


def raised(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except KeyError as e:
        return type(e), e.args


Use = Callable[[dict[str, Any]], Any]
READS: list[Use] = [
    len,
    repr,
    list,
    sorted,
    bool,
    json.dumps,
    lambda d: json.dumps(d, sort_keys=True, indent=1),
    encode,
    lambda d: list(reversed(d)),
    lambda d: d == copy.deepcopy(d),
    lambda d: d != {},
    lambda d: list(d.keys()),
    lambda d: [copied(v) for v in d.values()],
    lambda d: repr(d.items()),
    lambda d: d.items() >= {("a", 1)} if all(isinstance(v, int) for v in d.values()) else None,
    lambda d: isinstance(d, dict),
    lambda d: (lambda **kw: repr(kw))(**d),
    lambda d: repr({**d}),
    lambda d: f"{json_values(d, '')}",
    lambda d: repr(pickle.loads(pickle.dumps(d))),
    lambda d: type(copy.copy(d)) is type(copy.deepcopy(d)) is dict,
    lambda d: repr(dict.fromkeys(d, 0)),
    each,
    lambda d: [bend(v) for v in d.values()],
    lambda d: [bend(v) for _, v in d.items()],
    lambda d: raised(lambda: (lambda pair: (pair[0], bend(pair[1])))(d.popitem())),
    lambda d: d.clear(),
    *(
        (lambda d, how=how: spread(d, how))
        for how in (
            dict,
            copy.copy,
            copy.deepcopy,
            lambda d: d.copy(),
            lambda d: {**d},
            lambda d: d | {"z": 1},
            lambda d: {"a": [0], "z": 1} | d,
            lambda d: dict(d.items()),
            lambda d: dict(zip(d, d.values(), strict=True)),
            lambda d: dict(**d),
            lambda d: pickle.loads(pickle.dumps(d)),
        )
    ),
]


def merged(data: dict[str, Any], more: dict[str, Any], how: str) -> None:
    if how == "|=":
        data |= copied(more)
    elif how == "pairs":
        data.update(list(copied(more).items()))
    elif how == "words":
        data.update(**copied(more))
    else:
        other = copied(more)
        other.update(data)
        for value in other.values():
            bend(value)


USES: st.SearchStrategy[Use] = (
    st.sampled_from(READS)
    | KEYS.map(lambda k: lambda d: k in d)
    | KEYS.map(lambda k: lambda d: bend(d.get(k)))
    | KEYS.map(lambda k: lambda d: raised(lambda: bend(d[k])))
    | KEYS.map(lambda k: lambda d: raised(lambda: bend(d.pop(k))))
    | KEYS.map(lambda k: lambda d: repr(d.pop(k, "none")))
    | KEYS.map(lambda k: lambda d: raised(lambda: d.__delitem__(k)))
    | KEYS.map(lambda k: lambda d: d.__setitem__(k, d.pop(k, 0)))  # the same, in another place
    | st.tuples(KEYS, KEYS).map(lambda two: lambda d: alias(d, *two))
    | st.tuples(KEYS, JSON).map(lambda kv: lambda d: d.__setitem__(kv[0], copied(kv[1])))
    | st.tuples(KEYS, JSON).map(lambda kv: lambda d: d.__setitem__(kv[0], (copied(kv[1]),)))
    | st.tuples(KEYS, JSON).map(lambda kv: lambda d: bend(d.setdefault(kv[0], copied(kv[1]))))
    | st.tuples(BASES, st.sampled_from(["|=", "pairs", "words", "into"])).map(
        lambda more: lambda d: merged(d, *more)
    )
)


@given(BASES, st.lists(USES, max_size=8))
def test_whatever_is_done_comes_out_as_with_a_copy_of_all_of_it(
    base: dict[str, Any], uses: list[Use]
) -> None:
    before = copied(base)
    whole, data = copied(base), Data(base)
    for use in uses:
        assert use(data) == use(whole)
        assert repr(data) == repr(whole)  # repr: 1 is not True, and the order counts
    assert encode({"patch": data.patch(data, "")}) == encode({"patch": copying(before, whole)})
    assert repr(base) == repr(before)


@given(BASES, st.lists(USES, max_size=4), BASES)
def test_a_handler_may_put_another_dictionary_in_its_place(
    base: dict[str, Any], uses: list[Use], other: dict[str, Any]
) -> None:
    before = copied(base)
    whole, data = copied(base), Data(base)
    for use in uses:
        use(data)
        use(whole)
    assert data.patch(data | other, "") == copying(before, whole | other)
    assert data.patch(other, "") == copying(before, other)
    assert data.base() == before


def test_only_what_is_touched_is_copied() -> None:
    base = {"a": [1], "b": [2], "c": 3}
    data = Data(base)
    assert data == base
    assert (data["c"], "a" in data, list(data)) == (3, True, ["a", "b", "c"])
    assert not data.touched
    first = data["a"]
    assert first is data["a"] is not base["a"]
    assert data.touched
    assert dict.__getitem__(data, "b") is base["b"]


def test_a_value_that_was_touched_and_is_as_it_was_is_no_change() -> None:
    data = Data({"a": [1, {"b": 2}], "c": 3})
    data["a"][1]["b"] = 5
    data["a"][1]["b"] = 2
    data["c"] = data.pop("c")
    data["d"] = 1
    del data["d"]
    assert data.patch(data, "") is None


def test_threads_that_meet_at_a_value_get_one_copy() -> None:
    for _ in range(50):
        data = Data({"found": []})
        start = threading.Barrier(4)

        def add(n: int, data: Data = data, start: threading.Barrier = start) -> None:
            start.wait()
            data["found"].append(n)

        threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(data["found"]) == [0, 1, 2, 3]


def test_what_cannot_be_kept_is_told_with_the_place() -> None:
    data = Data({})
    data["x"] = {1}
    with pytest.raises(NotJson, match=r"A > B: durable data must be JSON values.*at \['x'\], a set"):
        data.patch(data, "A > B")
