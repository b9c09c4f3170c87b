"""The tree shows the path to what is in hand, and fits whatever room it has."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from fsm.drawing import chart as charts
from fsm.engine import Machine
from fsm.view.projection import Projection
from fsm.view.tree import ASCII, Frame, tree

WIDE = {"width": 100, "height": 40}


def drawn() -> dict[str, Machine]:
    toys = import_module("toys.machines")
    return {"bakery": toys.BAKERY, "oven": toys.OVEN, "mishaps": toys.MISHAPS}


@pytest.fixture
def machines() -> dict[str, Machine]:
    return drawn()


def step(
    p: Projection, at: list[str], machine: str, source: str, label: str | None, to: list[str], **more: Any
) -> None:
    """A transition of 65 seconds."""
    p.apply(
        {
            "seq": p.records,
            "kind": "transition",
            "time": 1000.0 + 65 * (p.records + 1),
            "took": 65.0,
            "at": at,
            "machine": machine,
            "from": source,
            "visit": 1,
            "label": label,
            "to": to,
        }
        | more
    )


def in_the_oven(machines: dict[str, Machine]) -> Projection:
    """Standing at Loaves for the first time, having preheated twice."""
    p = Projection(machines)
    p.name = "bread"
    step(p, [], "bakery", "Prepare.Weigh", "Flour found", ["Prepare.Knead"])
    step(p, [], "bakery", "Prepare.Knead", "Dough risen", ["Bake"], also=["Prepare --> Bake : Dough ready"])
    p.entered([], "bakery", "Bake", 1, 1130.0)
    for label, to in (("Too cold", "Preheat"), ("Hot enough", "Loaves")):
        step(p, ["Bake"], "oven", "Preheat", None, ["CheckTemperature"])
        step(p, ["Bake"], "oven", "CheckTemperature", label, [to])
    p.entered(["Bake"], "oven", "Loaves", 1, 1390.0)
    p.progress(["Bake"], "Loaves", 3, 12, "loaf 3")
    return p


def shown(p: Projection, **frame: Any) -> list[str]:
    return [line.plain for line in tree(p, Frame(**{"now": 1400.0, **WIDE, **frame}))]


def test_the_present_path_is_open_and_all_else_is_one_line(machines: dict[str, Machine]) -> None:
    assert shown(in_the_oven(machines)) == [
        "bread · bakery · 5:35",
        "✔ Prepare             2:10  → Dough ready",
        "⠋ Bake · InOven       4:30",
        "  ✔ Preheat           2:10  ×2",
        "  ✔ CheckTemperature  2:10  ×2  → Hot enough",
        "  ⠋ Loaves            ━━━━━─────────────── 3/12 loaf 3  10s",
        "  ○ TakeOut",
        "  ○ CoolBread",
        "  ○ CleanOven",
        "○ Deliver",
    ]


def test_a_terminal_that_knows_no_unicode_gets_ascii(machines: dict[str, Machine]) -> None:
    lines = shown(in_the_oven(machines), glyphs=ASCII)
    assert all(line.isascii() for line in lines)
    assert "  | Loaves            #####............... 3/12 loaf 3  10s" in lines


def test_where_there_is_little_room_siblings_are_counted_and_the_path_stays(
    machines: dict[str, Machine],
) -> None:
    assert shown(in_the_oven(machines), width=40, height=7) == [
        "bread · bakery · 5:35",
        "✔ Prepare  2:10  → Dough ready",
        "⠋ Bake · InOven  4:30",
        "  … 2 done",
        "  ⠋ Loaves  ━━──────── 3/12 loaf 3  10s",
        "  … 3 not visited",
        "○ Deliver",
    ]
    assert shown(in_the_oven(machines), width=20, height=3) == [
        "bread · 5:35",
        "⠋ Bake · InOven  4:…",
        "  ⠋ Loaves  3/12 lo…",
    ]
    assert shown(in_the_oven(machines), width=40, height=1) == ["bread · Loaves · 5:35"]
    assert shown(in_the_oven(machines), width=12, height=1) == ["brea… · 5:35"]


@given(width=st.integers(1, 120), height=st.integers(1, 40), final=st.booleans())
def test_no_line_is_wider_than_the_terminal_and_there_are_no_more_of_them_than_it_has(
    width: int, height: int, final: bool
) -> None:
    p = in_the_oven(drawn())
    lines = tree(p, Frame(1400.0, width, height, final=final), [Text("a warning " * 20)])
    assert 1 <= len(lines) <= height
    assert all(line.cell_len <= width for line in lines)


def test_a_followed_run_is_a_tree_below_the_state_that_follows_it(machines: dict[str, Machine]) -> None:
    p = Projection(machines)
    step(p, [], "bakery", "Bake", "Bread baked", ["Deliver"])
    p.entered([], "bakery", "Deliver", 1, 1390.0)
    van = Projection(machines)
    van.name = "van"
    p.watch([], "Deliver", van)
    assert shown(p)[-2:] == ["⠋ Deliver  10s", "  ↳ run van · not begun"]
    step(van, [], "oven", "Preheat", None, ["CheckTemperature"])
    van.entered([], "oven", "CheckTemperature", 1, 1399.0)
    assert shown(p)[3:7] == [
        "⠋ Deliver               10s",
        "  ↳ run van",
        "    ✔ Preheat           1:05",
        "    ⠋ CheckTemperature  1.0s",
    ]


def test_a_recovery_is_one_line_below_the_state_that_failed(machines: dict[str, Machine]) -> None:
    p = in_the_oven(machines)
    p.apply(
        {
            "seq": 9,
            "kind": "error",
            "time": 1399.0,
            "at": ["Bake"],
            "machine": "oven",
            "from": "Loaves",
            "visit": 1,
            "recovery": "Mishaps.Burnt",
            "by": "mishaps",
            "error": "Mishap",
            "message": "Burnt",
        }
    )
    lines = shown(p)
    at = next(i for i, line in enumerate(lines) if "Loaves" in line)
    assert lines[at].split() == [
        "⠋",
        "Loaves",
        "━━━━━───────────────",
        "3/12",
        "loaf",
        "3",
        "10s",
        "1",
        "error",
    ]
    assert lines[at + 1].split() == ["✘", "recovering:", "Burnt", "1.0s"]


def test_the_last_picture_of_a_stopped_run_says_so_and_stands_still(machines: dict[str, Machine]) -> None:
    lines = shown(in_the_oven(machines), final=True)
    assert lines[0] == "bread · bakery · 5:35 · stopped"
    assert lines[2].startswith("■ Bake · InOven")
    assert shown(in_the_oven(machines), final=True, tick=5) == lines


def test_a_note_is_shown_on_one_line_without_its_secrets(machines: dict[str, Machine]) -> None:
    p = in_the_oven(machines)
    p.progress(["Bake"], "Loaves", 1, 0, "key hunter2\nand more")
    line = next(
        line for line in shown(p, redact=lambda text: text.replace("hunter2", "***")) if "Loaves" in line
    )
    assert "1 key *** and more" in line


def test_a_run_of_unknown_machines_is_shown_by_what_it_did() -> None:
    p = in_the_oven({})
    assert [line.split()[:2] for line in shown(p)[1:]] == [
        ["✔", "Weigh"],
        ["✔", "Knead"],
        ["✔", "Prepare"],
        ["⠋", "Bake"],
        ["✔", "Preheat"],
        ["✔", "CheckTemperature"],
        ["⠋", "Loaves"],
    ]


def test_a_machine_of_many_states_fits_a_small_terminal(tmp_path: Any) -> None:
    names = [f"S{i:02}" for i in range(60)]
    text = "stateDiagram-v2\n[*] --> S00\n" + "".join(f"{a} --> {b}\n" for a, b in pairwise(names))
    file = tmp_path / "long.mmd"
    file.write_text(text)
    p = Projection({"long": Machine("long", charts.load(file))})
    for a, b in pairwise(names[:31]):
        step(p, [], "long", a, None, [b])
    lines = shown(p, height=10)
    assert [line.split()[:3] for line in lines[1:]] == [
        ["…", "30", "done"],
        ["⠋", "S30", "0.0s"],
        ["…", "29", "not"],
    ]


def failed_in_the_oven(machines: dict[str, Machine]) -> Projection:
    """Standing at Deliver after many words went wrong there."""
    p = in_the_oven(machines)
    step(p, ["Bake"], "oven", "Loaves", None, ["TakeOut"])
    error = {
        "kind": "error",
        "at": ["Bake"],
        "machine": "oven",
        "from": "TakeOut",
        "visit": 1,
        "recovery": None,
    }
    p.apply(error | {"seq": 7, "time": 1500.0, "error": "Burnt", "message": "to a sesame-open\ncinder " * 20})
    return p


def test_what_is_told_besides_is_the_error_the_edges_out_and_the_newest_records(
    machines: dict[str, Machine],
) -> None:
    p = failed_in_the_oven(machines)
    rows = shown(p, width=80, told=True, recent=10, redact=lambda text: text.replace("sesame-open", "***"))
    at = next(i for i, row in enumerate(rows) if "TakeOut" in row)
    assert rows[at + 1].startswith("    ! Burnt: to a *** cinder to a *** cinder")
    assert rows[at + 2 : at + 4] == ["    → CoolBread", "    → CleanOven"]
    assert rows[-9] == "newest of 8 records"
    assert rows[-2].endswith("Loaves: -> TakeOut  1:05")
    assert "TakeOut: Burnt: to a *** cinder" in rows[-1]
    assert max(map(len, rows)) <= 80


def test_an_edge_out_says_how_often_it_was_taken(machines: dict[str, Machine]) -> None:
    p = in_the_oven(machines)
    step(p, ["Bake"], "oven", "Loaves", None, ["Preheat"])  # as no drawing has it, but to stand there again
    assert ["→", "CheckTemperature", "×2"] in [row.split() for row in shown(p, told=True)]


@pytest.mark.parametrize("height", range(1, 30))
def test_what_is_told_besides_gives_way_before_the_path_does(
    machines: dict[str, Machine], height: int
) -> None:
    p = failed_in_the_oven(machines)
    plain = shown(p, height=height)
    rows = shown(p, height=height, told=True, recent=10)
    assert len(rows) <= height
    if height < 10:
        assert rows == plain
    if height >= 20:
        assert any(row.startswith("newest of") for row in rows)
