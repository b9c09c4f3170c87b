"""The chain of records: what is read is held against it, what is written belongs to one writer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.engine import Runner
from fsm.errors import FsmError, JournalDamaged, NewerFormat, NoSuchRun, RunReplaced, StoreError
from fsm.journal import Fold, Journal, decode, digest, encode, essence
from fsm.journal.journal import FRAME
from fsm.store import Taken
from fsm.store.local import LocalRun
from tests.fsm.synthetic import World, attempt, begin, finish, program

JournalOf = Callable[[list[bytes]], Journal]

CLAIM = {"kind": "claim", "host": "h", "pid": 1}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The journal of the works, run once."""
    directory = tmp_path_factory.mktemp("journal") / "r"
    begin(directory)
    finish(directory, World())
    return list(LocalRun(directory).records())


@pytest.fixture
def journal_of(tmp_path: Path) -> JournalOf:
    """A journal of given lines."""
    run = LocalRun(tmp_path / "r")
    run.write_header(b'{"format": 1}')

    def make(lines: list[bytes]) -> Journal:
        run.journal.write_bytes(b"".join(one + b"\n" for one in lines))
        return Journal(LocalRun(tmp_path / "r"))

    return make


# Records


def test_a_record_names_its_writer_its_place_and_the_one_before(lines: list[bytes]) -> None:
    records = [decode(one, "here") for one in lines]
    assert [r["seq"] for r in records] == list(range(len(records)))
    assert records[0]["prev"] == digest(b'{"format": 1}')  # its run.json
    assert all(r["prev"] == digest(before) for r, before in zip(records[1:], lines, strict=False))
    assert len({r["id"] for r in records}) == len(records)
    assert all(r["id"].startswith(r["writer"]) for r in records)
    assert [encode(r) for r in records] == lines
    assert [decode(one, "here", ordered=False) for one in lines] == records


def test_the_essence_is_what_two_equal_runs_share(lines: list[bytes]) -> None:
    record = decode(lines[5], "here")
    assert essence(record).keys() == record.keys() - set(FRAME)
    assert {"kind", "at", "from"} <= essence(record).keys()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=40) | json_values.map(lambda v: json.dumps(v).encode()))
def test_no_line_raises_anything_but_the_journals_own_error(line: bytes) -> None:
    with pytest.raises(JournalDamaged, match="somewhere: "):
        decode(line, "somewhere")


@pytest.mark.parametrize("line", [b"[" * 200_000, b'{"a":' * 200_000, b"1" * 10_000, b"\xff\xfe"])
def test_nor_does_a_line_made_to_hurt(line: bytes) -> None:
    with pytest.raises(JournalDamaged):
        decode(line, "somewhere")


@given(data=st.data())
def test_a_record_with_a_field_gone_or_of_another_type_is_none(
    data: st.DataObject, lines: list[bytes]
) -> None:
    record = decode(data.draw(st.sampled_from(lines)), "here")
    field = data.draw(st.sampled_from(sorted(record)))
    if record["kind"] == "transition" and field in ("place", "above", "data", "snapshot", "files", "reads"):
        return
    wrong = {**record, field: {"not": "it"}}
    if field not in ("value", "snapshot", "patch", "skipped"):
        with pytest.raises(JournalDamaged, match=field if field != "kind" else "somewhere"):
            decode(encode(wrong), "somewhere")
    with pytest.raises(JournalDamaged, match="surplus"):
        decode(encode({**record, "surplus": 1}), "somewhere")


# Reading


def test_every_record_changed_afterwards_is_found(lines: list[bytes], journal_of: JournalOf) -> None:
    for number in range(len(lines) - 1):
        record = decode(lines[number], "here")
        record["time"] += 1
        changed = [*lines[:number], encode(record), *lines[number + 1 :]]
        with pytest.raises(
            JournalDamaged, match=rf"record {number + 1} does not follow from the record before it"
        ):
            list(journal_of(changed).records())


@pytest.mark.parametrize("number", [0, 1, 50, 100])
def test_a_missing_or_doubled_record_is_found(number: int, lines: list[bytes], journal_of: JournalOf) -> None:
    gone = [*lines[:number], *lines[number + 1 :]]
    with pytest.raises(JournalDamaged, match=f"record {number} is missing; {number + 1} stands in its place"):
        list(journal_of(gone).records())
    doubled = [*lines[: number + 1], *lines[number:]]
    with pytest.raises(JournalDamaged, match=f"record {number + 1} is missing; {number} stands in its place"):
        list(journal_of(doubled).records())


def test_a_changed_record_among_the_newest_stops_a_resume(
    lines: list[bytes], journal_of: JournalOf, tmp_path: Path
) -> None:
    newest_snapshot = max(i for i, one in enumerate(lines) if b'"snapshot":{' in one)
    for number in range(newest_snapshot, len(lines) - 1):
        changed = [*lines[:number], lines[number].replace(b'"epoch":', b'"epoch": '), *lines[number + 1 :]]
        journal = journal_of(changed)
        with pytest.raises(JournalDamaged, match="does not follow"):
            journal.open()
        assert not LocalRun(tmp_path / "r").busy()
        assert list(journal.store.records()) == changed


def test_a_journal_without_its_beginning_is_damaged(lines: list[bytes], journal_of: JournalOf) -> None:
    with pytest.raises(JournalDamaged, match="the journal begins at record 3"):
        journal_of(lines[3:20]).load()


def test_the_state_from_the_newest_snapshot_is_the_state_from_the_beginning(
    lines: list[bytes], journal_of: JournalOf
) -> None:
    for end in (0, 1, 40, 80, 90, len(lines)):
        journal = journal_of(lines[:end])
        fold = Fold()
        for one in lines[:end]:
            fold.apply(json.loads(one))
        assert journal.load().state == fold.state
        assert (journal.next, journal.epoch) == (
            end,
            max((json.loads(one)["epoch"] for one in lines[:end]), default=0),
        )


def test_a_value_that_looks_like_a_snapshot_is_none(journal_of: JournalOf, tmp_path: Path) -> None:
    journal = journal_of([])
    journal.open()
    body = {"at": [], "machine": "m", "from": "A", "visit": 1}
    journal.append({"kind": "once", **body, "key": "k", "value": {"snapshot": {"n": 0}}})
    journal.close()
    fold = Journal(LocalRun(tmp_path / "r")).load()
    assert fold.state["n"] == 1
    assert fold.root


# The header


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": "new"}', b"\xff", b'{"format": null}'])
def test_a_header_that_is_none_is_told(content: bytes, tmp_path: Path) -> None:
    LocalRun(tmp_path / "r").write_header(content)
    with pytest.raises(JournalDamaged, match=r"run\.json is not the header of a run .* --fresh"):
        Journal(LocalRun(tmp_path / "r")).header()


def test_a_run_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    LocalRun(tmp_path / "r").write_header(b'{"format": 99}')
    with pytest.raises(NewerFormat, match="was written in format 99; this version reads up to 1") as e:
        Journal(LocalRun(tmp_path / "r")).header()
    assert e.value.exit_code == 2


def test_a_run_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoSuchRun, match="There is no run r"):
        Journal(LocalRun(tmp_path / "r")).header()


# Writing


class Rival(LocalRun):
    """A store in which another writer has put a claim at number 2."""

    line = encode({"seq": 2, "writer": "other-1", "epoch": 7})

    def append(self, seq: int, line: bytes) -> None:
        if seq == 2:
            raise Taken(seq, self.line)
        super().append(seq, line)

    def check(self, seq: int) -> None:
        if seq == 2:
            raise Taken(seq, self.line)


def rival(tmp_path: Path) -> Journal:
    run = Rival(tmp_path / "r")
    run.write_header(b'{"format": 1}')
    journal = Journal(run)
    journal.open()
    journal.append(
        {"kind": "once", "at": [], "machine": "m", "from": "A", "visit": 1, "key": "k", "value": 1}
    )
    return journal


def test_a_replaced_writer_is_told_by_whom_and_writes_nothing_more(tmp_path: Path) -> None:
    journal = rival(tmp_path)
    with pytest.raises(RunReplaced, match=r"taken over by other-1 at record 2 \(epoch 7\)") as e:
        journal.append(CLAIM)
    assert e.value.exit_code == 3
    with pytest.raises(StoreError, match="nothing more can be added from here"):
        journal.append(CLAIM)


def test_before_an_effect_a_replaced_writer_finds_out(tmp_path: Path) -> None:
    with pytest.raises(RunReplaced, match="other-1"):
        rival(tmp_path).check_claim()


def test_the_effects_of_a_replaced_runner_do_not_happen(tmp_path: Path) -> None:
    class Replaced(LocalRun):
        def check(self, seq: int) -> None:
            raise Taken(seq, Rival.line)

    begin(tmp_path / "r")
    journal = Journal(Replaced(tmp_path / "r"))
    world = World(mended=True)
    with pytest.raises(RunReplaced):
        Runner(program(world), LocalRun(tmp_path / "r"), journal, journal.open(), seed=7).drive()
    records = [decode(one, "here") for one in LocalRun(tmp_path / "r").records()]
    assert not any(r.get("from") == "Ship" for r in records)
    assert records[-1]["from"] == "Packing"
    journal.close()
    attempt(tmp_path / "r", world)


def test_after_a_record_that_was_not_acknowledged_nothing_more_is_added(tmp_path: Path) -> None:
    class Full(LocalRun):
        def append(self, seq: int, line: bytes) -> None:
            if seq == 1:
                raise StoreError("full")
            super().append(seq, line)

    run = Full(tmp_path / "r")
    run.write_header(b'{"format": 1}')
    journal = Journal(run)
    journal.open()
    for message in ("full", "was not acknowledged"):
        with pytest.raises(StoreError, match=message):
            journal.append(CLAIM)


def test_secrets_do_not_reach_a_record(tmp_path: Path) -> None:
    run = LocalRun(tmp_path / "r")
    run.write_header(b'{"format": 1}')
    journal = Journal(run, redact=lambda text: text.replace("hunter2", "***"))
    journal.open()
    journal.append(
        {"kind": "once", "at": [], "machine": "m", "from": "A", "visit": 1, "key": "k", "value": "hunter2"}
    )
    journal.close()
    assert b"hunter2" not in run.journal.read_bytes()
    assert [r["seq"] for r in Journal(LocalRun(tmp_path / "r")).records()] == [0, 1]


def test_every_error_of_the_journal_has_a_number_of_its_own() -> None:
    errors = [JournalDamaged, NewerFormat, NoSuchRun, RunReplaced, StoreError]
    assert len({e.code for e in errors}) == len(errors)
    assert all(issubclass(e, FsmError) for e in errors)
