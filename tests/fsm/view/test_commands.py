"""`fsm status`, `history` and `runs` say where runs stand, for people and for programs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fsm import cli
from fsm.store.local import LocalStore


@pytest.fixture
def fsm(bakery: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command line on the bakery's store; returns what it printed."""

    def call(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert cli.main([*words, "--store", bakery.store]) == code
        return capsys.readouterr().out

    return call


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def standing_in_deliver(bakery: Any, quiet: Any, **van: Any) -> Iterator[None]:
    """While inside, a run waits for its van, which has not begun; it ends when the van's run is over."""
    thread = threading.Thread(target=bakery.run, kwargs={"logger": quiet, "follow": "van"}, daemon=True)
    thread.start()
    run = LocalStore(bakery.directory).run("bread")
    while b'"to":["Deliver"]' not in b"".join(run.records()):
        time.sleep(0.01)
    try:
        yield
    finally:
        bakery.run("van", "oven", logger=quiet, **van)
        thread.join(10)
        assert not thread.is_alive()


def test_the_status_of_a_run_that_is_done(bakery: Any, fsm: Any, quiet: Any) -> None:
    bakery.run(logger=quiet, mishap="Burnt")
    said = json.loads(fsm("status", "bread", "--json"))
    assert said["run"] == "bread"
    assert said["machine"] == "bakery"
    assert (said["status"], said["label"], said["last"]) == ("done", "Delivered", "Deliver")
    assert (said["place"], said["stack"], said["runner"], said["watching"]) == ("", [], None, None)
    assert (said["errors"], said["artifacts"], said["missing"]) == (1, 1, 0)
    assert [row["seq"] for row in said["recent"]] == list(range(said["records"]))[-12:]
    assert "complete" in said["next"]
    text = fsm("status", "bread")
    assert "done by 'Delivered', after Deliver" in text
    assert "1 errors" in text


def test_the_status_of_a_run_that_stopped_says_where_why_and_what_to_do(
    bakery: Any, fsm: Any, quiet: Any
) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    said = json.loads(fsm("status", "bread", "--json"))
    assert said["status"] == "stopped"
    assert said["place"] == "Bake > CheckTemperature"
    assert [(level["machine"], level["state"]) for level in said["stack"]] == [
        ("bakery", "Bake"),
        ("oven", "CheckTemperature"),
    ]
    assert said["stack"][0]["overview"] == ["Heat"]
    assert said["stopped"] == "the recovery ended at Mishaps.CallThePlumber"
    text = fsm("status", "bread")
    assert "stands in Bake (Heat)" in text
    assert "> CheckTemperature" in text
    assert "Give the command that began it again (`fsm run CONFIG --run bread`)" in text


def test_the_status_of_a_run_that_failed_is_failed(bakery: Any, fsm: Any, quiet: Any) -> None:
    bakery.run(logger=quiet, flour=False)
    said = json.loads(fsm("status", "bread", "--json"))
    assert (said["status"], said["label"]) == ("failed", "No flour")
    assert "--fresh" in said["next"]


def test_the_status_of_a_run_in_progress_names_its_runner_and_the_run_it_follows(
    bakery: Any, fsm: Any, quiet: Any
) -> None:
    bakery.run("van", "oven", logger=quiet, mishap="NoGas")  # it has begun, and has stopped
    with standing_in_deliver(bakery, quiet, mishap="NoGas"):
        run = LocalStore(bakery.directory).run("bread")
        live = run.read_live()
        assert live is not None
        run.write_live(live | {"watching": "van"})  # as its next heartbeat would
        said = json.loads(fsm("status", "bread", "--json"))
        assert said["status"] == "running"
        assert said["runner"]["pid"] == live["pid"]
        assert said["place"] == "Deliver"
        assert (said["watching"]["run"], said["watching"]["status"]) == ("van", "stopped")
        assert said["watching"]["place"] == "CheckTemperature"
        text = fsm("status", "bread")
        assert f"process {live['pid']} on {live['host']}" in text
        assert (
            text.index("stands in Deliver") < text.index("follows") < text.index("stands in CheckTemperature")
        )
        assert lines(fsm("runs", "--json"))[0]["status"] == "running"


def test_what_the_runner_said_last_is_shown_unless_the_journal_has_gone_on(
    bakery: Any, fsm: Any, quiet: Any
) -> None:
    with standing_in_deliver(bakery, quiet):
        run = LocalStore(bakery.directory).run("bread")
        live = run.read_live()
        assert live is not None
        entered = {"at": [], "machine": "bakery", "state": "Deliver", "visit": 1, "time": 12.0}
        progress = {"state": "Deliver", "done": 3, "total": 4, "note": "miles"}
        run.write_live(live | {"entered": entered, "progress": progress})
        (level,) = json.loads(fsm("status", "bread", "--json"))["stack"]
        assert level["progress"] == {"done": 3, "total": 4, "note": "miles"}
        assert "3 of 4 miles" in fsm("status", "bread")
        for stale in (
            entered | {"state": "Bake"},
            entered | {"at": ["Bake"], "machine": "oven", "state": "Preheat"},
            entered | {"visit": 2},
        ):
            run.write_live(live | {"entered": stale, "progress": progress | {"state": stale["state"]}})
            said = json.loads(fsm("status", "bread", "--json"))
            assert said["place"] == "Deliver"
            assert "progress" not in said["stack"][0]


def test_records_that_are_known_to_have_been_written_and_are_not_there_are_missed(
    bakery: Any, fsm: Any, quiet: Any
) -> None:
    bakery.run(logger=quiet)
    journal = Path(bakery.directory, "runs/bread/journal.jsonl")
    kept = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(kept[:-2]))
    said = json.loads(fsm("status", "bread", "--json"))
    assert (said["missing"], said["records"]) == (2, len(kept) - 2)
    assert "fsm audit bread" in said["next"]
    assert f"2 records are missing: the runner has written {len(kept)}" in fsm("status", "bread")


def test_the_history_has_one_line_a_record_with_places_labels_and_digests(
    bakery: Any, fsm: Any, quiet: Any
) -> None:
    bakery.run(logger=quiet, mishap="Burnt")
    rows = lines(fsm("history", "bread", "--json"))
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert [(row["place"], row["label"]) for row in rows if row["kind"] == "transition"] == [
        ("Prepare.Weigh", "Flour found"),
        ("Prepare.Knead", "Dough risen"),
        ("Bake > Preheat", None),
        ("Bake > CheckTemperature > Mishaps.Burnt", "Let the smoke out"),
        ("Bake > CheckTemperature > Mishaps.OpenWindow", None),
        ("Bake > CheckTemperature > Mishaps.TryAgain", None),
        ("Bake > CheckTemperature", "Too cold"),
        ("Bake > Preheat", None),
        ("Bake > CheckTemperature", "Hot enough"),
        ("Bake > Loaves", None),
        ("Bake > TakeOut", None),
        ("Bake > CoolBread", None),
        ("Bake > CleanOven", None),
        ("Bake", "Bread baked"),
        ("Deliver", "Delivered"),
    ]
    (kneaded,) = (row for row in rows if row.get("from") == "Prepare.Knead")
    digest = kneaded["artifacts"]["dough.txt"]
    assert Path(bakery.directory, "runs/bread/artifacts", digest).read_text() == "flour, water, salt"
    (error,) = (row for row in rows if row["kind"] == "error")
    assert (error["error"], error["message"], error["recovery"]) == ("Mishap", "Burnt", "Mishaps.Burnt")
    (verdict,) = (row for row in rows if row["kind"] == "verdict")
    assert (verdict["verdict"], verdict["last"]) == ("again", "Mishaps.TryAgain")


def test_the_history_as_a_table_is_aligned(bakery: Any, fsm: Any, quiet: Any) -> None:
    bakery.run(logger=quiet, mishap="Burnt")
    table = fsm("history", "bread").splitlines()
    place, what = table[0].index("PLACE"), table[0].index("WHAT")
    assert all(line[place - 2 : place] == "  " and line[what - 2 : what] == "  " for line in table)
    assert any(line[what:].startswith("Dough risen -> Bake  + 1 artifact") for line in table)
    assert any(line[what:].startswith("Mishap: Burnt; enters Mishaps.Burnt") for line in table)
    assert any(line[what:].startswith("again, after Mishaps.TryAgain") for line in table)


def test_runs_lists_the_runs_newest_first_and_says_what_is_wrong_with_one(
    bakery: Any, fsm: Any, quiet: Any
) -> None:
    bakery.run(logger=quiet)
    bakery.run("torn", logger=quiet, flour=False)
    Path(bakery.directory, "runs/torn/run.json").write_text("{}")
    bakery.run("van", "oven", logger=quiet, mishap="NoGas")
    rows = lines(fsm("runs", "--json"))
    assert [row["run"] for row in rows] == ["van", "bread", "torn"]
    van, bread, torn = rows
    assert (van["status"], van["place"], van["machine"]) == ("stopped", "CheckTemperature", "oven")
    assert (bread["status"], bread["place"], bread["label"]) == ("done", "Deliver", "Delivered")
    assert bread["records"] == 13
    assert bread["age"] >= 0
    assert "not the header of a run" in torn["problem"]
    text = fsm("runs")
    assert "unreadable" in text
    assert "Deliver (Delivered)" in text


def test_a_store_without_runs_says_how_to_begin_one(fsm: Any) -> None:
    assert "fsm run CONFIG" in fsm("runs")
    assert fsm("runs", "--json") == ""


def test_a_run_that_is_not_there_is_bad_input(fsm: Any) -> None:
    assert json.loads(fsm("status", "nobody", "--json", code=2))["code"] == "F402"
    fsm("history", "nobody", code=2)


def test_a_run_whose_machines_are_not_installed_here_can_still_be_read(
    bakery: Any, fsm: Any, quiet: Any
) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    header = Path(bakery.directory, "runs/bread/run.json")
    header.write_text(header.read_text().replace("toys.machines", "nowhere.machines"))
    said = json.loads(fsm("status", "bread", "--json"))
    assert said["place"] == "Bake > CheckTemperature"
    assert "overview" not in said["stack"][0]
