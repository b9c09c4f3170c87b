"""Every face shows what goes at once as such: several active states, in the journal as in what the runner says meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fsm.engine.turns import in_rotation
from fsm.journal import Fold, Journal, stack_of, where
from fsm.view.projection import Projection, flat
from fsm.view.report import say_now
from fsm.view.rows import what
from fsm.view.timeline import Timeline
from fsm.view.tree import UNICODE, Frame, tree
from tests.fsm.engine.lines import begun, driven, machines, works


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    run = begun(tmp_path_factory.mktemp("views") / "r")
    driven(run, works(), in_rotation())
    return list(Journal(run).records())


def until(told: list[dict[str, Any]], here: Any) -> tuple[Projection, Fold]:
    """A run as it stood when `here` held of its projection first."""
    projection, fold = Projection(machines()), Fold()
    projection.name = "r"
    for record in told:
        projection.apply(record)
        fold.apply(record)
        if here(projection):
            return projection, fold
    raise AssertionError("it was never so")


def test_the_projection_stands_where_the_fold_does_at_every_record(told: list[dict[str, Any]]) -> None:
    projection, fold = Projection(machines()), Fold()
    for record in told:
        projection.apply(record)
        fold.apply(record)
        assert [(lv.machine, list(lv.place)) for lv in projection.stack()] == stack_of(fold), record
        assert projection.place == where(fold)


def test_branches_at_once_are_active_at_once(told: list[dict[str, Any]]) -> None:
    projection, _ = until(told, lambda p: p.place.count("|") == 3)
    states = projection.states("works")
    active = [
        path
        for path, view in states.items()
        if view.active and not projection.machines["works"].chart.states[path].composite
    ]
    assert len(active) == 4
    assert {path.split(".")[1] for path in active} == {"region1", "region2", "region3"}
    assert projection.place == f"({' | '.join(active)})"


def test_items_at_once_stand_below_the_state_that_maps_them(told: list[dict[str, Any]]) -> None:
    projection, _ = until(told, lambda p: p.place.startswith("Ship > ("))
    assert projection.place in {"Ship > (Hold | Rasp)", "Ship > (Rasp | Rasp)", "Ship > (Rasp | Hold)"}
    assert {lv.machine for lv in projection.stack()} == {"works", "bench"}


def test_the_tree_has_a_branch_of_its_own_for_each(told: list[dict[str, Any]]) -> None:
    projection, _ = until(told, lambda p: p.place.count("|") == 3)
    lines = [line.plain for line in tree(projection, Frame(projection.latest, 100, 60))]
    at_work = [line.split()[1] for line in lines if line.strip() and line.strip()[0] in UNICODE.spinner]
    assert {"Hall", "Both", "Left", "Right"} <= set(at_work)
    assert {"Cut", "File"} & set(at_work)


def test_what_the_runner_says_of_each_line_is_shown_with_it(told: list[dict[str, Any]]) -> None:
    projection, _ = until(told, lambda p: p.place == "(Paint | Pack)")
    beside = [
        {
            "entered": {
                "at": [f"Split~|{name}"],
                "machine": "works",
                "state": name,
                "visit": 1,
                "time": 1.0 * n,
            },
            "progress": {"state": name, "done": n, "total": 9},
        }
        for n, name in enumerate(("Paint", "Pack"), 1)
    ]
    say_now(projection, {"status": "running", "entered": beside[0]["entered"], "beside": beside})
    assert [(lv.state, lv.progress and lv.progress.done) for lv in projection.stack()] == [
        ("Paint", 1),
        ("Pack", 2),
    ]


def test_the_history_tells_where_they_part_and_meet(told: list[dict[str, Any]]) -> None:
    rows = [flat(r) for r in told]
    assert next(what(r) for r in rows if r["kind"] == "split" and r["from"] == "Hall") == (
        "at once: region1, region2, region3"
    )
    assert "at once: 7 items through bench" in [what(r) for r in rows if r["kind"] == "split"]
    assert "all branches have joined -> Ship" in [what(r) for r in rows if r["kind"] == "join"]
    assert {r.get("branch") for r in rows} >= {None, "region1", "region2 > region1", "Paint"}
    assert "Ship[3]" in {r["place"].split(" > ")[0] for r in rows if r["kind"] == "transition"}


def test_a_timeline_tells_any_moment_as_it_was(told: list[dict[str, Any]]) -> None:
    timeline, whole = Timeline(machines()), Projection(machines())
    timeline.read(told)
    for record in told:
        whole.apply(record)
        if record["seq"] % 17 == 0:
            assert timeline.at(record["seq"]).durable() == whole.durable()
    assert any(level.get("beside") for r in told[::5] for level in timeline.keyframe(r["seq"])["stack"])


def test_edges_left_with_a_split_are_counted(told: list[dict[str, Any]], tmp_path: Path) -> None:
    projection, chart = Projection(machines()), machines()["works"].chart
    projection.read(told)
    taken = {edge.id: projection.taken("works", edge) for edge in chart.edges}
    assert taken["Split --> Paint"] == taken["Split --> Pack"] == 2
    assert taken["Hall --> Split : ordered"] == 2
    assert taken["Ship --> [*] : shipped"] == 1
