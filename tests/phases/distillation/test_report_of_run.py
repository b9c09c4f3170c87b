"""`fsm report` over a recorded run: whole, cut off anywhere, interrupted, decided otherwise."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.cli import main
from fsm.errors import NoSuchRun
from fsm.store import open_store
from machines.distillation import MACHINE
from phases.distillation import run_page, run_report, run_words, stored
from phases.distillation.report import FAILURES
from tests.phases.distillation.store import CLAIM, Record, artifacts, records, step, write

NAME = "distillation-local"
RECORDS = records()
DECIDED = [i for i, r in enumerate(RECORDS) if r.get("from") == "EpochN.CheckConvergence.CheckThreshold"]


def stored_at(path: Path, found: list[Record], config: dict[str, Any] | None = None) -> stored.Stored:
    write(path, NAME, found, artifacts(), config=config)
    return stored.find(open_store(str(path)), NAME)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The recorded run, and the pipeline's, whose job it was."""
    write(tmp_path, NAME, RECORDS, artifacts(), config={"qlora_training": {"model": "tiny-granite"}})
    launched = step(
        "pipeline",
        "TrainingLaunch",
        ["IterativeDistillation"],
        data={"set": {"job": {"job": "j", "run": NAME}}},
    )
    write(tmp_path, "local", [CLAIM, launched], {}, machine="pipeline")
    return tmp_path


@pytest.fixture
def said(store: Path) -> dict[str, Any]:
    return run_report.report(stored.find(open_store(str(store)), "local"))


def test_wordings_are_told_with_what_they_cost_in_steps(said: dict[str, Any]) -> None:
    assert "wordings" not in "\n".join(run_words.caption(said))
    cost = {"variants": 8, "rows": [65, 514], "steps_a_pass": [17, 129]}
    said["epochs"][-1]["training"]["wordings"] = cost
    assert list(run_words.caption(said))[-1] == (
        "Each example in up to 8 wordings: in the last epoch 65 were 514, and one pass over them 129 optimizer steps instead of 17."
    )


def test_the_report_has_every_epochs_own_report_and_how_the_loop_ended(said: dict[str, Any]) -> None:
    own = [json.loads(artifacts()[f"distillation/epoch-{n}/report.json"]) for n in range(1, 7)]
    assert [{k: e[k] for k in own[0]} for e in said["epochs"]] == own
    assert (said["run"], said["of"], said["status"], said["model"]) == (NAME, "local", "done", "tiny-granite")
    assert said["ended"] == {
        "outcome": "max epochs",
        "rule": "max_epochs",
        "state": "MAXED",
        "epoch": 6,
        "reason": "Max epochs reached: 6",
        "lag": 1.2963,
    }
    assert said["totals"]["corrections"] == {"asked": 16, "reused": 12, "accepted": 16, "refused": 12}
    assert said["epochs"][1]["tokens"] == {
        "dataset": 12328,
        "generated": 5404,
        "teacher_input": 0,
        "teacher_output": 0,
    }


def test_the_seconds_are_all_of_the_journals_and_each_is_told_once(said: dict[str, Any]) -> None:
    whole = RECORDS[-1]["time"] - RECORDS[0]["time"]
    spent = said["totals"]["seconds"]
    assert spent["total"] == pytest.approx(whole, abs=0.01)
    assert spent["epochs"] == pytest.approx(sum(e["seconds"]["total"] for e in said["epochs"]), abs=0.01)
    train = [i for i, r in enumerate(RECORDS) if r.get("from") == "EpochN.Train"]
    generate = [i for i, r in enumerate(RECORDS) if r.get("from") == "EpochN.Generate"]
    for epoch, trained, generated in zip(said["epochs"], train, generate, strict=True):
        assert epoch["seconds"]["generate"] == pytest.approx(
            RECORDS[generated]["time"] - RECORDS[trained]["time"], abs=0.001
        )


@given(st.integers(1, len(RECORDS) - 1), st.floats(0, 1e6))
def test_what_passes_before_the_run_is_taken_up_again_counts_for_nothing(place: int, pause: float) -> None:
    later = [r | {"time": r["time"] + pause} for r in RECORDS[place:]]
    resumed = [*RECORDS[:place], CLAIM | {"time": RECORDS[place - 1]["time"] + pause}, *later]
    undisturbed, found = run_report.seconds(RECORDS), run_report.seconds(resumed)
    for one, other in zip(undisturbed["epochs"], found["epochs"], strict=True):
        assert other == pytest.approx(one, abs=1e-3)
    assert found["setup"] == pytest.approx(undisturbed["setup"], abs=1e-3)
    assert found["saving"] == pytest.approx(undisturbed["saving"], abs=1e-3)


@pytest.mark.parametrize("cut", [DECIDED[0] + 1, DECIDED[2] + 1, DECIDED[2] + 9, DECIDED[5], len(RECORDS)])
def test_a_run_cut_off_anywhere_is_told_as_far_as_its_epochs_are_finished(tmp_path: Path, cut: int) -> None:
    said = run_report.report(stored_at(tmp_path, RECORDS[:cut]))
    assert len(said["epochs"]) == sum(place < cut for place in DECIDED)
    assert said["status"] == ("done" if cut == len(RECORDS) else "stopped")
    assert bool(said["place"]) == (cut < len(RECORDS))
    assert (said["ended"] is not None) == (cut >= DECIDED[5])
    assert [one["last"]["epoch"] for one in said["answers"]] == [len(said["epochs"])] * (
        3 if len(said["epochs"]) > 1 else 0
    )
    assert said["place"] in "\n".join(run_words.caption(said)) or said["ended"]


@pytest.mark.parametrize(
    ("state", "outcome", "rule"),
    [("CONVERGED1", "converged", "avg_score"), ("CONVERGED2", "converged", "correction_rate")],
)
def test_a_loop_that_converged_says_by_which_rule(
    tmp_path: Path, state: str, outcome: str, rule: str
) -> None:
    found = [r | {"from": state} if r.get("from") == "MAXED" else r for r in RECORDS]
    said = run_report.report(stored_at(tmp_path, found))
    assert (said["ended"]["outcome"], said["ended"]["rule"]) == (outcome, rule)
    assert f"Converged after epoch 6 by the rule {rule} ({state})" in "\n".join(run_words.caption(said))


def test_the_frozen_set_lags_only_where_it_does_by_more_than_the_settings_allow(tmp_path: Path) -> None:
    said = run_report.report(stored_at(tmp_path, RECORDS, {"convergence": {"lag": 1.5}}))
    assert said["ended"]["lag"] is None


def test_the_answers_before_and_after_are_of_one_prompt_each_best_gain_first(said: dict[str, Any]) -> None:
    gains = [one["gained"] for one in said["answers"]]
    assert gains == sorted(gains, reverse=True)
    scored = [json.loads(r) for r in artifacts()["distillation/epoch-6/held_out_scores.jsonl"].splitlines()]
    last = {r["prompt"]: r["overall"] for r in scored}
    for one in said["answers"]:
        assert one["last"]["overall"] == last[one["prompt"]]
        assert one["gained"] == pytest.approx(one["last"]["overall"] - one["first"]["overall"], abs=1e-4)
    assert len({one["prompt"] for one in said["answers"]}) == 3


class Links(HTMLParser):
    """Every address a page would fetch, its pictures, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data", "poster")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_all_in_it_and_fetches_nothing(said: dict[str, Any]) -> None:
    text = run_page.page(said)
    found = Links()
    found.feed(text)
    assert len(found.addresses) == 2
    assert all(a.startswith("data:image/svg+xml;base64,") for a in found.addresses)
    assert not re.search(r"url\(|@import", text)
    for epoch in said["epochs"]:
        for key in run_words.SETS:
            for dimension in ("overall", "syntax", "protocol", "safety", "style"):
                assert f"{epoch[key][dimension]['mean']:.2f}" in found.text
    for line in run_words.caption(said):
        assert line in found.text
    assert run_page.page(said) == text


def measured(said: dict[str, Any]) -> dict[str, Any]:
    """The report, as of a run that measured behaviour and told what it learned."""
    mean = {"mean": 6.25, "low": 5.5, "high": 7.0}
    behaved = {"behaviour": mean, "right": 9, "compared": 16, "outputs": 20, "weak": 1}
    kinds = dict.fromkeys(FAILURES, 0) | {"does not compile": 5, "wrong results": 7, "none": 8}
    for epoch in said["epochs"]:
        epoch["behaviour"] = {"drawn": behaved, "held_out": behaved | {"compared": 0}}
        epoch["failures"] = {"drawn": kinds, "held_out": kinds}
        epoch["learned_from"] = {"teacher": 1054, "correction": 9, "self": epoch["epoch"] - 1}
    return said


def test_what_was_measured_and_learned_is_told_and_what_was_not_has_no_place(said: dict[str, Any]) -> None:
    plain = Links()
    plain.feed(run_page.page(said))
    titles = ("What the answers do", "Answers by kind of failure", "What was learned, and from whom")
    assert not [title for title in titles if title in plain.text]
    found = Links()
    found.feed(run_page.page(measured(said)))
    assert [title in found.text for title in titles] == [True] * 3
    for words in ("6.25", "not compared", "wrong results", "35%", "from self", "1,054"):
        assert words in found.text
    heads, rows = run_words.behaviour(said["epochs"])
    assert rows[0] == ["1", "drawn set", {"mean": 6.25, "low": 5.5, "high": 7.0}, "9", "16", "20", "1"]
    assert len(heads) == len(rows[0])
    heads, rows = run_words.learned(said["epochs"])
    assert dict(zip(heads, rows[2], strict=True))["from self"] == "2"


def test_each_epochs_answers_stand_beside_those_of_the_epoch_before(said: dict[str, Any]) -> None:
    assert said["epochs"][0]["beside"] == []
    second = said["epochs"][1]["beside"]
    assert [one["gained"] for one in second] == sorted((one["gained"] for one in second), reverse=True)
    before = {
        r["prompt"]: r["text"]
        for r in map(json.loads, artifacts()["distillation/epoch-1/held_out_outputs.jsonl"].splitlines())
    }
    assert all(one["before"]["text"] == before[one["prompt"]] for one in second)
    found = Links()
    found.feed(run_page.page(said))
    assert found.tags.count("details") == 5
    assert all(one["after"]["text"] in found.text for one in second)


def test_what_a_model_wrote_is_text_on_the_page(said: dict[str, Any]) -> None:
    said["answers"][0]["last"]["text"] = said["answers"][0]["prompt"] = "</pre><script>alert(1)</script>"
    found = Links()
    found.feed(run_page.page(said))
    assert "script" not in found.tags
    assert found.text.count("<script>alert(1)</script>") == 2


def test_the_command_shows_both_sets_of_every_epoch(
    store: Path, said: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "local", "--store", str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for epoch in said["epochs"]:
        drawn, frozen = (run_words.score(epoch[k]["overall"]) for k in run_words.SETS)
        assert sum(drawn in line and frozen in line for line in lines) == 1
        for dimension in ("syntax", "style"):
            assert any(
                "frozen set" in line and run_words.score(epoch["held_out"][dimension]) in line
                for line in lines
            )
    assert main(["report", "local", "--store", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == said
    assert main(["report", NAME, "--store", str(store), "-o", str(store / "r.html")]) == 0
    assert (store / "r.html").read_text("utf-8").startswith("<!doctype html>")


# Bad input


def refused(path: Path, *words: str) -> str:
    with pytest.raises(stored.NotDistilled) as e:
        run_report.report(stored.find(open_store(str(path)), "it"))
    for word in words:
        assert word in str(e.value)
    return str(e.value)


def test_a_run_without_a_distillation_is_refused_by_what_it_is(tmp_path: Path) -> None:
    write(tmp_path, "it", [CLAIM], {}, machine="data_preparation")
    refused(tmp_path, "data_preparation", "distills nothing")


def test_a_pipeline_that_has_not_come_so_far_is_told_from_one_that_ended_before(tmp_path: Path) -> None:
    write(tmp_path / "a", "it", [CLAIM], {}, machine="pipeline")
    refused(tmp_path / "a", "not come to its distillation yet")
    end = {"outcome": "failed", "label": "Validation failed", "last": "Validation"}
    write(tmp_path / "b", "it", [CLAIM, step("pipeline", "Validation", [], end=end)], {}, machine="pipeline")
    refused(tmp_path / "b", "Validation failed")


def test_a_job_whose_run_is_not_in_the_store_is_refused(tmp_path: Path) -> None:
    data = {"set": {"job": {"job": "j", "run": "elsewhere"}}}
    launched = step("pipeline", "TrainingLaunch", ["IterativeDistillation"], data=data)
    write(tmp_path, "it", [CLAIM, launched], {}, machine="pipeline")
    refused(tmp_path, "elsewhere", str(tmp_path))


@pytest.mark.parametrize("cut", [0, 1, 10, DECIDED[0]])
def test_a_run_without_a_finished_epoch_says_where_it_stands(tmp_path: Path, cut: int) -> None:
    write(tmp_path, "it", RECORDS[:cut], artifacts())
    refused(
        tmp_path, "has not finished an epoch", RECORDS[cut].get("from", "") if cut > 1 else "has not begun"
    )


def test_the_command_refuses_a_run_that_is_not_there_and_another_format(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NoSuchRun):
        stored.find(open_store(str(store)), "nowhere")
    assert main(["report", "nowhere", "--store", str(store)]) == 2
    assert main(["report", "local", "--store", str(store), "-o", "r.pdf"]) == 2
    assert "ending .html" in capsys.readouterr().err
    assert main(["report", "local", "--store", str(store), "-o", str(store / "no" / "r.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_seconds_of_every_state_of_an_epoch_are_told_under_a_part() -> None:
    inside = {state for state in MACHINE.states if state.startswith("EpochN.")}
    untold = {s for s in inside if ".".join(s.split(".")[:2]) not in run_report.PARTS}
    assert untold == set()
