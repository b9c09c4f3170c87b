"""A distillation's panels: curves with intervals, and answers with why they were scored so and what the teacher made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm.store.local import LocalStore
from fsm.view import RunFiles
from phases.distillation import panels


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.5, "high": mean + 0.5}


def report(epoch: int, drawn: float, frozen: float) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "drawn": {"overall": interval(drawn)},
        "held_out": {"overall": interval(frozen)},
        "correction_rate": 0.25,
        "corrections": {"tokens": [100 * epoch, 10 * epoch]},
        "dollars": 0.5 * epoch,
        "training": {
            "loss": 1.0 / epoch,
            "data": {"a/train.jsonl": {"tokens": 70}, "a/validation.jsonl": {"tokens": 9}},
        },
        "generated": {"drawn": {"tokens": 30}, "held_out": {"tokens": 12}},
    }


def score(prompt: str, overall: float, note: str) -> dict[str, Any]:
    reasons = [{"rule": "SafetyCheck.GotoCheck", "line": 3, "points": -3.0, "note": note}]
    dimensions = dict.fromkeys(("syntax", "protocol", "safety", "style"), overall)
    return {"prompt": prompt, "overall": overall, "reasons": reasons} | dimensions


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """Two epochs that are reported, and a third whose answers are scored and not yet corrected."""
    run = LocalStore(tmp_path).run("distillation")
    (tmp_path / "runs" / "distillation" / "artifacts").mkdir(parents=True)
    texts = {f"epoch-{n}/report.json": json.dumps(report(n, 5.0 + n, 4.5 + n)) for n in (1, 2)}
    for n in (2, 3):
        texts[f"epoch-{n}/outputs.jsonl"] = lines(
            [{"prompt": p, "text": f"{p} {n}"} for p in ("a", "b", "c")]
        )
        scored = [score("a", 9.0, "fine"), score("b", 3.0, "goto"), score("c", 6.0, "so so")]
        texts[f"epoch-{n}/scores.jsonl"] = lines(scored)
    texts["epoch-2/poor.jsonl"] = lines([{"prompt": "b"}, {"prompt": "c"}])
    texts["epoch-2/answers.jsonl"] = lines(
        [{"answer": "better b", "reason": ""}, {"answer": "better c", "reason": ""}]
    )
    texts["epoch-2/refused.jsonl"] = lines([{"prompt": "c", "reason": "it does not compile"}])
    found = {}
    for name, text in texts.items():
        put = run.put_artifact(name, text.encode())
        found[f"distillation/{name}"] = {"sha256": put.sha256, "size": put.size, "seq": 1}
    return RunFiles(run, {"config": {"convergence": {"avg_score": 7.5}}}, found)


def test_the_curves_have_a_point_for_each_finished_epoch(files: RunFiles) -> None:
    plots = {p["id"]: p for p in panels.panels(files) if p["kind"] == "plot"}
    assert list(plots) == ["score", "loss", "corrections", "tokens", "dollars"]
    drawn, frozen, goal = plots["score"]["lines"]
    assert drawn == {"name": "drawn set", "points": [[1, 6.0, 5.5, 6.5], [2, 7.0, 6.5, 7.5]]}
    assert frozen["points"][0] == [1, 5.5, 5.0, 6.0]
    assert (goal["points"], goal["dashed"]) == ([[1, 7.5], [2, 7.5]], True)
    assert [line["points"][1] for line in plots["loss"]["lines"]] == [[2, 0.5], [2, None]]
    assert [line["points"][1][1] for line in plots["tokens"]["lines"]] == [70, 42, 200, 20]
    assert plots["dollars"]["lines"][0]["points"] == [[1, 0.5], [2, 1.0]]


def test_answers_are_told_worst_first_with_their_rules_and_what_became_of_the_correction(
    files: RunFiles,
) -> None:
    pages = next(p for p in panels.panels(files) if p["kind"] == "pages")
    assert pages["items"][0] == {"id": "3-drawn", "label": "epoch 3, drawn set"}
    rows = panels.page(files, "answers", "2-drawn")["rows"]
    assert [row["text"] for row in rows] == ["b", "c", "a"]
    student, teacher = rows[0]["cells"]
    assert student["text"] == "b 2"
    assert ["SafetyCheck.GotoCheck, line 3", "-3.0: goto"] in student["rules"]
    assert (teacher["text"], teacher["facts"]) == ("better b", [["", "learned from"]])
    assert rows[1]["cells"][1]["facts"] == [["", "not learned from: it does not compile"]]
    assert len(rows[2]["cells"]) == 1


def test_behaviour_and_what_was_learned_are_drawn_where_they_are_known() -> None:
    behaved = {"behaviour": interval(6.0), "compared": 3}
    learned = [{"teacher": 54}, {"teacher": 54, "self": 7}]
    of = [report(n, 6.0, 5.5) | {"learned_from": learned[n - 1]} for n in (1, 2)]
    of[1]["behaviour"] = {"drawn": behaved, "held_out": behaved | {"compared": 0}}
    found = {p["id"]: p["lines"] for p in panels.curves(of, 8.0)}
    assert [line["points"] for line in found["behaviour"]] == [[[2, 6.0, 5.5, 6.5]], [[2, None]]]
    assert [(line["name"], line["points"]) for line in found["learned"]] == [
        ("from teacher", [[1, 54], [2, 54]]),
        ("from self", [[1, 0], [2, 7]]),
    ]
    assert not {"behaviour", "learned"} & {p["id"] for p in panels.curves([report(1, 6.0, 5.5)], 8.0)}


def test_answers_are_there_before_they_are_corrected(files: RunFiles) -> None:
    rows = panels.page(files, "answers", "3-drawn")["rows"]
    assert [len(row["cells"]) for row in rows] == [1, 1, 1]


def test_a_run_without_epochs_has_no_panels(files: RunFiles) -> None:
    assert panels.panels(RunFiles(files.run, files.header, {})) == []
