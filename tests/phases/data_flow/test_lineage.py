"""The lineage of runs: of a whole one as it was recorded, of two that are run here, and of what is not drawn.

`recorded.jsonl` holds what a run of configs/local.yaml (four attempts at its job, six epochs, ended by the scores)
recorded of data: its transitions and those of the distillation in its job, digests shortened.
"""

from __future__ import annotations

import argparse
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm import config as configs
from fsm import mermaid, session
from fsm.cli import main
from fsm.command import guarded
from fsm.journal import Journal
from fsm.store import open_store
from fsm.view import mermaid_draw
from machines import data_flow
from phases.data_flow import Lineage, lineage
from phases.data_flow.cli import add_parser
from phases.data_flow.picture import drawn, said

Record = dict[str, Any]
CORPUS = Path(__file__).parents[3] / "configs" / "corpus"
WENT = {
    ("RAW", "DOWNLOAD"): 6,  # a listing and an archive of each source
    ("DOWNLOAD", "EXTRACT"): 6,
    ("EXTRACT", "PROMPTS"): 114,
    ("PROMPTS", "DEDUP"): 1,
    ("DEDUP", "SPLIT"): 1,
    ("PROMPTS", "SPLIT"): 0,  # when that was recorded the states handed whole rows on
    ("SPLIT", "SPLITS"): 2,
    ("SPLIT", "PROCESSED"): 2,
    ("SPLITS", "PARALLEL"): 0,  # that configuration has the teacher asked prompts of its own
    ("PARALLEL", "BEDROCK"): 60,
    ("BEDROCK", "CHECKPOINT"): 60,
    ("PARALLEL", "CHECKPOINT"): 1,
    ("PROCESSED", "Container"): 2,  # whatever the job's attempts
    ("CHECKPOINT", "Container"): 1,
    ("Container", "TRAIN"): 8,
    ("Container", "GEN"): 8,
    ("Container", "CORRECT"): 1,
    ("Container", "EVAL"): 0,  # before the first report the corrections had grown the training set
    (
        "CORRECT",
        "EVAL",
    ): 5,  # the set that was grown last; after the epoch in which nothing was poor, once more
    ("TRAIN", "GEN"): 6,  # the adapter of each epoch
    ("CORRECT", "GEN"): 0,  # that student answered nothing by itself
    ("GEN", "CORRECT"): 0,  # and the offline teacher is shown no attempt
    ("GEN", "EVAL"): 12,  # the answers to both sets of each
    ("EVAL", "CORRECT"): 5,  # in one epoch nothing was poor
    ("CORRECT", "TRAIN"): 4,  # what the last epoch added was not trained on
    ("CORRECT", "OUTPUTS"): 0,
    ("EVAL", "OUTPUTS"): 10,
    ("TRAIN", "OUTPUTS"): 6,
    ("Container", "OUTPUTS"): 6,
}


@pytest.fixture
def recorded() -> list[Record]:
    lines = Path(__file__).with_name("recorded.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_lineage_of_a_finished_run_is_the_graph_drawn(recorded: list[Record]) -> None:
    found = lineage(recorded)
    assert found.findings == ()
    assert found.counts == WENT


def test_a_loop_that_the_scores_did_not_end_hands_out_its_result_after_the_corrections(
    recorded: list[Record],
) -> None:
    for record in recorded:
        if (record["machine"], record["from"]) == data_flow.LOOP_ENDED_BY[:2]:
            record["label"] = "Not at threshold"
    found = lineage(recorded)
    assert found.findings == ()
    assert found.counts[("EVAL", "OUTPUTS")] == 0
    assert found.counts[("CORRECT", "OUTPUTS")] == WENT[("EVAL", "OUTPUTS")]


def test_a_report_before_any_correction_holds_the_answers_against_the_first_training_set(
    recorded: list[Record],
) -> None:
    """Where the first epoch's answers are all good, what they are compared with is what the job began with."""
    report = next(r for r in recorded if r["from"].endswith("CheckThreshold"))
    put = next(r for r in recorded if "distillation/train.jsonl" in r.get("files", {}))
    first = put["files"]["distillation/train.jsonl"]["sha256"]
    reads = {name: sha256 for name, sha256 in report["reads"].items() if not name.endswith("/dataset.jsonl")}
    until = [r for r in recorded[: recorded.index(report)] if "RequestCorrections" not in r["from"]]
    found = lineage([*until, {**report, "reads": reads | {"distillation/train.jsonl": first}}])
    assert found.findings == ()
    assert (found.counts[("Container", "EVAL")], found.counts[("CORRECT", "EVAL")]) == (1, 0)


def test_what_is_read_again_has_not_gone_there_twice(recorded: list[Record]) -> None:
    reads = [{k: v for k, v in r.items() if k not in ("files", "counts")} for r in recorded]
    assert lineage([*recorded, *reads]).counts == WENT


@pytest.mark.parametrize("arrow", [a for a, n in WENT.items() if n and a not in {(p.source, p.target) for p in data_flow.PASSED}])  # fmt: skip
def test_every_arrow_that_is_not_drawn_is_missed(recorded: list[Record], arrow: tuple[str, str]) -> None:
    drawing = data_flow.flow()
    without = replace(
        drawing, edges=tuple(edge for edge in drawing.edges if (edge.source, edge.target) != arrow)
    )
    found = lineage(recorded, without)
    assert [(f.code, f"from {arrow[0]} to {arrow[1]}," in f.message) for f in found.findings] == [
        ("D101", True)
    ]
    assert arrow not in found.counts


@pytest.mark.parametrize("stand", data_flow.STANDS, ids=lambda s: f"{s.machine}:{s.states}:{s.names}")
def test_a_state_that_was_forgotten_is_named(
    recorded: list[Record], stand: data_flow.Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_flow, "STANDS", tuple(s for s in data_flow.STANDS if s != stand))
    named = {f.message.split(" read or wrote ")[0] for f in lineage(recorded).findings if f.code == "D103"}
    forgotten = [
        r for r in recorded if r["machine"] == stand.machine and fnmatchcase(r["from"], stand.states)
    ]
    others = stand.names != "*"  # a row for some artifacts only: the next one takes them
    assert named == {
        f"{r['from']} of {r['machine']}" for r in forgotten if not others and ("files" in r or "reads" in r)
    }


def test_an_artifact_from_nowhere_is_found_and_what_lies_in_s3_is_not() -> None:
    record = {"kind": "transition", "machine": "sagemaker_job", "from": "Pending", "label": None}
    found = lineage([{**record, "reads": {"teacher/outputs.jsonl": "a", "data/processed/train.jsonl": "b"}}])
    assert [f.code for f in found.findings] == ["D102"]
    assert "Pending of sagemaker_job read teacher/outputs.jsonl," in found.findings[0].message
    assert found.counts[("PROCESSED", "Container")] == 1


def test_the_data_of_a_smoke_job_is_no_part_of_it() -> None:
    written = {"smoke/pytest.txt": {"sha256": "a"}}
    record = {"kind": "transition", "machine": "smoke", "from": "RunPytest", "label": None, "files": written}
    found = lineage([record])
    assert found.findings == ()
    assert not any(found.counts.values())


# The drawing


def test_the_picture_is_the_drawing_with_the_counts_on_its_arrows() -> None:
    drawing, told = data_flow.flow(), Lineage(WENT, {}, ())
    read = mermaid.parse(drawn(drawing, told), "lineage.mmd")
    assert isinstance(read, mermaid.Flowchart)
    assert [(n.id, n.label, n.shape, n.parent) for n in read.nodes] == [
        (n.id, n.label, n.shape, n.parent) for n in drawing.nodes
    ]
    assert [(e.source, e.target, e.label) for e in read.edges] == [
        (e.source, e.target, "\\n".join(filter(None, [e.label, said(told, a)])))
        for e in drawing.edges
        for a in [(e.source, e.target)]
    ]
    assert [d for d in read.diagnostics if d not in drawing.diagnostics and d.severity == "error"] == []


@pytest.mark.parametrize(
    ("arrow", "count", "records", "words"),
    [
        (("SPLIT", "SPLITS"), 2, 111, "111 records"),
        (("PROMPTS", "DEDUP"), 1, 1, "1 record"),
        (("SPLIT", "SPLITS"), 2, 0, "2 artifacts"),
        (("PROMPTS", "DEDUP"), 1, 0, "1 artifact"),
        (("PARALLEL", "BEDROCK"), 1, 0, "1 call"),
        (("EXTRACT", "PROMPTS"), 1, 0, "1 piece of code"),
        (("EXTRACT", "PROMPTS"), 0, 0, "nothing"),
    ],
)
def test_counts_are_said_in_words(arrow: tuple[str, str], count: int, records: int, words: str) -> None:
    assert said(Lineage({arrow: count}, {arrow: records}, ()), arrow) == words


# The command, on runs made here


@pytest.fixture
def runs(tmp_path: Path) -> str:
    """`prep`, a data preparation of the shipped corpus, and `taught`, the teacher asked after it; returns the store."""

    def go(machine: str, name: str, **sections: Any) -> None:
        words = {"machine": machine, "store": str(tmp_path), "work": str(tmp_path / "work"), **sections}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(words))
        assert session.run(configs.load(path)).outcome == "done"

    go("data_preparation", "prep", run={"name": "prep"}, data_preparation={"source": str(CORPUS)})
    teaching = {"teacher": {"kind": "offline"}, "limit": 25}
    go("teacher_generation", "taught", run={"name": "taught", "source": "prep"}, teacher_generation=teaching)
    return str(tmp_path)


@pytest.fixture
def fsm_lineage(runs: str) -> Callable[..., int]:
    def call(*words: str) -> int:
        parser = argparse.ArgumentParser()
        add_parser(parser.add_subparsers())
        args = parser.parse_args(["lineage", *words, "--store", runs])
        return guarded(args.do, args)

    return call


def counts(printed: str) -> dict[tuple[str, str], int]:
    return {(a["source"], a["target"]): a["count"] for a in json.loads(printed)["arrows"] if a["count"]}


def test_a_phase_after_another_one_is_one_flow(
    fsm_lineage: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fsm_lineage("taught", "--json") == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["runs"] == ["prep", "taught"]
    assert json.loads(printed)["findings"] == []
    prepared = {a: n for a, n in list(WENT.items())[:8] if a != ("EXTRACT", "PROMPTS")}
    # the rows of a batch, what is known of them, and a list of batches; who writes the splits reads which were skipped, too
    prepared |= {("PROMPTS", "DEDUP"): 3, ("PROMPTS", "SPLIT"): 4}
    # the licences of folders, besides
    prepared |= {("RAW", "DOWNLOAD"): 7, ("DOWNLOAD", "EXTRACT"): 7}
    found = counts(printed)
    assert found.pop(("EXTRACT", "PROMPTS")) > 60
    assert found == prepared | {
        ("SPLITS", "PARALLEL"): 1,
        ("PARALLEL", "BEDROCK"): 25,
        ("BEDROCK", "CHECKPOINT"): 25,
    }


def test_the_work_of_a_job_belongs_to_the_run_that_launched_it(
    runs: str, fsm_lineage: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    launch(runs, "prep")
    assert fsm_lineage("whole", "--json") == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["runs"] == ["whole", "prep"]
    assert counts(printed)[("SPLIT", "SPLITS")] == 2


def test_a_job_whose_work_has_not_begun_is_told_of(
    runs: str, fsm_lineage: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    launch(runs, "later")
    assert fsm_lineage("whole") == 0
    printed = capsys.readouterr()
    assert "run later, the work of the job, has not begun" in printed.err
    assert 'RAW -->|"nothing"| DOWNLOAD' in printed.out


def test_the_work_of_a_job_of_the_run_before_is_no_part_of_it(
    runs: str, fsm_lineage: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    launch(runs, "taught", "before")
    run = open_store(runs).run("after")
    config = {"run": {"name": "after", "source": "before"}}
    run.write_header(json.dumps({"format": 1, "machine": "distillation", "config": config}).encode())
    assert fsm_lineage("before", "--json") == 0
    assert counts(capsys.readouterr().out)[("PARALLEL", "BEDROCK")] == 25
    assert fsm_lineage("after", "--json") == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["runs"] == ["before", "after"]
    assert counts(printed) == {}


def launch(store: str, child: str, name: str = "whole") -> None:
    """A run whose job does its work as another run."""
    run = open_store(store).run(name)
    run.write_header(json.dumps({"format": 1, "machine": "pipeline"}).encode())
    journal = Journal(run)
    journal.open()
    body = {"kind": "transition", "at": [], "machine": "pipeline", "from": "TrainingLaunch", "visit": 1}
    job = {"set": {"job": {"job": "a-job", "run": child}}}
    journal.append(body | {"label": None, "to": ["IterativeDistillation"], "took": 0.0, "data": job})
    journal.close()


def test_what_is_not_drawn_is_an_error(
    fsm_lineage: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing = data_flow.flow()
    less = replace(drawing, edges=tuple(e for e in drawing.edges if e.target != "SPLITS"))
    monkeypatch.setattr(data_flow, "flow", lambda: less)
    assert fsm_lineage("prep") == 2
    complaint = capsys.readouterr().err
    line = drawing.node("SPLIT").line
    assert f"data_flow.mmd:{line}:" in complaint
    assert (
        "error[D101]: data/splits/train.jsonl, data/splits/val.jsonl went from SPLIT to SPLITS" in complaint
    )


def test_the_text_is_written_where_it_is_asked_for(
    fsm_lineage: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fsm_lineage("prep") == 0
    text = capsys.readouterr().out
    assert fsm_lineage("prep", "-o", str(tmp_path / "flow.mmd")) == 0
    assert (tmp_path / "flow.mmd").read_text() == text
    assert 'RAW -->|"24 records"| DOWNLOAD' in text
    assert 'DEDUP -->|"111 records"| SPLIT' in text
    assert 'SPLIT -->|"111 records"| PROCESSED' in text
    assert fsm_lineage("prep", "-o", str(tmp_path / "flow.pdf")) == 2
    assert ".mmd, .svg, .png" in capsys.readouterr().err


def arrows(svg: str) -> dict[tuple[str, str], tuple[str, str]]:
    """What a picture says of each arrow: its mark, and its words."""
    edges = data_flow.flow().edges
    found = re.findall(r'data-id="edge(\d+)"[^>]*><title>([^<]*)</title>', svg)
    marks = {
        int(e.get("data-id", "")[4:]): e.get("class", "").split()[-1]
        for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")
        if e.get("data-id", "").startswith("edge")
    }
    return {(edges[int(k)].source, edges[int(k)].target): (marks[int(k)], words) for k, words in found}


def test_the_shipped_picture_of_the_flow_is_marked_with_what_went_where(
    runs: str, fsm_lineage: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mermaid_draw, "_ask", lambda *a: pytest.fail("Mermaid was asked"))
    assert fsm_lineage("taught", "-o", str(tmp_path / "flow.svg")) == 0
    svg = (tmp_path / "flow.svg").read_text()
    told = arrows(svg)
    assert len(told) == len(data_flow.flow().edges)
    assert told["SPLIT", "PROCESSED"] == ("fsm-taken", "111 records")
    assert told["PARALLEL", "BEDROCK"] == ("fsm-taken", "25 calls")
    assert told["TRAIN", "OUTPUTS"] == ("fsm-nothing", "nothing")
    assert svg.count(">111 records</text>") == 3
    assert (
        main(["render", "taught", "--machine", "data_flow", "-o", str(tmp_path / "x.svg"), "--store", runs])
        == 0
    )
    assert arrows((tmp_path / "x.svg").read_text()) == told


def test_what_went_where_is_drawn_for_any_moment_of_a_run(
    runs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What went before stays, and of the run itself it is what it had done until then."""

    def at(*words: str) -> dict[str, int]:
        capsys.readouterr()
        assert main(["render", "taught", "--machine", "data_flow", "--json", "--store", runs, *words]) == 0
        edges: dict[str, int] = json.loads(capsys.readouterr().out)["edges"]
        return edges

    now, first = at(), at("--at", "0")
    records = list(Journal(open_store(runs).run("taught")).records())
    last = len(records) - 1
    asked = next(r["seq"] for r in records if r.get("counts"))
    before, after = at("--at", str(asked - 1)), at("--at", str(asked))
    assert before["PARALLEL --> BEDROCK"] == 0 < after["PARALLEL --> BEDROCK"]
    assert at("--at", str(last)) == now
    assert first["SPLIT --> PROCESSED"] == now["SPLIT --> PROCESSED"] == 2
    assert (first["PARALLEL --> BEDROCK"], now["PARALLEL --> BEDROCK"]) == (0, 25)
    assert main(["render", "taught", "--machine", "data_flow", "--at", str(last + 1), "--store", runs]) == 2


def test_a_run_that_is_not_there_is_said_so(
    fsm_lineage: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert fsm_lineage("nobody") == 2
    assert "no run nobody" in capsys.readouterr().err


def test_an_empty_name_is_no_run(fsm_lineage: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert fsm_lineage("") == 2
    assert "'' cannot name a run" in capsys.readouterr().err
