"""Machines of other formats as drawings: what means the same, what is left to handlers, and what a drawing cannot say."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from fsm.check import alone
from fsm.cli import main
from fsm.drawing import parse
from fsm.exchange import Read, Unsayable, asl_read, dot, scxml, text_of, tree, xstate
from fsm.mermaid import find


def drawing(read: Read) -> str:
    """The drawing without its head."""
    assert read.unsaid == []
    return dedent(text_of(read.root).partition("\n")[2]).strip()


def like(text: str) -> str:
    """A drawing as it would be written."""
    return dedent(
        text_of(tree(parse("stateDiagram-v2\n" + indent(dedent(text), "    "), "like"))).partition("\n")[2]
    ).strip()


def states(start: str, **said: Any) -> Read:
    return asl_read.read(json.dumps({"StartAt": start, "States": said}))


# The States Language


def test_a_definition_with_a_choice_a_catch_and_a_wait() -> None:
    read = states(
        "Order",
        Order={
            "Type": "Task",
            "Resource": "arn:x",
            "Next": "Big",
            "ResultPath": "$.o",
            "Catch": [{"ErrorEquals": ["Sold", "Out"], "Next": "Sorry"}],
            "Retry": [{"ErrorEquals": ["States.Timeout"]}],
        },
        Big={
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.o.price", "NumericGreaterThan": 10, "Next": "Ask"},
                {
                    "And": [
                        {"Variable": "$.a", "IsPresent": True},
                        {"Not": {"Variable": "$.b", "StringEquals": "x"}},
                    ],
                    "Next": "Ship",
                },
            ],
            "Default": "Ship",
        },
        Ask={"Type": "Wait", "Seconds": 5, "Next": "Ship"},
        Ship={"Type": "Pass", "End": True},
        Sorry={"Type": "Fail", "Error": "Sold"},
    )
    assert drawing(read) == like(
        """
        Order
        Big
        Ask
        Ship
        Sorry
        [*] --> Order
        Order --> Big : done
        Order --> Sorry : Sold or Out
        Big --> Ask : o.price > 10
        Big --> Ship : a is present and not (b == x)
        Big --> Ship : otherwise
        Ask --> Ship
        Ship --> [*]
        Sorry --> [*]
        """
    )
    assert "Order: its handler does what arn:x does" in read.notes
    assert "Order: data is its handler's, ResultPath" in read.notes
    assert "Order: States.Timeout is tried again, by the recovery machine" in read.notes
    assert any("machine's `failures`" in note for note in read.notes)


def test_a_parallel_is_cut_into_regions_and_a_map_is_walked() -> None:
    branch = {"StartAt": "One", "States": {"One": {"Type": "Pass", "End": True}}}
    other = {"StartAt": "Two", "States": {"Two": {"Type": "Succeed"}}}
    read = states(
        "Both",
        Both={"Type": "Parallel", "Branches": [branch, other], "Next": "Each"},
        Each={
            "Type": "Map",
            "ItemProcessor": {"StartAt": "It", "States": {"It": {"Type": "Pass", "End": True}}},
            "End": True,
        },
    )
    assert drawing(read) == like(
        """
        state Both {
            One
            [*] --> One
            One --> [*]
            --
            Two
            [*] --> Two
            Two --> [*]
        }
        state Each {
            It
            [*] --> It
            It --> [*]
        }
        [*] --> Both
        Both --> Each
        Each --> [*]
        """
    )
    assert any("COUNTED" in note for note in read.notes)


def test_conditions_of_jsonata_are_labels() -> None:
    read = states(
        "C",
        C={
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.n > 1 %}", "Next": "D"}],
            "Default": "D",
        },
        D={"Type": "Succeed"},
    )
    assert "C --> D : $states.input.n > 1" in drawing(read)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"A": {"Type": "Pass", "Next": "B"}}, "A: it leads to B, which is not there"),
        ({"A": {"Type": "Work"}}, "A: there is no type 'Work'"),
        ({"A": {"Type": "Map", "End": True}}, "A: a Map without an ItemProcessor"),
        ({"B": {"Type": "Succeed"}}, "it begins in A, which is not there"),
        (
            {
                "A": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$.x", "IsNull": True, "Next": n} for n in "AB"],
                },
                "B": {"Type": "Succeed"},
            },
            "A: 'x is null' leads to several states: only the order of the answers says which",
        ),
    ],
)
def test_what_a_definition_says_wrong_is_listed(said: dict[str, Any], why: str) -> None:
    assert why in states("A", **said).unsaid


# SCXML


def document(inside: str, initial: str = "a") -> Read:
    return scxml.read(f'<scxml xmlns="{scxml.SCXML}" version="1.0" initial="{initial}">{inside}</scxml>')


def test_events_conditions_and_finals_of_scxml() -> None:
    read = document(
        """
        <state id="a"><onentry><log expr="1"/></onentry>
          <transition event="go stay" cond="x &gt; 1" target="b"><assign location="x" expr="2"/></transition>
          <transition target="c"/></state>
        <state id="b" initial="b1"><transition event="done.state.b" target="c"/><transition event="halt" target="c"/>
          <state id="b1"><transition event="next.*" target="b2"/></state><final id="b2"/></state>
        <final id="c"/>
        """
    )
    assert drawing(read) == like(
        """
        a
        state b {
            b1
            b2
            [*] --> b1
            b1 --> b2 : next
            b1 --> c : halt
            b2 --> c
        }
        c
        [*] --> a
        a --> c
        a --> b : go [x > 1]
        a --> b : stay [x > 1]
        c --> [*]
        """
    )
    assert "a: <onentry> is for handlers to do" in read.notes
    assert any("<assign>" in note for note in read.notes)


def test_an_inner_state_takes_an_event_before_the_one_around_it() -> None:
    read = document(
        """
        <state id="a"><transition event="e" target="z"/>
          <state id="a1"><transition event="e" target="a2"/></state><state id="a2"/></state>
        <final id="z"/>
        """
    )
    text = drawing(read)
    assert "a1 --> a2 : e" in text
    assert "a1 --> z" not in text
    assert "a2 --> z : e" in text


def test_a_parallel_of_scxml_is_cut_into_regions() -> None:
    read = document(
        """
        <parallel id="p"><transition event="done.state.p" target="z"/>
          <state id="l"><state id="l1"><transition event="x" target="l2"/></state><final id="l2"/></state>
          <state id="r"><state id="r1"><transition event="x" target="r2"/></state><final id="r2"/></state></parallel>
        <final id="z"/>
        """,
        "p",
    )
    chart = parse(text_of(read.root), "p")
    assert chart.states["p"].initial == ("p.region1", "p.region2")
    assert [e.id for e in chart.moves("p")] == ["p --> z"]


@pytest.mark.parametrize(
    ("inside", "why"),
    [
        (
            '<state id="a"><history id="h"><transition target="a1"/></history><state id="a1"/></state>',
            "no history",
        ),
        ('<state id="a"><transition event="*" target="b"/></state><final id="b"/>', "taken by any event"),
        (
            '<state id="a"><transition event="e" target="b c"/></state><state id="b"/><state id="c"/>',
            "several states at once",
        ),
        ('<state id="a"><transition target="gone"/></state>', "leads to gone, which is not there"),
        (
            '<state id="a"><transition event="e" target="b"/><transition event="e" target="c"/></state><final id="b"/><final id="c"/>',
            "leads to several states, and nothing says which",
        ),
        (
            '<parallel id="a"><transition event="e" target="z"/><state id="b"/><state id="c"/></parallel><final id="z"/>',
            "ends all of its regions at once",
        ),
        (
            '<state id="a"><transition target="b"/><state id="a1"/></state><final id="b"/>',
            "without an event that leaves it from any state inside",
        ),
    ],
)
def test_what_a_drawing_cannot_say_of_scxml_is_listed(inside: str, why: str) -> None:
    assert any(why in said for said in document(inside).unsaid)


def test_entities_are_not_read() -> None:
    with pytest.raises(Unsayable, match="entities"):
        scxml.read('<!DOCTYPE x [<!ENTITY a "b">]><scxml/>')


# XState


def test_a_configuration_of_xstate() -> None:
    read = xstate.read(
        json.dumps(
            {
                "id": "fetch",
                "initial": "idle",
                "context": {"n": 0},
                "states": {
                    "idle": {"on": {"FETCH": "loading"}, "after": {"1000": "#end"}},
                    "loading": {
                        "invoke": {
                            "src": "get",
                            "onDone": [{"target": "ready", "guard": "good"}, {"target": "idle"}],
                            "onError": ".failed",
                        },
                        "initial": "trying",
                        "states": {
                            "trying": {},
                            "failed": {"always": {"target": "#fetch.ready", "cond": {"type": "late"}}},
                        },
                    },
                    "ready": {"id": "end", "type": "final"},
                },
            }
        )
    )
    assert any("what it invokes, that takes it out of any state inside" in said for said in read.unsaid)
    read = xstate.read(
        json.dumps(
            {
                "id": "fetch",
                "initial": "idle",
                "context": {"n": 0},
                "states": {
                    "idle": {
                        "on": {"FETCH": {"target": "loading", "actions": "log"}},
                        "after": {"1000": "#end"},
                    },
                    "loading": {
                        "invoke": {
                            "src": "get",
                            "onDone": [{"target": "ready", "guard": "good"}, {"target": "idle"}],
                            "onError": "idle",
                        }
                    },
                    "ready": {"id": "end", "type": "final"},
                },
            }
        )
    )
    assert drawing(read) == like(
        """
        idle
        loading
        ready
        [*] --> idle
        idle --> loading : FETCH
        idle --> ready : after 1000
        loading --> ready : done [good]
        loading --> idle : done
        loading --> idle : error
        ready --> [*]
        """
    )
    assert "the whole: `context` is for handlers to do" in read.notes
    assert any("what it invokes (get)" in note for note in read.notes)


def test_keys_that_several_states_have_are_told_apart() -> None:
    inner = {"initial": "on", "states": {"on": {"on": {"X": "off"}}, "off": {"type": "final"}}}
    said = {"initial": "a", "states": {"a": {**inner, "onDone": "b"}, "b": {**inner, "on": {"BACK": "a"}}}}
    text = drawing(xstate.read(json.dumps(said)))
    assert 'state "on" as a_on' in text
    assert "a_on --> a_off : X" in text
    assert "a --> b" in text
    assert "b_on --> a : BACK" in text, "an event of the composite, in each of its states"


# Graphviz


def test_a_drawing_as_a_graph() -> None:
    text = """
    stateDiagram-v2
        state "a b" as A
        state B {
            [*] --> C
            C --> [*]
        }
        [*] --> A
        A --> B : go
        B --> [*]
    """
    written = dot.write(tree(parse(dedent(text).lstrip(), "g")), "g")
    assert 'subgraph "cluster_B" {' in written
    assert '"A" -> "C" [label="go", lhead="cluster_B"]' in written
    assert '"C" -> "/end" [ltail="cluster_B"]' in written
    assert written.count("{") == written.count("}")


# The commands


def test_a_drawing_is_written_and_can_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.json").write_text(
        '{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "r", "End": true}}}'
    )
    assert main(["import", str(tmp_path / "m.json"), "-o", str(tmp_path / "m.mmd")]) == 0
    assert "%% A: its handler does what r does" in (tmp_path / "m.mmd").read_text()
    assert alone(find(tmp_path / "m.mmd")) == []
    assert main(["export", str(tmp_path / "m.mmd"), "--to", "xstate", "-o", str(tmp_path / "x.json")]) == 0
    assert main(["export", str(tmp_path / "m.mmd"), "--to", "dot", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"].startswith("digraph")
    assert main(["import", str(tmp_path / "x.json"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["format"], said["unsaid"]) == ("xstate", [])


def test_where_a_drawing_cannot_say_it_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "m.scxml", tmp_path / "m.mmd"
    source.write_text(
        f'<scxml xmlns="{scxml.SCXML}"><state id="a"><transition event="*" target="a"/></state></scxml>'
    )
    assert main(["import", str(source), "-o", str(target)]) == 1
    assert not target.exists()
    assert "taken by any event" in capsys.readouterr().err
    assert main(["import", str(source), "-o", str(target), "--lossy"]) == 1
    assert "a --> a : *" in target.read_text()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.json", "{}", "--from asl, scxml, xstate"),
        ("m.json", "not", "--from asl, scxml, xstate"),
        ("m.scxml", "<a/>", "its outermost element is a"),
        ("m.scxml", "<a", "This is not XML"),
    ],
)
def test_what_is_no_machine_is_told(
    name: str, text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(text)
    assert main(["import", str(tmp_path / name)]) == 2
    assert said in capsys.readouterr().err
    assert main(["import", str(tmp_path / "nothing.json")]) == 2
