"""Against Mermaid itself: the conformance cases where they are at hand, and texts of our own with what Mermaid
12.3.0 made of them (`recorded.json`, from its own parser under jsdom)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm.mermaid import MermaidError, StateDiagram, dump, parse

HERE = Path(__file__).parent
CASES = HERE.parents[2].parent / "shared" / "conformance"
RECORDED: list[dict[str, Any]] = json.loads((HERE / "recorded.json").read_text())
PLAIN_SHAPES = ("stateStart", "stateEnd", "divider", "fork", "join", "choice")


def conformance(name: str) -> list[dict[str, Any]]:
    path = CASES / f"mermaid_{name}.json"
    cases: list[dict[str, Any]] = json.loads(path.read_text())["cases"] if path.is_file() else []
    return cases


if CASES.is_dir():  # they do not come with a clone

    @pytest.mark.parametrize("name", ["state", "flowchart"])
    def test_every_strict_case_reads_as_mermaid_reads_it(name: str) -> None:
        cases = [case for case in conformance(name) if case.get("strict", True)]
        assert cases
        wrong = []
        for case in cases:
            try:
                seen = dump(parse(case["source"]))
            except MermaidError:
                seen = None
            if seen != (case["expected"] if case["parse_ok"] else None):
                wrong.append(case["id"])
        assert wrong == []


def pictured(source: str) -> dict[str, Any]:
    """What Mermaid's recorded picture of a text has, of ours."""
    diagram = parse(source)
    found = dump(diagram)
    if not isinstance(diagram, StateDiagram):
        keys = ("id", "label", "label_type", "shape", "classes", "styles")
        edge_keys = ("from", "to", "label", "arrow", "stroke", "length", "id")
        return {
            "nodes": [[node[key] for key in keys] for node in found["nodes"]],
            "edges": [[edge[key] for key in edge_keys] for edge in found["edges"]],
            "subs": [
                [graph[key] for key in ("id", "title", "nodes", "direction", "classes")]
                for graph in found["subgraphs"]
            ],
            "dir": found["direction"],
            "defs": [[name, styles] for name, styles in found["class_defs"].items()],
            "acc": [found["acc_title"], found["acc_descr"]],
        }
    return {
        "nodes": [
            [
                state.id,
                state.shape,
                state.parent,
                state.direction,
                None if state.shape in PLAIN_SHAPES else list(state.descriptions) or [state.id],
            ]
            for state in diagram.states
        ],
        "edges": [[edge.source, edge.target, edge.label] for edge in diagram.transitions],
        "notes": sorted(note["text"] for note in found["notes"]),
        "dir": found["direction"],
        "acc": [found["acc_title"], found["acc_descr"]],
    }


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: repr(case["source"])[1:60])
def test_our_own_texts_read_as_mermaid_reads_them(case: dict[str, Any]) -> None:
    if case.get("refused"):
        with pytest.raises(MermaidError):
            parse(case["source"])
    else:
        assert pictured(case["source"]) == {key: value for key, value in case.items() if key != "source"}
