"""`fsm answer`: which answers are taken, and what a run says that waits for one."""

from __future__ import annotations

import json
import sys
import threading
import time

import pytest

from fsm.journal import requests
from fsm.store import open_store
from tests.fsm.upkeep.conftest import Office


def test_a_run_that_asks_is_answered_and_goes_on_when_it_is_due(office: Office) -> None:
    asked = office.run()
    assert asked.code == 4
    assert "Ask asks: May it be signed? Answer with `fsm answer r LABEL`" in asked.err
    assert office.of("answer", "r", "Yes", "--by", "ada", "--note", "gladly", "--set", "pen=7").code == 0
    assert office.resume_due("--json").row["outcome"] == "done"
    answer = [row for row in office.of("history", "r", "--json").rows if row["kind"] == "answer"]
    assert [(a["label"], a["by"], a["note"], a["values"]) for a in answer] == [
        ("Yes", "ada", "gladly", {"pen": 7})
    ]
    run = open_store(office.store).run("r")
    signed = next(
        r["artifacts"]
        for r in office.of("history", "r", "--json").rows
        if "signed.txt" in r.get("artifacts", ())
    )
    assert run.artifact(signed["signed.txt"]).read_text() == "7"


def test_status_and_runs_say_who_waits_for_what(office: Office) -> None:
    office.run()
    status = office.status()
    assert status["status"] == "waiting"
    (waits,) = status["waiting"]
    assert (waits["question"], waits["labels"], waits["show"]) == (
        "May it be signed?",
        ["Yes", "No", "Nobody"],
        {"pages": 3},
    )
    text = office.of("status", "r").out
    assert "May it be signed?" in text
    assert waits["slot"] in text
    assert "asks: May it be signed? (Yes, No, Nobody)" in office.fsm("runs", "--store", office.store).out
    office.run("s", seconds=3600)
    assert "until 20" in office.fsm("runs", "--store", office.store).out


def test_a_label_that_is_no_edge_is_refused(office: Office) -> None:
    office.run()
    said = office.of("answer", "r", "Yess")
    assert said.code == 2
    assert (
        "Ask has no edge 'Yess'; did you mean 'Yes'? Run r may be answered by: Yes, No, Nobody. [F411]"
        in said.err
    )


def test_a_run_that_asks_nothing_is_not_answered(office: Office) -> None:
    office.run(seconds=3600)
    said = office.of("answer", "r", "Yes")
    assert said.code == 2
    assert "Run r asks nothing" in said.err


def test_a_run_that_is_over_is_not_answered(office: Office) -> None:
    office.run()
    office.of("answer", "r", "No")
    assert office.run().code == 1
    said = office.of("answer", "r", "Yes")
    assert said.code == 2
    assert "it is over (failed)" in said.err


def test_the_second_answer_is_told_of_the_first(office: Office) -> None:
    office.run()
    office.of("answer", "r", "No", "--by", "ada")
    said = office.of("answer", "r", "Yes", "--by", "bob")
    assert said.code == 2
    assert "answered already: ada said 'No' to: May it be signed? The first answer stands." in said.err


def test_of_answers_at_once_exactly_one_is_taken(office: Office) -> None:
    office.run()
    slot = office.status()["waiting"][0]["slot"]
    stood = []
    ready = threading.Barrier(8)

    def answer(n: int) -> None:
        run = open_store(office.store).run("r")
        said = requests.AnswerRequest(id=str(n), by=str(n), label="Yes")
        ready.wait()
        stood.append((n, requests.put(run, slot, said).id))

    threads = [threading.Thread(target=answer, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id for _, id in stood}) == 1
    assert sum(str(n) == id for n, id in stood) == 1


def test_an_answer_to_an_old_question_is_refused(office: Office) -> None:
    office.run(seconds=0)
    said = office.of("answer", "r", "Yes", "--to", "0123456789abcdef")
    assert said.code == 2
    assert (
        "does not ask '0123456789abcdef': that is answered, or was never asked. What it asks now is"
        in said.err
    )


def test_an_answer_after_the_time_limit_is_refused_and_the_drawn_edge_is_taken(office: Office) -> None:
    office.run(limit=0)
    assert office.status()["label"] == "Nobody"
    office.run("s", limit=1)
    time.sleep(max(0.0, office.status("s")["waiting"][0]["until"] - time.time()) + 0.01)
    said = office.of("answer", "s", "Yes")
    assert said.code == 2
    assert "it goes on by 'Nobody', as drawn" in said.err
    assert office.resume_due("--json").row["label"] == "Nobody"


@pytest.mark.parametrize(
    ("word", "said"), [("pen", "give it a key and a value"), ("=3", "give it a key and a value")]
)
def test_a_value_has_a_key(word: str, said: str, office: Office) -> None:
    office.run()
    refused = office.of("answer", "r", "Yes", "--set", word)
    assert refused.code == 2
    assert said in refused.err


def test_a_key_is_set_once(office: Office) -> None:
    office.run()
    assert "set twice" in office.of("answer", "r", "Yes", "--set", "a=1", "--set", "a=2").err


def test_an_answer_has_a_size(office: Office) -> None:
    office.run()
    assert "of 65536 bytes at most" in office.of("answer", "r", "Yes", "--note", "x" * 70_000).err


def test_who_is_to_hear_of_a_run_hears_its_question_once(office: Office) -> None:
    heard = office.directory / "heard"
    notify = {
        "command": [sys.executable, "-c", f"import sys; open({str(heard)!r}, 'a').write(sys.stdin.read())"]
    }
    office.run(notify=notify)
    office.run(notify=notify)
    (told,) = map(json.loads, heard.read_text().splitlines())
    assert (told["status"], told["place"]) == ("waiting", "Ask")
    assert "May it be signed?" in told["message"]


@pytest.mark.parametrize("stays", [True, False])
def test_who_is_to_be_told_of_a_question_is_told_once_whether_the_run_waits_or_comes_to_rest(
    office: Office, stays: bool
) -> None:
    told = office.directory / "told.jsonl"
    program = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
    config = office.config(limit=1, notify={"command": [sys.executable, "-c", program, str(told)]})
    words = ["run", str(config), "--run", "r", "--log", "none", *([] if stays else ["--no-wait"])]
    codes = [office.fsm(*words).code]
    if not stays:
        time.sleep(max(0.0, office.status()["waiting"][0]["until"] - time.time()) + 0.01)
        codes.append(office.fsm(*words).code)
    assert codes == ([0] if stays else [4, 0])
    heard = [json.loads(line) for line in told.read_text().splitlines()]
    assert [h["status"] for h in heard] == ["waiting", "done"]
    assert "Ask asks" in heard[0]["message"]
    assert "May it be signed?" in heard[0]["message"]
