"""Diagram 2 from end to end."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm.config import load
from phases.data_preparation.archive import Packing
from tests.needs import needing

CORPUS = Path(__file__).parents[3] / "configs" / "corpus"
Prepare = Callable[..., Any]
Sources = Callable[[dict[str, bytes | str]], Path]
FILES: dict[str, bytes | str] = {
    "tsn_data/a.c": "/* Open a gate. */\nint gate_open(int gate)\n{\n    return gate;\n}\n",
    "tsn_data/b.c": "int gate_close(int gate) { return -gate; }\nint gate_count(void) { return 8; }\n",
    "avb_data/stream.c": "int gate_open(int gate) { return gate; }\nint stream(void) { return 1; }\n",
    "carla/table.c": "const int table[] = {" + ", ".join(str(number) for number in range(100)) + "};\n",
}


@pytest.fixture
def prepare(finish: Callable[..., Any]) -> Prepare:
    """Run Diagram 2 on a source."""

    def go(source: Path, name: str = "run", seed: int = 7, **section: Any) -> Any:
        return finish("data_preparation", {"source": str(source), **section}, name, seed)

    return go


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Make a source directory of files by key."""

    def make(files: dict[str, bytes | str]) -> Path:
        root = tmp_path / "sources"
        for key, content in files.items():
            path = root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return make


def test_the_shipped_corpus_gives_splits_and_says_what_it_left_out(prepare: Prepare) -> None:
    done = prepare(CORPUS)
    assert done.outcome.outcome == "done"
    train, val = done.rows("data/splits/train.jsonl"), done.rows("data/splits/val.jsonl")
    assert len(train) + len(val) == done.data["unique"] >= 60
    assert len(train) == (len(train) + len(val)) * 9 // 10
    assert {row["domain"] for row in train} == {"TSN", "AVB", "CARLA"}
    assert {row["key"] for row in done.rows("data/skipped.jsonl")} == {
        "tsn_data/empty.c",
        "tsn_data/version.h",
        "avb_data/capture.c",
    }
    assert done.data["duplicates"] == 3
    rows = train + val
    assert any(
        row["key"] == "tsn_data/port_latin1.c" and "0,1 °C" in row["messages"][1]["content"] for row in rows
    )
    assert [row["kind"] for row in rows if row["key"] == "tsn_data/tables.c"] == ["completion"]


def test_the_training_channel_gets_the_same_rows_with_messages_alone(prepare: Prepare) -> None:
    done = prepare(CORPUS)
    for split in ("train", "val"):
        rows = done.rows(f"data/splits/{split}.jsonl")
        assert done.rows(f"data/processed/{split}.jsonl") == [{"messages": row["messages"]} for row in rows]
        assert all([turn["role"] for turn in row["messages"]] == ["user", "assistant"] for row in rows)


def test_no_code_is_in_both_splits(prepare: Prepare) -> None:
    done = prepare(CORPUS)
    train = {row["messages"][1]["content"] for row in done.rows("data/splits/train.jsonl")}
    assert not train & {row["messages"][1]["content"] for row in done.rows("data/splits/val.jsonl")}


def test_another_run_with_the_same_seed_has_the_same_bytes_and_another_seed_other_prompts(
    prepare: Prepare,
) -> None:
    first, second, other = prepare(CORPUS, "a"), prepare(CORPUS, "b"), prepare(CORPUS, "c", seed=8)
    assert first.fold.files == second.fold.files
    assert first.text("data/splits/train.jsonl") != other.text("data/splits/train.jsonl")


def test_sources_without_objects_take_their_own_edges(prepare: Prepare, sources: Sources) -> None:
    done = prepare(sources({"avb_data/stream.c": FILES["avb_data/stream.c"]}))
    assert done.data["objects"] == {"TSN": 0, "AVB": 1, "CARLA": 0}
    assert done.outcome.outcome == "done"
    assert not {"S3Download.DownloadTSN", "S3Download.DownloadCARLA"} & set(done.visits)


def test_every_edge_of_process_files_is_counted(prepare: Prepare, sources: Sources) -> None:
    files = FILES | {
        "tsn_data/latin.c": "/* é */ int e(void) { return 1; }".encode("latin-1"),
        "tsn_data/x.c": b"\x00",
    }
    done = prepare(sources(files))
    found = {edge.split("ProcessFiles.", 1)[1]: number for edge, number in done.counts.items()}
    assert sum(number for edge, number in found.items() if edge.startswith("ReadFile -->")) == len(files)
    assert sum(number for edge, number in found.items() if edge.startswith("FormatOutput -->")) == 7
    assert sum(number for edge, number in found.items() if edge.startswith("DecodeLatin1 -->")) == 2


def test_no_objects_anywhere_stops_at_the_listing_and_a_resume_lists_again(
    prepare: Prepare, sources: Sources
) -> None:
    root = sources({"tsn_data/readme.txt": "not code"})
    stopped = prepare(root).outcome
    assert stopped.outcome == "stopped"
    assert "tsn_data holds 1 file (1 with .txt); avb_data is not there; carla is not there" in stopped.message
    assert "The folders there are: tsn_data. Put the raw code there and resume" in stopped.message
    sources(FILES)
    assert prepare(root).outcome.outcome == "done"


def test_files_that_give_nothing_are_an_empty_dataset(prepare: Prepare, sources: Sources) -> None:
    stopped = prepare(sources({"tsn_data/a.c": "", "carla/b.c": "int x;"})).outcome
    assert stopped.outcome == "stopped"
    assert "None of the 2 files" in stopped.message


def test_a_file_that_is_too_long_is_skipped_and_said_so(prepare: Prepare, sources: Sources) -> None:
    done = prepare(sources(FILES), max_file_bytes=120)
    (skipped,) = done.rows("data/skipped.jsonl")
    assert skipped["key"] == "carla/table.c"
    assert "max_file_bytes is 120" in skipped["reason"]


@needing("gcc")
def test_the_shipped_corpus_compiles_without_a_warning() -> None:
    files = [path for path in sorted(CORPUS.glob("*/*.c")) if path.name != "capture.c"]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-fsyntax-only"]
    done = subprocess.run(["gcc", *flags, *files], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert len(files) >= 15


@pytest.mark.parametrize(("word", "kept"), [("off", True), ("false", True), ("on", False), ("true", False)])
def test_redaction_is_switched_by_either_word(
    prepare: Prepare, sources: Sources, tmp_path: Path, word: str, kept: bool
) -> None:
    files: dict[str, bytes | str] = {
        f"tsn_data/{n}.c": f"/* Ask ann@example.org of {n}. */\nint f{n}(int a) {{ return g{n}(a * {n}); }}\n"
        for n in range(4)
    }
    config = tmp_path / "dp.yaml"
    config.write_text(
        f"machine: data_preparation\ndata_preparation:\n  source: {sources(files)}\n  redact: {word}\n"
    )
    said = load(config).program.sections["data_preparation"]
    done = prepare(**said.model_dump(exclude_defaults=True))
    rows = [row for split in ("train", "val") for row in done.rows(f"data/splits/{split}.jsonl")]
    assert len(rows) == 4
    assert all(("ann@example.org" in row["messages"][1]["content"]) is kept for row in rows)


def test_it_says_how_far_it_is(prepare: Prepare, sources: Sources) -> None:
    done = prepare(sources(FILES))
    said = [note for note in done.notes if note.startswith("ProcessFiles: ")]
    assert re.fullmatch(
        r"ProcessFiles: 4 of 4 files, 5 functions, [\d.]+ MB/s, 0 s left \(CARLA carla/table\.c\)", said[-1]
    )


def test_an_archive_that_does_not_hold_what_was_listed_stops_the_run(
    prepare: Prepare, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def altered(packing: Packing, key: str, content: bytes, add: Any = Packing.add) -> None:
        add(packing, key, content + b" " if key == "tsn_data/b.c" else content)

    monkeypatch.setattr(Packing, "add", altered)
    stopped = prepare(sources(FILES)).outcome
    assert stopped.outcome == "stopped"
    held, listed = len(FILES["tsn_data/b.c"]) + 1, len(FILES["tsn_data/b.c"])
    assert f"holds tsn_data/b.c with {held} bytes" in stopped.message
    assert f"lists tsn_data/b.c with {listed} bytes" in stopped.message


def test_a_trees_licence_counts_where_a_file_says_none(prepare: Prepare, sources: Sources) -> None:
    files = FILES | {
        "tsn_data/COPYING": "GNU GENERAL PUBLIC LICENSE\nVersion 2, June 1991\n",
        "avb_data/LICENSE": "Permission is hereby granted, free of charge, to any person obtaining a copy",
        "tsn_data/own.c": "// SPDX-License-Identifier: MIT\nint own(int a) { return use(a); }\n",
    }
    done = prepare(sources(files), licences={"deny": ["GPL-*"]}, redact=False)
    rows = [row for split in ("train", "val") for row in done.rows(f"data/splits/{split}.jsonl")]
    assert {row["key"]: row["licence"] for row in rows} == {
        "avb_data/stream.c": "MIT",
        "carla/table.c": "NOASSERTION",
        "tsn_data/own.c": "MIT",
    }
    assert {row["key"]: row["reason"] for row in done.rows("data/skipped.jsonl")} == dict.fromkeys(
        ("tsn_data/a.c", "tsn_data/b.c"),
        "its licence is GPL-2.0-only; data_preparation.licences does not allow that",
    )


def test_a_copy_is_left_out_for_the_first_in_key_order(prepare: Prepare, sources: Sources) -> None:
    done = prepare(sources(FILES | {"avb_data/vendored/b.c": FILES["tsn_data/b.c"]}))
    assert {row["key"]: row["reason"] for row in done.rows("data/skipped.jsonl")} == {
        "avb_data/vendored/b.c": "a copy of tsn_data/b.c"
    }
