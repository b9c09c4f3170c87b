"""State is the fold of the records, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm.journal import Fold, new_frame, stack_of
from tests.fsm.synthetic import World, begin, finish, told

Records = list[dict[str, Any]]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """What the works did."""
    directory = tmp_path_factory.mktemp("fold") / "r"
    begin(directory)
    finish(directory, World())
    return told(directory)


def bare(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k != "snapshot"}


def transition(state: str, to: list[str], at: list[str] | None = None, **more: Any) -> dict[str, Any]:
    fixed = {"kind": "transition", "at": at or [], "machine": "m", "from": state, "visit": 1, "label": None}
    return {**fixed, "to": to, **more}


def folded(*records: dict[str, Any]) -> Fold:
    return Fold.of(records)


def root(fold: Fold) -> dict[str, Any]:
    assert fold.root
    return fold.root


# Laws


def test_a_snapshot_anywhere_changes_nothing(records: Records) -> None:
    whole = Fold.of(map(bare, records)).state
    for cut in range(len(records)):
        before = Fold.of(map(bare, records[: cut + 1]))
        with_snapshot = [
            {**bare(records[cut]), "snapshot": before.snapshot()},
            *map(bare, records[cut + 1 :]),
        ]
        assert Fold.of(with_snapshot).state == whole


def test_the_snapshots_that_a_run_wrote_are_the_fold_of_what_came_before(records: Records) -> None:
    carrying = [i for i, r in enumerate(records) if "snapshot" in r]
    assert carrying
    for i in carrying:
        assert Fold.of(map(bare, records[: i + 1])).state == records[i]["snapshot"]


def test_claims_change_nothing(records: Records) -> None:
    claim = {"kind": "claim", "host": "h", "pid": 1}
    claimed = [r for record in records for r in (claim, bare(record), claim)]
    assert Fold.of(claimed).state == Fold.of(map(bare, records)).state


def test_the_state_is_json_and_the_records_stay_as_they_are(records: Records) -> None:
    before = json.dumps(records)
    fold = Fold.of(map(bare, records))
    assert json.loads(json.dumps(fold.state)) == fold.state
    assert json.dumps(records) == before


def test_nothing_stays_open_at_the_end(records: Records) -> None:
    fold = Fold.of(records)
    assert root(fold)["open"] == {}
    assert root(fold)["place"] == []
    assert stack_of(fold) == []


# Kinds


def test_a_transition_moves_counts_and_keeps_what_was_left() -> None:
    fold = folded(
        transition("A", ["B"], label="go", data={"set": {"x": 1, "y": 2}}),
        transition("B", ["A"], data={"set": {"x": 3}, "drop": ["y"]}),
        transition("A", [], end={"outcome": "done", "label": None, "last": "A"}),
    )
    frame = root(fold)
    assert frame["visits"] == {"A": 2, "B": 1}
    assert frame["data"] == {"x": 3}
    assert (frame["last"], frame["label"], frame["place"]) == ("A", None, [])
    assert fold.ended == {"outcome": "done", "label": None, "last": "A"}
    assert fold.state["n"] == 3


def test_the_newest_artifact_of_a_name_counts() -> None:
    one, two = ({"f": {"sha256": c * 64, "size": 1}} for c in "ab")
    assert folded(transition("A", ["B"], files=one), transition("B", [], files=two)).files == two


def test_what_a_state_began_goes_when_it_is_left() -> None:
    once = {"kind": "once", "at": [], "machine": "m", "from": "A", "visit": 1, "key": "k", "value": [1]}
    fold = folded(once)
    assert root(fold)["open"]["A"]["once"] == {"k": [1]}
    fold.apply(transition("A", ["B"]))
    assert root(fold)["open"] == {}


def test_a_machine_below_begins_with_its_first_record() -> None:
    fold = folded(transition("A", ["B"]), transition("X", ["Y"], at=["B"]), transition("X", [], at=["B~1"]))
    assert stack_of(fold) == [("m", ["B"]), ("m", ["Y"])]
    assert (fold.frame(["B~1"]) or {})["place"] == []
    assert fold.frame(["B~2"]) is None
    assert fold.frame(["C", "D"]) is None


def test_a_machine_that_called_before_it_wrote_is_told_of_from_below() -> None:
    live = Fold()
    live.begin([], new_frame("root", ["A", "B"]))
    live.begin(["A"], new_frame("mid", ["M"]))
    live.begin(["A", "M"], new_frame("m", ["X"]))
    first = transition("X", ["Y"], at=["A", "M"], above=live.begun_above(["A", "M"]))
    assert [a["machine"] for a in first["above"]] == ["root", "mid"]
    live.apply(first)
    assert live.begun_above(["A", "M"]) == []
    assert folded(json.loads(json.dumps(first))).state == live.state


def test_the_visits_of_all_states_above_tell_two_visits_apart() -> None:
    fold = folded(transition("A", ["A"]), transition("X", ["X"], at=["A"]))
    assert fold.visited(["A", "X"]) == "A#2/X#2"
    assert fold.visited([]) == ""


def error(**more: Any) -> dict[str, Any]:
    fixed = {
        "kind": "error",
        "at": [],
        "machine": "m",
        "from": "A",
        "visit": 1,
        "error": "E",
        "message": "why",
    }
    return {**fixed, "recovery": "Bad", "by": "mend", "traceback": "", **more}


def verdict(**more: Any) -> dict[str, Any]:
    fixed = {"kind": "verdict", "at": [], "machine": "m", "from": "A", "visit": 1, "verdict": "again"}
    return {**fixed, "last": "Last", **more}


def test_an_error_enters_the_recovery_machine_with_all_that_is_known() -> None:
    fold = folded(transition("Z", ["A"], data={"set": {"x": 1}}), error(item="i"))
    below = fold.frame(["A~!"]) or {}
    assert (below["machine"], below["place"]) == ("mend", ["Bad"])
    assert below["data"]["error"] == {
        "entry": "Bad",
        "machine": "m",
        "state": "A",
        "error": "E",
        "message": "why",
        "item": "i",
        "attempt": 0,
        "data": {"x": 1},
    }


def test_the_attempts_of_one_kind_of_error_are_counted() -> None:
    fold = folded(error(), verdict(), error(), verdict(), error())
    assert (fold.frame(["A~!"]) or {})["data"]["error"]["attempt"] == 2
    assert root(fold)["open"]["A"]["tries"] == {"Bad": 3}
    assert root(fold)["open"]["A"]["failures"] == 3


def test_a_verdict_patches_skips_and_lets_the_state_start_again() -> None:
    fold = folded(
        transition("Z", ["A"]),
        {"kind": "once", "at": [], "machine": "m", "from": "A", "visit": 1, "key": "k", "value": 1},
        transition("X", ["Y"], at=["A"]),
        error(),
        verdict(verdict="skip", patch={"size": 4}, skipped={"i": "why"}),
    )
    here = root(fold)["open"]["A"]
    assert here["calls"] == {}
    assert here["once"] == {"k": 1}  # what was paid is not paid again
    assert here["skipped"] == {"i": "why"}
    assert root(fold)["data"] == {"size": 4}


def test_a_stop_forgets_the_attempts_and_may_leave_a_state_above() -> None:
    leave = {"at": [], "state": "A", "label": "bad"}
    fold = folded(
        transition("Z", ["A"]),
        error(at=["A"], **{"from": "X"}),
        verdict(at=["A"], verdict="stop", leave=leave, **{"from": "X"}),
    )
    assert root(fold)["open"]["A"]["leave"] == "bad"
    assert (fold.frame(["A"]) or {})["open"]["X"]["tries"] == {}


def test_an_error_within_a_recovery_gives_the_state_back_as_it_was() -> None:
    fold = folded(transition("Z", ["A"]), error(), error(at=["A~!"], recovery=None, **{"from": "Bad"}))
    assert root(fold)["open"] == {}
    assert fold.frame(["A~!"]) is None


def test_an_empty_journal_is_a_run_that_has_not_begun(tmp_path: Path) -> None:
    assert Fold.of([]).state == {"n": 0, "files": {}, "root": None, "ended": None}
