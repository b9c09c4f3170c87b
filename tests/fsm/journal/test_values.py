"""What a state may keep: JSON values that a journal can hold and give back, and what reading them back costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm.engine import Context, Outcome, Phase, Runner
from fsm.errors import NotJson
from fsm.journal import Fold, Journal, copied, encode, essence, json_values
from fsm.journal.fold import MOST_BETWEEN, RECORD_BYTES, SNAPSHOT_BYTES, SNAPSHOT_EVERY
from fsm.journal.values import MOST_NESTED
from fsm.store import open_store
from tests.fsm.drawn import drawn, program

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé☃"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    max_leaves=10,
)


def run(
    directory: Path, do: Callable[[Context], str | None], killed_after: int | None = None
) -> tuple[Outcome | None, list[dict[str, Any]]]:
    """One attempt at a machine that goes round until `do` says Done: how it came to rest, and the whole journal.

    With `killed_after`, the process is gone once that many records of the attempt are durable.
    """
    machine = drawn("""
        [*] --> Work
        Work --> Work : Again
        Work --> [*] : Done
    """)
    phase = Phase(machine.name)
    phase.state("Work")(do)
    store = open_store(str(directory)).run("run")
    if store.read_header() is None:
        store.write_header(b'{"format": 1}')
    journal = Journal(store)
    runner = Runner(program(machine, phases={machine.name: phase}), store, journal, journal.open(), seed=1)
    append, left = journal.append, [killed_after]

    def until_killed(body: dict[str, Any]) -> dict[str, Any]:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] = None if left[0] is None else left[0] - 1
        return append(body)

    journal.append = until_killed  # type: ignore[method-assign]
    try:
        return runner.drive(), list(journal.records())
    except KeyboardInterrupt:
        return None, list(journal.records())
    finally:
        journal.close()


def heavy(sizes: list[int]) -> Callable[[Context], str]:
    """A handler that in its n-th visit keeps sizes[n] bytes more, under a key of every third visit's."""

    def work(ctx: Context) -> str:
        ctx.data[f"k{ctx.visit % 3}"] = chr(97 + ctx.visit % 26) * sizes[ctx.visit - 1]
        return "Done" if ctx.visit == len(sizes) else "Again"

    return work


class Word(StrEnum):
    YES = "yes"


LIKE_JSON = st.recursive(
    st.none()
    | st.integers()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.just(Word.YES),
    lambda inner: (
        st.lists(inner).map(tuple)
        | st.lists(inner)
        | st.dictionaries(
            st.text() | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False), inner
        )
    ),
    max_leaves=12,
)


@given(LIKE_JSON)
def test_a_value_is_kept_as_json_would_give_it_back(value: Any) -> None:
    def spelt(text: str) -> bool:
        return text == text.encode("utf-8", "replace").decode()

    whole = json.dumps(value, ensure_ascii=False)
    if spelt(whole) and "Infinity" not in whole:
        assert repr(json_values(value, "")) == repr(json.loads(whole))  # repr: 1 is not True, nor 1.0


@given(JSON)
def test_a_record_reads_as_it_was_written(value: Any) -> None:
    assert repr(json.loads(encode({"value": value}))) == repr({"value": value})


@given(JSON)
def test_a_copy_is_equal_and_shares_nothing(value: Any) -> None:
    def containers(v: Any) -> set[int]:
        inner = v.values() if isinstance(v, dict) else v if isinstance(v, list) else ()
        own = {id(v)} if isinstance(v, (dict, list)) else set()
        return own.union(*map(containers, inner))

    copy = copied(value)
    assert encode(copy) == encode(value)
    assert not containers(copy) & containers(value)


@given(JSON, JSON, st.sets(st.sampled_from("abc")))
def test_what_a_handler_leaves_in_its_data_is_there_in_the_next_visit(
    first: Any, second: Any, dropped: set[str]
) -> None:
    # through the fold alone: a directory for each example would cost milliseconds
    before = json_values({"a": first, "b": second, "c": [first]}, "")
    ctx = Context(None, "m", [], "S", 1, None, before, {})  # type: ignore[arg-type]
    for key in dropped:
        del ctx.data[key]
    ctx.data["b"] = (second, first)
    ctx.data[7] = first  # type: ignore[index] # JSON spells such a key "7"
    fold = Fold()
    record: dict[str, Any] = {
        "kind": "transition",
        "at": [],
        "machine": "m",
        "from": "S",
        "label": None,
        "to": [],
    }
    fold.apply({**record, "data": {"set": before}})
    fold.apply({**record, "data": ctx.patch() or {}})
    assert fold.root is not None
    assert fold.root["data"] == json_values(ctx.data, "")


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(
        st.sampled_from([0, 10, SNAPSHOT_BYTES // 3, SNAPSHOT_BYTES * 2]), min_size=2, max_size=12
    ),
    data=st.data(),
)
def test_a_run_killed_and_resumed_has_its_snapshots_where_an_undisturbed_one_has_them(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    _, whole = run(tmp_path_factory.mktemp("whole"), heavy(sizes))
    parts = tmp_path_factory.mktemp("parts")
    killed_after = data.draw(st.integers(1, len(sizes) - 1))
    run(parts, heavy(sizes), killed_after)
    _, resumed = run(parts, heavy(sizes))

    def said(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [essence(r) for r in records if r["kind"] != "claim"]

    assert said(resumed) == said(whole)


def test_heavy_records_bring_the_next_snapshot_nearer(tmp_path: Path) -> None:
    size = 20_000
    _, records = run(tmp_path, heavy([size] * 40))
    behind = 0
    snapshots = 0
    for record in records:
        behind = 0 if "snapshot" in record else behind + len(encode(record))
        snapshots += "snapshot" in record
        assert behind <= max(SNAPSHOT_BYTES, 4 * size) + 2 * size
    assert snapshots < 40 * size / SNAPSHOT_BYTES + 1  # and no nearer than they need


def test_light_records_have_one_snapshot_in_so_many(tmp_path: Path) -> None:
    _, records = run(tmp_path, heavy([1] * (2 * SNAPSHOT_EVERY + 5)))
    assert [r["seq"] for r in records if "snapshot" in r] == [SNAPSHOT_EVERY, 2 * SNAPSHOT_EVERY]


HEAVY = (
    3 * SNAPSHOT_EVERY * RECORD_BYTES - 5_000
)  # a state that weighs as much as three times so many records


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (HEAVY, [1, 3 * SNAPSHOT_EVERY, 6 * SNAPSHOT_EVERY]),
        (20 * HEAVY, [1, SNAPSHOT_EVERY + MOST_BETWEEN]),
    ],
    ids=["as heavy as so many records", "heavier than the most there may be"],
)
def test_light_records_of_a_heavy_state_have_a_snapshot_when_they_weigh_as_much(
    size: int, wanted: list[int]
) -> None:
    light = {"kind": "transition", "at": [], "machine": "m", "from": "S", "label": None, "to": ["S"]}
    fold = resumed = Fold()
    snapshots = []
    for number in range(1, wanted[-1] + 2 * SNAPSHOT_EVERY):
        record = light | ({"data": {"set": {"heavy": "x" * size}}} if number == 1 else {})
        for one in {id(fold): fold, id(resumed): resumed}.values():
            one.apply(record)
        assert fold.snapshot_due() == resumed.snapshot_due()
        if fold.snapshot_due():
            snapshots.append(number)
            resumed = Fold(copied(fold.snapshot()))  # as a run has it that is taken up there
    assert snapshots == wanted


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": [1, {"b": Path("x")}]}, r"at \['a'\]\[1\]\['b'\], a pathlib\.(_local\.)?PosixPath\."),
        ([float("inf")], r"at \[0\], the number inf\."),
        ({"a": {(1,): 2}}, r"at \['a'\]\[\(1,\)\], a key that is a tuple\."),
        ([0, "caf\udce9"], r"at \[1\], a text that UTF-8 cannot spell \('caf\\udce9'\)\."),
        (1 << 29897, "an integer of 29898 bits"),
    ],
    ids=["object", "number", "key", "text", "integer"],
)
def test_what_cannot_be_kept_is_told_with_its_place(value: Any, why: str) -> None:
    with pytest.raises(NotJson, match=why):
        json_values(value, "here")


def nested(depth: int) -> Any:
    value: Any = 1
    for n in range(depth):
        value = [value] if n % 2 else {"in": value}
    return value


def test_values_nested_too_deep_are_refused_and_others_are_kept() -> None:
    assert json_values(nested(MOST_NESTED), "here") == nested(MOST_NESTED)
    for depth in (MOST_NESTED + 1, 900, 100_000):
        with pytest.raises(NotJson, match="here: durable data must be JSON"):
            json_values(nested(depth), "here")


@pytest.mark.parametrize("value", ["\udcff", {"\udcff": 1}, [float("nan")], {1, 2}, b"x"])
def test_a_run_stops_before_it_keeps_what_a_journal_cannot_hold(tmp_path: Path, value: Any) -> None:
    def work(ctx: Context) -> str:
        ctx.data["kept"] = value
        return "Done"

    outcome, records = run(tmp_path, work)
    assert outcome is not None
    assert (outcome.outcome, records[-1]["error"]) == ("stopped", "NotJson")
    outcome, _ = run(tmp_path, lambda ctx: "Done")  # and goes on once the handler is mended
    assert outcome is not None
    assert outcome.outcome == "done"


def test_an_exception_may_quote_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    def work(ctx: Context) -> str:
        raise ValueError("caf\udce9.c is not C")

    outcome, records = run(tmp_path, work)
    assert outcome is not None
    assert (outcome.outcome, records[-1]["message"]) == ("stopped", r"caf\udce9.c is not C")
