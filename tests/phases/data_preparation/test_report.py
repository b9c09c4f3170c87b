"""What data preparation says at its end, and what it hands out."""

from __future__ import annotations

import argparse
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm.command import guarded
from phases.data_preparation import cli
from phases.data_preparation.picture import picture
from phases.data_preparation.publishing import card
from phases.data_preparation.report import table

CORPUS = Path(__file__).parents[3] / "configs" / "corpus"
Finish = Callable[..., Any]


@pytest.fixture
def prepared(finish: Finish, tmp_path: Path) -> Any:
    return finish("data_preparation", {"source": str(CORPUS), "output": str(tmp_path / "out" / "set")})


def test_the_report_adds_up(prepared: Any) -> None:
    told = json.loads(prepared.text("data/report.json"))
    assert told["rows"] == {"train": prepared.data["train"], "val": prepared.data["val"]}
    found = told["sources"].values()
    assert sum(f["train"] + f["val"] for f in found) == prepared.data["unique"]
    assert sum(sum(f["skipped"].values()) for f in found) == prepared.data["skipped"]
    assert sum(f["duplicates"] for f in found) == prepared.data["duplicates"]
    assert all(sum(f["licences"].values()) == f["train"] + f["val"] for f in found)
    assert {f["folder"]: f["files"] for f in found} == {"tsn_data": 12, "avb_data": 8, "carla": 4}
    lines = table(told).splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["source", "TSN", "AVB", "CARLA"]
    assert any("skipped: no function, and N characters are too few" in line for line in lines)


def test_the_picture_is_the_same_every_time(prepared: Any) -> None:
    told = json.loads(prepared.text("data/report.json"))
    assert picture(told) == picture(told) == prepared.text("data/report.svg").encode()


def test_the_picture_has_every_number_and_bars_as_long_as_they_say() -> None:
    sources = {
        "TSN": {"train": 12_000, "val": 1_300, "near-duplicates": 900, "duplicates": 40, "held out": 3},
        "AVB": {"train": 6_000, "val": 10},
        "CARLA": {"train": 0, "val": 0},
    }
    svg = "{http://www.w3.org/2000/svg}"
    drawn = ET.fromstring(picture({"sources": sources}))
    bars = [
        (title.text, float(bar.attrib["width"]))
        for bar in drawn.iter(f"{svg}rect")
        if (title := bar.find(f"{svg}title")) is not None
    ]
    assert [said for said, _ in bars] == [
        *("12,000 training", "1,300 validation", "900 near-duplicates", "43 duplicates and held out"),
        *("6,000 training", "10 validation"),
    ]
    assert bars[0][1] == pytest.approx(2 * bars[4][1], abs=0.1)
    words = [text.text for text in drawn.iter(f"{svg}text")]
    assert words[4:] == ["TSN", "12,000", "1,300", "900", "14,243", "AVB", "6,000", "6,010", "CARLA", "0"]


def test_tokens_are_those_of_the_students_tokenizer(finish: Finish, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    own = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    own.save(str(tmp_path / "tokenizer.json"))
    done = finish("data_preparation", {"source": str(CORPUS), "tokenizer": str(tmp_path / "tokenizer.json")})
    told = json.loads(done.text("data/report.json"))
    rows = {split: done.rows(f"data/splits/{split}.jsonl") for split in ("train", "val")}
    counts = [
        sum(len(turn["content"].split()) for turn in row["messages"])
        for some in rows.values()
        for row in some
    ]
    assert sum(f["tokens"]["all"] for f in told["sources"].values()) == sum(counts)
    asked = sum(len(row["messages"][0]["content"].split()) for row in rows["train"])
    assert told["prompts"] == {"count": len(rows["train"]), "tokens": asked, "of": done.data["unique"]}
    assert done.data["prompts"] == told["prompts"]


def test_the_output_is_read_as_a_data_set(
    prepared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    out = tmp_path / "out" / "set"
    assert sorted(path.name for path in out.iterdir()) == [
        *("README.md", "report.json", "report.svg", "train.jsonl", "val.jsonl"),
    ]
    files = {"train": str(out / "train.jsonl"), "validation": str(out / "val.jsonl")}
    found = load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert found["train"].num_rows == prepared.data["train"]
    assert found["validation"].num_rows == prepared.data["val"]
    assert found["train"][0]["messages"] == prepared.rows("data/splits/train.jsonl")[0]["messages"]
    whole = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))  # by the card
    assert {name: part.num_rows for name, part in whole.items()} == {
        "train": prepared.data["train"],
        "validation": prepared.data["val"],
    }


def test_the_card_begins_with_what_the_hub_reads(prepared: Any) -> None:
    told = json.loads(prepared.text("data/report.json"))
    _, front, text = card(told).split("---\n", 2)
    said = yaml.safe_load(front)
    assert said["task_categories"] == ["text-generation"]
    assert said["size_categories"] == ["n<1K"]
    assert [file["split"] for file in said["configs"][0]["data_files"]] == ["train", "validation"]
    assert f"{prepared.data['train']:,} rows for training" in text
    assert table(told) in text


def test_the_command_tells_it(prepared: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*words: str) -> int:
        parser = argparse.ArgumentParser()
        cli.add_parser(parser.add_subparsers())
        args = parser.parse_args(["prepared", *words, "--store", str(tmp_path / "store")])
        return guarded(args.do, args)

    told = json.loads(prepared.text("data/report.json"))
    assert call("run") == 0
    assert capsys.readouterr().out == table(told) + "\n"
    assert call("run", "--json", "-o", str(tmp_path / "x.svg")) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert (tmp_path / "x.svg").read_text() == prepared.text("data/report.svg")
    assert call("run", "-o", str(tmp_path / "x.png")) == 2
    assert "Give the file the ending .svg" in capsys.readouterr().err
