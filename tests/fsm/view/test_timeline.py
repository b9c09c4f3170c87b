"""The timeline says of any moment what a projection of the journal cut there says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm.engine import Machine
from fsm.errors import ConfigError
from fsm.journal import Journal
from fsm.store.local import LocalRun
from fsm.view import timeline as timelines
from fsm.view.projection import Projection
from fsm.view.timeline import NEVER, Timeline, state_json
from tests.fsm import synthetic
from tests.fsm.drawn import drawn


def assigned(page: dict[str, Any], change: dict[str, Any]) -> None:
    """What a page's script does with a change."""
    for machine, told in change.get("m", {}).items():
        of = page["m"].setdefault(machine, {"s": {}, "e": {}})
        of["s"].update(told.get("s", {}))
        of["e"].update(told.get("e", {}))
    page["stack"] = change.get("stack", page["stack"])
    page["facts"].update(change.get("facts", {}))
    page["seq"], page["t"] = change["seq"], change["t"]


def shown(page: dict[str, Any]) -> dict[str, Any]:
    """Without what says nothing."""
    machines = {
        name: {
            "s": {p: s for p, s in of["s"].items() if s != NEVER},
            "e": {e: n for e, n in of["e"].items() if n},
        }
        for name, of in page["m"].items()
    }
    return page | {"m": {name: of for name, of in machines.items() if of["s"] or of["e"]}}


def projected(machines: dict[str, Machine], records: list[dict[str, Any]]) -> dict[str, Any]:
    """States and edges of a projection of the records alone."""
    p = Projection(machines)
    p.read(records)
    said = {}
    for name in {*machines, *p.tallies, *p.edges, *p.standing()}:
        states = {path: state_json(view) for path, view in p.states(name).items()}
        states = {path: state for path, state in states.items() if state != NEVER}
        edges = machines[name].chart.edges if name in machines else ()
        taken = {edge.id: n for edge in edges if (n := p.taken(name, edge))}
        if name not in machines:
            taken = dict(p.edges.get(name, {}))
        if states or taken:
            said[name] = {"s": states, "e": taken}
    return said


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timelines, "CHUNK", 16)


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A run that has everything, killed now and then, so that it has claims and repetitions."""
    directory = tmp_path_factory.mktemp("works") / "run"
    synthetic.begin(directory)
    deaths: Iterator[synthetic.Death] = iter(
        [synthetic.Death(9, "after"), synthetic.Death(20, "before"), synthetic.Death(41, "torn")]
    )
    synthetic.finish(directory, synthetic.World(), deaths)
    return list(Journal(LocalRun(directory)).records())


@pytest.mark.parametrize("known", [True, False])
def test_a_page_that_assigns_the_changes_shows_what_a_projection_cut_there_says(
    works: list[dict[str, Any]], known: bool
) -> None:
    machines = synthetic.MACHINES if known else {}
    timeline = Timeline(machines)
    timeline.read(works)
    assert len(works) > 3 * timelines.CHUNK
    seen = 0
    for chunk in timeline.chunks():
        loaded = json.loads(chunk)
        page = loaded["key"]
        for change in loaded["changes"]:
            assigned(page, change)
            assert change["seq"] == seen
            seen += 1
            assert shown(page)["m"] == projected(machines, works[:seen])
            assert shown(page) == shown(json.loads(json.dumps(timeline.keyframe(change["seq"]))))
    assert seen == len(works)


def test_edges_of_forks_and_edges_drawn_a_second_time_are_counted_where_a_projection_counts_them() -> None:
    text = """
        [*] --> Setup
        state Setup {
            [*] --> Check
            Check --> Left : half
            Check --> Right : other half
            Left --> Meet
            Right --> Meet
            Meet --> Read
        }
        Setup --> Load
        state Load {
            Read --> [*]
        }
        Load --> Setup : again
        Load --> [*] : enough
    """
    machine = drawn(text, "m", forks=("Check",), exits={}, bounds={("Load", "again"): "two"})
    assert [e.id for e in machine.chart.edges if e.seen_outside] == ["Setup --> Load"]
    records = [
        {"seq": seq, "kind": "transition", "time": float(seq), "took": 1.0, "at": [], "machine": "m", "from": source,
         "visit": 1, "to": to, "label": None, **({"place": place} if place else {})}
        for seq, (source, to, place) in enumerate(
            [("Setup.Check", ["Setup.Left", "Setup.Right"], None),
             ("Setup.Left", ["Setup.Meet", "Setup.Right"], ["Setup.Left", "Setup.Right"]),
             ("Setup.Right", ["Setup.Meet"], None),
             ("Setup.Meet", ["Load.Read"], None)]
        )
    ]  # fmt: skip
    timeline = Timeline({"m": machine})
    timeline.read(records)
    loaded = json.loads(timeline.chunk(0))
    page = loaded["key"]
    for number, change in enumerate(loaded["changes"]):
        assigned(page, change)
        assert shown(page)["m"] == projected({"m": machine}, records[: number + 1])
    assert page["m"]["m"]["e"] == {
        "Setup.Check --> Setup.Left : half": 1,
        "Setup.Check --> Setup.Right : other half": 1,
        "Setup.Left --> Setup.Meet": 1,
        "Setup.Right --> Setup.Meet": 1,
        "Setup.Meet --> Load.Read": 1,
        "Setup --> Load": 1,
    }
    assert page["m"]["m"]["s"]["Setup"] == {
        "look": "visited",
        "visits": 1,
        "seconds": 4.0,
        "seen": 4,
        "inside": 4,
    }


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_moment_is_the_projection_of_the_journal_cut_there(
    data: st.DataObject, works: list[dict[str, Any]]
) -> None:
    length = data.draw(st.integers(0, len(works)))
    timeline = Timeline(synthetic.MACHINES)
    timeline.read(works[:length])
    seq = data.draw(st.integers(-1, length - 1))
    alone = Projection(synthetic.MACHINES)
    alone.read(works[: seq + 1])
    then = timeline.at(seq)
    assert then.durable() == alone.durable()
    assert then.stack() == alone.stack()
    assert timeline.projection.records == length  # the present is as it was


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    preheats=st.integers(1, 4),
    loaves=st.integers(0, 7),
    mishap=st.sampled_from(["", "Burnt", "NoGas", "Unknown"]),
)
def test_who_looks_on_and_who_comes_later_are_told_the_same(
    bakeries: Callable[[], Any], quiet: Any, preheats: int, loaves: int, mishap: str
) -> None:
    bakery = bakeries()
    said = {"preheats": preheats, "loaves": loaves, "mishap": mishap}
    while bakery.run(logger=quiet, **said).outcome == "stopped":
        pass
    machines = bakery.config(**said).program.machines
    live, heard = Timeline(machines), []
    records = list(Journal(LocalRun(Path(bakery.directory) / "runs" / "bread")).records())
    for record in records:
        live.apply(record)
        heard += live.since(live.last - 1)
    later = Timeline(machines)
    later.read(records)
    assert heard == later.since(-1)
    assert list(live.chunks()) == list(later.chunks())


def test_what_the_runner_says_between_two_records_lies_over_the_newest_and_is_in_none(
    bakery: Any, quiet: Any
) -> None:
    machines = bakery.config().program.machines
    timeline = Timeline(machines)
    assert timeline.now() == {"stack": [], "m": {}}
    timeline.projection.entered([], "bakery", "Bake", 1, 5.0)
    timeline.projection.entered(["Bake"], "oven", "Preheat", 1, 6.0)
    timeline.projection.progress(["Bake"], "Preheat", 3, 10, "degrees")
    now = timeline.now()
    assert [(level["machine"], level["state"]) for level in now["stack"]] == [
        ("bakery", "Bake"),
        ("oven", "Preheat"),
    ]
    assert now["stack"][1]["progress"] == {"done": 3, "total": 10, "note": "degrees"}
    looks = {(m, p): s["look"] for m, of in now["m"].items() for p, s in of["s"].items()}
    assert looks == {("bakery", "Bake"): "active", ("bakery", "Bake.Heat"): "active", ("oven", "Preheat"): "active"}  # fmt: skip
    assert timeline.keyframe(-1)["m"] == {}


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_moment_is_its_keyframe_with_the_newest_rows_whatever_was_asked_before(
    data: st.DataObject, works: list[dict[str, Any]]
) -> None:
    timeline = Timeline(synthetic.MACHINES)
    timeline.read(works)
    everything = timeline.since(-1)
    for _ in range(data.draw(st.integers(1, 4))):
        seq = data.draw(st.integers(-1, len(works) - 1))
        moment = json.loads(timeline.moment(seq))
        assert moment["key"] == json.loads(json.dumps(timeline.keyframe(seq)))
        assert moment["rows"] == [change["row"] for change in everything[max(0, seq - 11) : seq + 1]]
        assert timeline.since(seq) == everything[seq + 1 :]
        time = works[seq]["time"] if seq >= 0 else works[0]["time"] - 1
        assert timeline.before(time) == sum(record["time"] <= time for record in works) - 1
        assert timeline.marks_after(seq) == [m for m in timeline.index()["marks"] if m[0] > seq]


def test_what_is_beyond_the_records_is_refused_with_their_numbers(works: list[dict[str, Any]]) -> None:
    timeline = Timeline()
    with pytest.raises(ConfigError, match="has no record 0; it has no record yet"):
        timeline.at(0)
    timeline.projection.name = "w"
    timeline.read(works[:20])
    for seq in (20, -2):
        with pytest.raises(ConfigError, match=f"Run w has no record {seq}; it has records 0 to 19"):
            timeline.at(seq)


def test_the_index_points_out_claims_and_errors(works: list[dict[str, Any]]) -> None:
    timeline = Timeline()
    timeline.read(works)
    index = timeline.index()
    assert index["records"] == len(works)
    assert [kind for _, kind in index["marks"]] == [
        r["kind"] for r in works if r["kind"] in ("claim", "error")
    ]
    assert index["times"] == [works[i]["time"] for i in range(0, len(works), 16)]
