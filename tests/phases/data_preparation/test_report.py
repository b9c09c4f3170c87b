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
    assert not any(line.split()[:2][-1] == "0" for line in lines[4:-1])


def test_the_share_of_prompts_that_only_repeat_a_name_is_told(finish: Finish, tmp_path: Path) -> None:
    (tmp_path / "src" / "tsn_data").mkdir(parents=True)
    text = "int is_open(void) { return 1; }\nint count(int a) { return a; }\nint sum(int a, int b) { return a + b; }\n"
    (tmp_path / "src" / "tsn_data" / "a.c").write_text(text)
    done = finish("data_preparation", {"source": str(tmp_path / "src"), "near_dedup": "off"})
    told = json.loads(done.text("data/report.json"))
    assert told["only names"] == {"count": 1, "of": 3, "share": 0.3333}
    assert table(told).splitlines()[-1] == "prompts that only repeat a name: 1 of 3 (33.3%)"


def test_reasons_are_counted_by_what_they_say_and_not_by_the_file(finish: Finish, tmp_path: Path) -> None:
    (tmp_path / "src" / "tsn_data").mkdir(parents=True)
    for number, under in enumerate(("GPL-2.0-only", "GPL-2.0-only", "0BSD", "MIT", "MIT")):
        text = f"// SPDX-License-Identifier: {under}\nint f_{number}(int a) {{ return g_{number}(a + {number}); }}\n"
        for copy in ("", "_copy"):
            (tmp_path / "src" / "tsn_data" / f"{number}{copy}.c").write_text(text)
    section = {"source": str(tmp_path / "src"), "licences": {"deny": ["GPL-*", "0BSD"]}}
    told = json.loads(finish("data_preparation", section).text("data/report.json"))
    denied = "; data_preparation.licences does not allow that"
    assert told["sources"]["TSN"]["skipped"] == {
        "a copy of another file": 5,
        f"its licence is 0BSD{denied}": 1,
        f"its licence is GPL-2.0-only{denied}": 2,
    }


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
    section = {"source": str(CORPUS), "tokenizer": str(tmp_path / "tokenizer.json")}
    done = finish("data_preparation", section, beside={"qlora_training": {"max_length": 64}})
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
    assert told["limit"] == 64
    found = [row for some in rows.values() for row in some if row["domain"] == "TSN"]
    tsn = sorted(sum(len(turn["content"].split()) for turn in row["messages"]) for row in found)
    assert told["sources"]["TSN"]["tokens"] == {
        "all": sum(tsn),
        "median": tsn[(len(tsn) - 1) // 2],
        "p95": tsn[(len(tsn) - 1) * 95 // 100],
        "over": sum(n > 64 for n in tsn),
    }
    assert 0 < told["sources"]["TSN"]["tokens"]["over"] < len(tsn)


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


def test_an_output_that_cannot_be_written_is_told(finish: Finish, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    section = {"source": str(CORPUS), "output": str(tmp_path / "file" / "set")}
    stopped = finish("data_preparation", section).outcome
    assert stopped.outcome == "stopped"
    assert "of data_preparation.output, cannot be written: Not a directory" in stopped.message
    (tmp_path / "file").unlink()
    assert finish("data_preparation", section).outcome.outcome == "done"


@pytest.mark.parametrize(
    ("licences", "said"),
    [
        ({"MIT": 3}, "mit"),
        ({"GPL-2.0-or-later": 3}, "gpl-2.0"),
        ({"NOASSERTION": 3}, "unknown"),
        ({"LGPL-2.0-only": 3}, "other"),
        ({"MIT": 1, "ISC": 1}, "other"),
        ({}, "other"),
    ],
)
def test_the_card_names_a_licence_as_the_hub_does(prepared: Any, licences: dict[str, int], said: str) -> None:
    told = json.loads(prepared.text("data/report.json"))
    for found in told["sources"].values():
        found["licences"] = licences
    assert yaml.safe_load(card(told).split("---\n", 2)[1])["license"] == said


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
