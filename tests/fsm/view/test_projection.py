"""The projection says what the journal says, and no more than the journal once a record is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm.engine import Nobody
from fsm.journal import Fold, Journal, Watch, stack_of
from fsm.store import RunStore
from fsm.store.local import LocalStore
from fsm.view.projection import Projection, flat
from fsm.view.rows import what


class Both(Nobody):
    """Feeds one projection as the runner goes, and holds it against one of the records alone after each of them."""

    def __init__(self, machines: Mapping[str, Any]) -> None:
        self.live = Projection(machines)
        self.machines = machines
        self.records: list[dict[str, Any]] = []
        self.fold = Fold()

    def opened(self, run: RunStore, records: int) -> None:
        new = list(islice(Journal(run).records(), len(self.records), records))
        assert [record["kind"] for record in new] == ["claim"]
        for record in new:
            self.record(record)

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        self.live.entered(at, machine, state, visit, time.time())
        level = next(level for level in self.live.stack() if level.at == tuple(at))
        assert (level.machine, level.state, level.visit) == (machine, state, visit)

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        self.live.progress(at, state, done, total, note)
        assert self.live.stack()[-1].progress is not None

    def record(self, record: Mapping[str, Any]) -> None:
        self.records.append(dict(record))
        self.live.apply(record)
        alone = Projection(self.machines)
        for made in self.records:
            alone.apply(made)
        assert alone.durable() == self.live.durable()
        self.fold.apply(dict(record))
        standing = [(level.machine, list(level.place)) for level in alone.stack()]
        assert standing == stack_of(self.fold)
        assert [(lv.machine, list(lv.place)) for lv in self.live.stack()][: len(standing)] == standing


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    preheats=st.integers(1, 4),
    loaves=st.integers(0, 7),
    flour=st.booleans(),
    mishap=st.sampled_from(["", "Burnt", "NoGas", "Unknown"]),
)
def test_what_was_watched_live_and_what_is_read_from_the_journal_are_the_same(
    bakeries: Callable[[], Any], quiet: Any, preheats: int, loaves: int, flour: bool, mishap: str
) -> None:
    bakery = bakeries()
    said = {"preheats": preheats, "loaves": loaves, "flour": flour, "mishap": mishap}
    both = Both(bakery.config(**said).program.machines)
    outcome = bakery.run(observer=both, logger=quiet, **said)
    while outcome.outcome == "stopped":
        assert both.live.stopped
        outcome = bakery.run(observer=both, logger=quiet, **said)
    assert outcome.outcome == ("done" if flour else "failed")
    read = Projection(both.machines)
    for record in Watch(LocalStore(bakery.directory).run("bread")).poll():
        read.apply(record)
    assert read.durable() == both.live.durable()
    assert read.stack() == []


@pytest.fixture
def baked(bakery: Any, quiet: Any) -> Projection:
    """A run that has seen everything: a mishap, a fork, torn loaves."""
    both = Both(bakery.config(mishap="Burnt").program.machines)
    assert bakery.run(observer=both, logger=quiet, mishap="Burnt").outcome == "done"
    return both.live


def test_visits_labels_and_errors_are_those_of_the_states(baked: Projection) -> None:
    oven = baked.states("oven")
    assert (oven["Preheat"].visits, oven["CheckTemperature"].visits) == (2, 2)
    assert oven["CheckTemperature"].label == "Hot enough"
    assert oven["CheckTemperature"].errors == 1
    assert not oven["CheckTemperature"].failing  # it was tried again, and went well
    assert list(oven) == list(baked.machines["oven"].chart.states)
    assert baked.states("mishaps")["Mishaps.OpenWindow"].visits == 1


def test_counted_states_are_visited_as_often_as_their_edges_were_walked(baked: Projection) -> None:
    oven = baked.states("oven")
    assert (oven["Loaves.Shape"].visits, oven["Loaves.Score"].visits, oven["Loaves.Discard"].visits) == (
        6,
        4,
        2,
    )
    assert oven["Loaves"].visits == 1


def test_every_edge_is_counted_as_often_as_it_was_taken(baked: Projection) -> None:
    taken = {
        edge.id: baked.taken(name, edge)
        for name in ("bakery", "oven")
        for edge in baked.machines[name].chart.edges
    }
    assert taken == {
        "Prepare --> Bake : Dough ready": 1,
        "Prepare --> [*] : No flour": 0,
        "Prepare.Weigh --> Prepare.Knead : Flour found": 1,
        "Prepare.Weigh --> Prepare.Complain : Sack empty": 0,
        "Prepare.Knead --> Prepare.[*] : Dough risen": 1,
        "Prepare.Complain --> Prepare.[*]": 0,
        "Bake.Heat --> Bake.InOven : Hot": 1,  # the overview's, by where the detail stood
        "Bake.InOven --> Bake.Cool": 1,
        "Bake.Cool --> Bake.[*] : Cold": 1,
        "Bake --> Deliver : Bread baked": 1,
        "Deliver --> [*] : Delivered": 1,
        "Preheat --> CheckTemperature": 2,
        "CheckTemperature --> Preheat : Too cold": 1,
        "CheckTemperature --> Loaves : Hot enough": 1,
        "Loaves.Shape --> Loaves.Score : Round": 4,
        "Loaves.Shape --> Loaves.Discard : Torn": 2,
        "Loaves.Score --> Loaves.[*]": 4,
        "Loaves.Discard --> Loaves.[*]": 2,
        "Loaves --> TakeOut": 1,
        "TakeOut --> CoolBread": 1,  # a fork takes all
        "TakeOut --> CleanOven": 1,
        "CoolBread --> [*]": 1,
        "CleanOven --> [*]": 1,
    }


def test_the_overview_stands_where_its_detail_does(bakery: Any, quiet: Any) -> None:
    seen: list[tuple[str, ...]] = []

    class Look(Both):
        def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
            super().entered(at, machine, state, visit)
            if machine == "oven":
                seen.append((state, *self.live.stack()[0].overview))
                inside = {p for p, v in self.live.states("bakery").items() if v.active}
                assert inside == {"Bake", f"Bake.{seen[-1][1]}"}

    bakery.run(observer=Look(bakery.config(preheats=1).program.machines), logger=quiet, preheats=1)
    assert seen == [
        ("Preheat", "Heat"),
        ("CheckTemperature", "Heat"),
        ("Loaves", "InOven"),
        ("TakeOut", "InOven"),
        ("CoolBread", "Cool"),
        ("CleanOven", "Cool"),
    ]


def test_the_overview_also_stands_where_its_detail_does_in_a_run_that_is_followed(bakery: Any) -> None:
    p = Projection(bakery.config().program.machines)
    p.entered([], "bakery", "Bake", 1, 0.0)
    p.entered(
        ["Bake"], "mishaps", "Mishaps.NoGas", 1, 0.0
    )  # some other machine, whose state follows the detail
    oven = Projection(p.machines)
    p.watch(["Bake"], "Mishaps.NoGas", oven)
    assert p.stack()[0].overview == ()
    oven.apply(made(0, [], "CheckTemperature", ["Loaves"], machine="oven", label="Hot enough"))
    assert p.stack()[0].overview == ("InOven",)
    assert p.states("bakery")["Bake.InOven"].active


def made(seq: int, at: list[str], source: str, to: list[str], **more: Any) -> dict[str, Any]:
    """A transition as the journal would have it."""
    machine = {
        "at": at,
        "machine": more.pop("machine", "m"),
        "from": source,
        "visit": 1,
        "to": to,
        "label": None,
    }
    return {"seq": seq, "kind": "transition", "time": float(seq), "took": 1.0, **machine, **more}


def test_overview_states_that_the_detail_does_not_tell_apart_are_passed_in_the_order_drawn() -> None:
    from fsm import mermaid
    from fsm.drawing import chart
    from fsm.engine import Detail, Machine

    text = """stateDiagram-v2
    [*] --> Work
    state Work {
        [*] --> Fetch
        Fetch --> A
        A --> B : A over
        B --> Loop : B over
        state Loop {
            [*] --> Turn
            Turn --> [*] : Enough
        }
        Loop --> Last
        Last --> [*]
    }
    Work --> [*]
"""
    detail_text = (
        "stateDiagram-v2\n[*] --> F\nF --> AB\nAB --> T\nT --> T : again\nT --> L : Enough\nL --> [*]\n"
    )

    def read(name: str, source: str) -> chart.Chart:
        return chart.from_states(mermaid.parse(source, name), name, name)  # type: ignore[arg-type]

    stands = {"Fetch": ("F",), "A": ("AB",), "B": ("AB",), "Loop.Turn": ("T",), "Last": ("L",)}
    over = Machine("over", read("over", text), inside={"Work": Detail("under", stands)})
    p = Projection({"over": over, "under": Machine("under", read("under", detail_text))})
    p.entered([], "over", "Work", 1, 0.0)
    moves = [
        ("F", ["AB"], None),
        ("AB", ["T"], None),
        ("T", ["T"], "again"),
        ("T", ["L"], "Enough"),
        ("L", [], None),
    ]
    for seq, (source, to, label) in enumerate(moves):
        p.apply(made(seq, ["Work"], source, to, machine="under", label=label))
        if to == ["AB"]:
            assert p.stack()[0].overview == ("A", "B")
    p.apply(made(9, [], "Work", [], machine="over"))
    assert {e.id: p.taken("over", e) for e in over.chart.edges} == {
        "Work.Fetch --> Work.A": 1,
        "Work.A --> Work.B : A over": 1,
        "Work.B --> Work.Loop : B over": 1,
        "Work.Loop.Turn --> Work.Loop.[*] : Enough": 1,
        "Work.Loop --> Work.Last": 1,
        "Work.Last --> Work.[*]": 1,
        "Work --> [*]": 1,
    }
    assert p.states("over")["Work.Fetch"].seconds == 1.0


def test_a_state_that_failed_and_was_not_recovered_is_failing_and_says_why(bakery: Any, quiet: Any) -> None:
    both = Both(bakery.config(mishap="NoGas").program.machines)
    assert bakery.run(observer=both, logger=quiet, mishap="NoGas").outcome == "stopped"
    assert both.live.stopped == "the recovery ended at Mishaps.CallThePlumber"
    assert both.live.states("oven")["CheckTemperature"].failing
    assert both.live.place == "Bake > CheckTemperature"


def test_memory_does_not_grow_with_the_run() -> None:
    p = Projection()

    def size() -> int:
        return len(str(p.durable() | {"records": 0, "recent": 0, "tallies": len(p.tallies["m"])}))

    sizes = []
    for seq in range(3000):
        p.entered([], "m", "Once", seq + 1, 0.0)
        p.apply(
            made(
                seq,
                [] if seq % 3 else ["Once"],
                "Once",
                ["Once"],
                files={f"f{seq}": {"sha256": "0", "size": 1}},
            )
        )
        sizes.append(size())
    assert sizes[-1] - sizes[100] < 40
    assert len(p.recent) == 12
    assert p.records == 3000


def test_a_row_of_the_history_names_the_artifacts_and_never_the_snapshot() -> None:
    record = made(
        3,
        ["Bake", "Inner~1"],
        "Cool",
        [],
        files={"a.txt": {"sha256": "f" * 64, "size": 3}},
        snapshot={"n": 1},
    )
    row = flat(record | {"reads": {"b.txt": "0" * 64}})
    assert row == {
        "seq": 3,
        "kind": "transition",
        "time": "1970-01-01T00:00:03.000Z",
        "place": "Bake > Inner > Cool",
        "machine": "m",
        "from": "Cool",
        "visit": 1,
        "label": None,
        "to": [],
        "took": 1.0,
        "artifacts": {"a.txt": "f" * 64},
        "reads": {"b.txt": "0" * 64},
    }


def test_an_error_that_is_tried_again_does_not_stop_the_run_and_says_when() -> None:
    p = Projection()
    p.apply(made(0, [], "A", ["B"]))
    p.apply(made(1, ["B"], "P", ["Q"]))
    fixed = {"kind": "error", "at": [], "machine": "m", "from": "B", "visit": 1, "recovery": None}
    error = {"seq": 2, "time": 2.0, **fixed, "error": "OSError", "message": "not yet", "traceback": ""}
    error["retry"] = {"of": "OSError", "seconds": 2.5}
    p.apply(error)
    assert (p.stopped, p.errors) == (None, 1)
    assert [level.at for level in p.stack()] == [()]  # what it had called begins anew
    assert what(flat(error)) == "OSError: not yet; again in 2.5 s"
    p.apply(made(3, [], "B", []))
    assert not p.tallies["m"]["B"].failing
