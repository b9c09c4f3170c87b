"""A run on its diagram: the author's words stay, and what is marked is what happened."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from fsm import cli, mermaid
from fsm.view import mermaid_draw

TOYS = Path(__file__).parent / "toys"


@pytest.fixture
def render(bakery: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """`fsm render` on the bakery's store; returns (output, errors)."""

    def call(*words: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert cli.main(["render", *words, "--store", bakery.store]) == code
        return capsys.readouterr()

    return call


def classes(text: str) -> dict[str, set[str]]:
    found = re.findall(r"^\s*class (\S+) (\w+)$", text, re.M)
    return {name: set(states.split(",")) for states, name in found}


def words(text: str) -> Any:
    """All a diagram draws, its classes and colours aside."""
    dump = mermaid.dump(mermaid.parse(text, "x"))
    plain = json.loads(json.dumps(dump))
    return {
        k: plain[k] for k in ("states", "transitions", "notes", "nodes", "edges", "subgraphs") if k in plain
    }


def without_classes(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: without_classes(v)
            for k, v in value.items()
            if k not in ("classes", "classes_effective", "styles")
        }
    return [without_classes(v) for v in value] if isinstance(value, list) else value


def test_a_run_is_drawn_on_the_words_of_its_diagram(bakery: Any, render: Any, quiet: Any) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    text = render("bread", "--machine", "bakery").out
    source = (TOYS / "bakery.mmd").read_text()
    assert text.startswith(source)
    assert without_classes(words(text)) == without_classes(words(source))
    assert classes(text) == {
        "active": {"Heat"},
        "visited": {"Weigh", "Knead"},
        "never": {"Complain", "InOven", "Cool", "Deliver"},
    }  # Mermaid gives no class to Prepare and Bake, which hold states
    assert "%% taken once: Prepare --> Bake : Dough ready" in text
    assert "No flour" not in text.removeprefix(source)


def test_the_machine_in_progress_is_drawn_and_its_failed_state_is_marked(
    bakery: Any, render: Any, quiet: Any
) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    text = render("bread").out
    assert text.startswith((TOYS / "oven.mmd").read_text())
    assert classes(text)["failed"] == {"CheckTemperature"}
    assert classes(text)["visited"] == {"Preheat"}


def test_as_json_it_names_every_state_and_how_often_each_edge_was_taken(
    bakery: Any, render: Any, quiet: Any
) -> None:
    bakery.run(logger=quiet)
    said = json.loads(render("bread", "--machine", "oven", "--json").out)
    assert (said["run"], said["machine"], said["changed"], said["output"]) == ("bread", "oven", None, None)
    assert said["states"]["Loaves.Shape"]["class"] == "visited"
    assert said["states"]["Loaves.Shape"]["visits"] == 6
    assert said["edges"]["Loaves.Shape --> Loaves.Score : Round"] == 4
    assert said["text"].startswith("stateDiagram-v2")


def test_a_diagram_is_printed_as_it_is(render: Any) -> None:
    file = TOYS / "oven.mmd"
    assert render(str(file)).out == file.read_text()


def test_what_mermaid_swallows_is_told_beside_the_drawing(render: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.mmd"
    file.write_text("stateDiagram-v2\n[*] --> A\nA --> [*] : done %% the usual way\n")
    said = render(str(file))
    assert said.out == file.read_text()
    assert said.err.startswith(f"{file}:3:18: warning: Mermaid takes `%%` for a part of the label")


def test_a_drawing_that_was_changed_since_is_said_to_be(
    bakery: Any, render: Any, quiet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    toys = import_module("toys.machines")
    bakery.run(logger=quiet)
    changed = bakery.directory / "oven.mmd"
    changed.write_text((TOYS / "oven.mmd").read_text().replace("TakeOut", "TakeThemOut"))
    from fsm.engine import COUNTED, Machine

    monkeypatch.setattr(toys, "OVEN", Machine("oven", changed, inside={"Loaves": COUNTED}))
    said = render("bread", "--machine", "oven")
    assert "was changed since run bread was begun" in said.err
    assert "TakeThemOut" in classes(said.out)["never"]
    assert "Preheat" in classes(said.out)["visited"]


def test_a_part_run_alone_is_drawn_on_the_whole_drawing() -> None:
    toys = import_module("toys.machines")
    from fsm.view.marking import marked
    from fsm.view.projection import Projection

    part = toys.BAKERY.part("Prepare", "prepare")
    p = Projection({"prepare": part})
    p.apply(
        {
            "seq": 0,
            "kind": "transition",
            "time": 1.0,
            "took": 1.0,
            "at": [],
            "machine": "prepare",
            "from": "Weigh",
        }
        | {"visit": 1, "label": "Flour found", "to": ["Knead"]}
    )
    drawn = marked(part, p)
    assert drawn.edges == {"Prepare.Weigh --> Prepare.Knead : Flour found": 1}
    assert classes(drawn.text)["visited"] == {"Weigh"}
    assert classes(drawn.text)["active"] == {"Knead"}


def test_a_flowchart_is_marked_with_styles_of_its_own(tmp_path: Path) -> None:
    from fsm.engine import Machine
    from fsm.view.marking import marked
    from fsm.view.projection import Projection

    file = tmp_path / "decide.mmd"
    file.write_text(
        'flowchart TD\n    A["Begin"] --> B{"Enough?"}\n    B -->|Yes| C["End"]\n    B -->|No| A\n'
    )
    machine = Machine("decide", file, ends=("C",), bounds={("B", "No"): "x"})
    p = Projection({"decide": machine})
    for seq, (source, label, to) in enumerate(
        [("A", None, ["B"]), ("B", "No", ["A"]), ("A", None, ["B"]), ("B", "Yes", ["C"])]
    ):
        p.apply(
            {
                "seq": seq,
                "kind": "transition",
                "time": 1.0,
                "took": 1.0,
                "at": [],
                "machine": "decide",
                "from": source,
            }
            | {"visit": 1, "label": label, "to": to}
        )
    drawn = marked(machine, p)
    assert drawn.edges == {"A --> B": 2, "B --> C : Yes": 1, "B --> A : No": 1}
    assert "linkStyle 0,1,2 " in drawn.text
    assert without_classes(words(drawn.text))["nodes"] == without_classes(words(file.read_text()))["nodes"]


def test_mermaid_counts_the_lines_to_notes_among_the_edges() -> None:
    """As in pictures drawn by Mermaid 12.3.0: the edge after a note is one further."""
    from fsm.view.marking import numbers_of

    text = "stateDiagram-v2\n[*] --> A\nnote right of A\n x\nend note\nA --> B : one\nnote left of B : y\nB --> A : two\n"
    diagram = mermaid.parse(text, "x")
    assert isinstance(diagram, mermaid.StateDiagram)
    assert numbers_of(diagram) == [0, 2, 4]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Mermaid that has drawn this picture, with the edges 4 and 5 and the state Weigh; what it was asked is listed."""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" id="my-svg" width="90" height="90" viewBox="0 -10 90 90">'
        "<style>#my-svg{fill:red}</style>"
        '<path d="M0,0L0,50" data-id="edge4" class="x"/><path d="M9,0L9,50" class="x" data-id="edge5"/>'
        '<g class="node" id="my-svg-state-Weigh-5"><rect x="1" y="2" width="30" height="20"/></g></svg>'
    )
    asked: list[dict[str, Any]] = []

    def ask(request: dict[str, Any], seconds: float, what: str) -> dict[str, str]:
        asked.append(request)
        return {"svg": svg}

    monkeypatch.setattr(mermaid_draw, "_ask", ask)
    return asked


def test_a_picture_tells_on_its_states_and_edges_how_often(
    bakery: Any, render: Any, quiet: Any, drawn: list[dict[str, Any]]
) -> None:
    bakery.run(logger=quiet)
    target = bakery.directory / "run.svg"
    assert render("bread", "-o", str(target)).out.strip() == str(target)
    svg = target.read_text()
    assert re.search(r'<path [^>]*data-id="edge4" class="x fsm-taken"><title>taken once</title></path>', svg)
    assert re.search(r'<path [^>]*class="x" data-id="edge5" ?/>', svg)  # the sack was not empty
    weigh = r'<g class="node fsm-visited" id="bakery-state-Weigh-5"><title>Prepare.Weigh: visited once, \d+ms</title>'
    assert re.search(weigh, svg)
    assert "classDef" not in drawn[0]["text"]  # drawn without marks, so that the next run finds it drawn


def test_a_page_of_a_drawing_holds_all_it_needs_and_runs_nothing(
    render: Any, tmp_path: Path, drawn: list[dict[str, Any]]
) -> None:
    target = tmp_path / "oven.html"
    render(str(TOYS / "oven.mmd"), "-o", str(target))
    html = target.read_text()
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "default-src 'none'" in html


def test_a_page_of_a_run_holds_its_whole_past_and_runs_its_own_script_alone(
    bakery: Any, render: Any, quiet: Any, drawn: list[dict[str, Any]]
) -> None:
    bakery.run(logger=quiet)
    target = bakery.directory / "run.html"
    render("bread", "-o", str(target), "--at", "3", "--machine", "bakery")
    html = target.read_text()
    held = json.loads(re.findall(r'<script type="application/json" id="held">(.*?)</script>', html, re.S)[0])
    lines = (bakery.directory / "runs" / "bread" / "journal.jsonl").read_text().splitlines()
    assert [c["seq"] for chunk in held["chunks"] for c in chunk["changes"]] == list(range(len(lines)))
    assert held["open"] == {"machine": "bakery", "seq": 3}
    assert held["header"]["status"]["state"] == "done"
    assert set(held["pictures"]) == {"bakery", "oven"}
    code = re.findall(r'<script type="module">(.*?)</script>', html, re.S)
    assert len(re.findall("<script", html)) == 2
    digest = base64.b64encode(hashlib.sha256(code[0].encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'" in html
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/2000/svg", "", html)


def test_a_place_that_cannot_be_written_is_told_and_nothing_is_drawn(
    render: Any, tmp_path: Path, drawn: list[dict[str, Any]]
) -> None:
    file = str(TOYS / "oven.mmd")
    missing = tmp_path / "none" / "x.svg"
    assert f"there is no directory {missing.parent}" in render(file, "-o", str(missing), code=2).err
    assert drawn == []
    (tmp_path / "folder.svg").mkdir()
    assert "it cannot be written" in render(file, "-o", str(tmp_path / "folder.svg"), code=2).err


def test_endings_of_files_may_be_written_large(
    render: Any, tmp_path: Path, drawn: list[dict[str, Any]]
) -> None:
    render(str(TOYS / "oven.mmd"), "-o", str(tmp_path / "X.SVG"))
    assert (tmp_path / "X.SVG").read_text().startswith("<svg")


def test_what_is_no_run_no_machine_and_no_file_is_bad_input(render: Any, tmp_path: Path) -> None:
    assert "is no run at" in render("nothing", code=2).err
    assert "cannot be read" in render(str(tmp_path / "none.mmd"), code=2).err
    assert ".mmd, .svg, .png, .html" in render("nothing", "-o", "x.pdf", code=2).err


def test_a_drawing_is_known_by_its_ending_and_has_no_machines(render: Any, tmp_path: Path) -> None:
    large = tmp_path / "OVEN.MMD"
    large.write_text((TOYS / "oven.mmd").read_text())
    assert render(str(large)).out == large.read_text()
    assert "is no run, and has one drawing only" in render(str(large), "--machine", "oven", code=2).err
    document = tmp_path / "oven.md"
    document.write_text(f"```mermaid\n{large.read_text()}```\n")
    assert render(f"{document}#1").out == render(str(document)).out == large.read_text()
    text = tmp_path / "oven.txt"
    text.write_text(large.read_text())
    assert "ends in neither .mmd, .mermaid nor .md" in render(str(text), code=2).err


def test_a_machine_that_the_run_does_not_have_is_bad_input(bakery: Any, render: Any, quiet: Any) -> None:
    bakery.run(logger=quiet)
    assert "did you mean 'oven'?" in render("bread", "--machine", "oben", code=2).err


def test_mermaid_itself_draws_the_run(bakery: Any, render: Any, quiet: Any) -> None:
    bakery.run(logger=quiet)
    svg, png = bakery.directory / "run.svg", bakery.directory / "run.png"
    render("bread", "--machine", "oven", "-o", str(svg))
    assert ">taken 4 times</title>" in svg.read_text()
    assert "visited 6 times" in svg.read_text()
    render("bread", "--machine", "oven", "-o", str(png))
    assert png.read_bytes().startswith(b"\x89PNG")


def test_any_moment_of_the_past_is_drawn_by_the_number_of_its_record(
    bakery: Any, render: Any, quiet: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.run(logger=quiet)
    capsys.readouterr()
    assert cli.main(["history", "bread", "--store", bakery.store, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    moves = [row for row in rows if row["kind"] == "transition" and row["machine"] == "bakery"]
    assert moves[-1]["to"] == []
    for row in moves[:-1]:
        told = json.loads(render("bread", "--machine", "bakery", "--json", "--at", str(row["seq"])).out)
        active = {path for path, state in told["states"].items() if state["active"]}
        around = {place.rpartition(".")[0] for place in row["to"]} - {""}
        assert (told["at"], active) == (row["seq"], {*row["to"], *around})
    first = json.loads(render("bread", "--machine", "bakery", "--json", "--at", str(moves[0]["seq"])).out)
    assert first["edges"] == {"Prepare.Weigh --> Prepare.Knead : Flour found": 1}


def test_a_moment_that_there_is_not_is_bad_input(bakery: Any, render: Any, quiet: Any) -> None:
    bakery.run(logger=quiet)
    assert "run bread has records 0 to " in render("bread", "--at", "9999", code=2).err
    assert "records are numbered from 0" in render("bread", "--at", "-1", code=2).err
    assert "is no run, and has no moments" in render(str(TOYS / "oven.mmd"), "--at", "1", code=2).err


def test_a_picture_of_the_past_says_of_when_it_is(
    bakery: Any, render: Any, quiet: Any, drawn: list[dict[str, Any]]
) -> None:
    bakery.run(logger=quiet)
    target = bakery.directory / "past.svg"
    render("bread", "--machine", "bakery", "--at", "1", "-o", str(target))
    words = " ".join(" ".join(re.findall(r"<text[^>]*>([^<]*)", target.read_text())).split())
    assert re.search(r"Run bread \(record 1, 20\S+Z\), machine bakery: stands in Prepare.Knead", words)
