"""What is validated on was not trained on: no twin, no prompt, no held-out text."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phases.data_preparation.report import table

TOKEN = re.compile(r"\w+|[^\w\s]")
Finish = Callable[..., Any]


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Ninety functions in thirty families: of each one there is a copy with another name, and a variant with a line more."""
    chance = random.Random(5)
    for folder in ("tsn_data", "carla"):
        (tmp_path / "twins" / folder).mkdir(parents=True)
    for family in range(30):
        lines = [f"\ttotal += load(port{chance.randrange(99)}, {chance.randrange(999)});" for _ in range(14)]
        for kind, more in (("first", []), ("copied", []), ("longer", ["\ttrace(total);"])):
            body = "\n".join([*lines, *more])
            text = f"int sum_{kind}_{family}(int total)\n{{\n{body}\n\treturn total;\n}}\n"
            folder = "carla" if kind == "copied" else "tsn_data"
            (tmp_path / "twins" / folder / f"{family:02}_{kind}.c").write_text(text)
    return tmp_path / "twins"


def grams(text: str) -> set[tuple[str, ...]]:
    tokens = TOKEN.findall(text)
    return {tuple(tokens[at : at + 5]) for at in range(max(1, len(tokens) - 4))}


def code(rows: list[dict[str, Any]]) -> list[str]:
    return [row["messages"][1]["content"] for row in rows]


def twins_across(done: Any) -> int:
    """How many validation rows have a row for training that shares 0.7 of its 5-grams: all against all."""
    train, val = (list(map(grams, code(done.rows(f"data/splits/{s}.jsonl")))) for s in ("train", "val"))
    return sum(any(len(v & t) / len(v | t) >= 0.7 for t in train) for v in val)


def test_one_of_near_duplicates_stays_and_it_is_the_first(twins: Path, finish: Finish) -> None:
    done = finish("data_preparation", {"source": str(twins)})
    rows = done.rows("data/splits/train.jsonl") + done.rows("data/splits/val.jsonl")
    assert sorted(row["name"] for row in rows) == sorted(f"sum_first_{n}" for n in range(30))
    assert done.data["dropped"]["near-duplicates"] == {"TSN": 30, "AVB": 0, "CARLA": 30}
    assert done.data["dropped"]["clusters"] == {"TSN": 30, "AVB": 0, "CARLA": 0}
    assert twins_across(done) == 0


def test_a_cluster_may_stay_whole_on_one_side(twins: Path, finish: Finish) -> None:
    done = finish("data_preparation", {"source": str(twins), "near_dedup": "split-by-cluster"})
    train, val = (done.rows(f"data/splits/{split}.jsonl") for split in ("train", "val"))
    assert (len(train), len(val)) == (81, 9)
    family = [{row["name"].rpartition("_")[2] for row in rows} for rows in (train, val)]
    assert not family[0] & family[1]
    assert twins_across(done) == 0


def test_off_knows_exact_duplicates_alone(twins: Path, finish: Finish) -> None:
    done = finish("data_preparation", {"source": str(twins), "near_dedup": "off"})
    assert done.data["unique"] == 90
    assert "near-duplicates" not in done.data["dropped"]
    assert twins_across(done) > 5


def test_a_prompt_of_validation_stands_in_no_training_row(tmp_path: Path, finish: Finish) -> None:
    """Functions of one name and comment, with bodies that have nothing in common."""
    chance = random.Random(1)
    (tmp_path / "src" / "tsn_data").mkdir(parents=True)
    for number in range(60):
        body = "\n".join(f"\tstep_{chance.randrange(9999)}({chance.randrange(9999)});" for _ in range(12))
        text = f"/* Starts part {number % 6}. */\nstatic void start(void)\n{{\n{body}\n}}\n"
        (tmp_path / "src" / "tsn_data" / f"{number:02}.c").write_text(text)
    done = finish("data_preparation", {"source": str(tmp_path / "src")})
    assert done.data["unique"] == 60
    asked = [
        {row["messages"][0]["content"] for row in done.rows(f"data/splits/{split}.jsonl")}
        for split in ("train", "val")
    ]
    assert asked[0]
    assert asked[1]
    assert not asked[0] & asked[1]


@pytest.mark.parametrize("near", ["keep-one", "split-by-cluster"])
def test_examples_that_are_all_alike_are_split_all_the_same_and_that_is_said(
    tmp_path: Path, finish: Finish, near: str
) -> None:
    (tmp_path / "src" / "tsn_data").mkdir(parents=True)
    for number in range(20):
        text = f"/* Adds. */\nint add_{number}(int a)\n{{\n\tint b = a + 1;\n\tb += a;\n\treturn b * a;\n}}\n"
        (tmp_path / "src" / "tsn_data" / f"{number:02}.c").write_text(text)
    done = finish("data_preparation", {"source": str(tmp_path / "src"), "near_dedup": near})
    assert done.outcome.outcome == "done"
    assert (done.data["train"], done.data["val"], done.data["alike"]) == (18, 2, True)
    told = json.loads(done.text("data/report.json"))
    assert told["alike"]
    assert "All 20 examples are near-duplicates of each other" in table(told)


def test_held_out_texts_are_in_neither_split(twins: Path, finish: Finish, tmp_path: Path) -> None:
    def held(kind: str, family: int) -> str:
        return (twins / "tsn_data" / f"{family:02}_{kind}.c").read_text()

    (tmp_path / "bench.jsonl").write_text(
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": "Sum."},
                    {"role": "assistant", "content": held("first", 3)},
                ]
            }
        )
        + "\n"
        + json.dumps({"prompt": "Write something else.", "canonical_solution": held("longer", 7)})
        + "\n"
    )
    (tmp_path / "text.c").write_text(held("first", 11))
    files = [str(tmp_path / name) for name in ("bench.jsonl", "text.c")]
    done = finish("data_preparation", {"source": str(twins), "decontaminate": files})
    rows = done.rows("data/splits/train.jsonl") + done.rows("data/splits/val.jsonl")
    assert {row["name"] for row in rows} == {f"sum_first_{n}" for n in range(30) if n not in (3, 7, 11)}
    assert sum(done.data["dropped"]["held out"].values()) == 9
    stopped = finish("data_preparation", {"source": str(twins), "decontaminate": ["nowhere.jsonl"]}, "none")
    assert "decontaminate names 'nowhere.jsonl', and there is no such file" in stopped.outcome.message


def test_the_frozen_set_of_distillation_is_in_neither_split(
    twins: Path, finish: Finish, tmp_path: Path
) -> None:
    frozen = tmp_path / "frozen.jsonl"
    row = {"prompt": "Sum.", "answer": (twins / "tsn_data" / "05_first.c").read_text()}
    frozen.write_text(json.dumps(row) + "\n")
    beside = {"distillation": {"held_out_file": str(frozen)}}
    done = finish("data_preparation", {"source": str(twins)}, beside=beside)
    rows = done.rows("data/splits/train.jsonl") + done.rows("data/splits/val.jsonl")
    assert {row["name"] for row in rows} == {f"sum_first_{n}" for n in range(30) if n != 5}


def test_no_more_is_asked_than_was_allowed(twins: Path, finish: Finish) -> None:
    done = finish("data_preparation", {"source": str(twins), "near_dedup": "off", "max_prompts": 20})
    assert (done.data["train"], done.data["val"]) == (20, 2)
    assert done.data["prompts"]["count"] == len(done.rows("data/splits/train.jsonl")) == 20
    domains = [row["domain"] for row in done.rows("data/splits/train.jsonl")]
    assert 5 <= domains.count("CARLA") <= 8  # a third of the rows there are
    whole = finish("data_preparation", {"source": str(twins), "near_dedup": "off"}, "whole")
    assert set(code(done.rows("data/splits/train.jsonl"))) < set(code(whole.rows("data/splits/train.jsonl")))
