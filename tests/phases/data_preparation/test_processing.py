"""One file through ProcessFiles: what becomes of it, and why nothing does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from phases.data_preparation.archive import members, pack
from phases.data_preparation.config import DataPreparationConfig
from phases.data_preparation.copies import marked
from phases.data_preparation.licences import Licences
from phases.data_preparation.planning import File
from phases.data_preparation.processing import LEFT_OUT, Rules, SourceFile
from phases.errors import NotProvided

CODE = "/* SPDX-License-Identifier: MIT */\n/* Adds, says Ann Lee <ann@example.org>. */\nint add(int a)\n{\n\treturn a + 1;\n}\n"
HEADER = "/* Numbers of gates. */\n" + "".join(f"#define GATE_{n} {n}\n" for n in range(40))


def extracted(text: str, label: str, copy_of: str = "", **rules: Any) -> SourceFile:
    """The file behind ExtractFunctions, which was left by that label."""
    file = SourceFile("tsn/a.c", "TSN", text.encode(), Rules(1, 200, **rules), text=text, copy_of=copy_of)
    assert file.extract() == label
    return file


def test_a_row_knows_where_it_is_from() -> None:
    file = extracted(CODE, "Functions found", source="s3://raw")
    file.select_template()
    assert file.format_output() == "Example added"
    row = file.examples[0].row("")
    assert {key: row[key] for key in ("source", "key", "domain", "name", "first", "last", "licence")} == {
        "source": "s3://raw",
        "key": "tsn/a.c",
        "domain": "TSN",
        "name": "add",
        "first": 2,
        "last": 6,
        "licence": "MIT",
    }
    assert file.tally["prompts from: comment"] == 1


def test_people_are_replaced_in_answers_and_prompts_unless_told_otherwise() -> None:
    for redact, said in ((True, "[name] <[e-mail]>"), (False, "Ann Lee <ann@example.org>")):
        file = extracted(CODE, "Functions found", redact=redact)
        file.select_template()
        file.format_output()
        row = file.examples[0].row("")
        assert all(said in turn["content"] for turn in row["messages"])
        assert file.tally["replaced: name"] == file.tally["replaced: e-mail"] == redact


def test_a_licence_that_is_not_allowed_leaves_a_file_out() -> None:
    denied = extracted(CODE, LEFT_OUT, licences=Licences(deny=("MIT",)))
    assert denied.skipped == "its licence is MIT; data_preparation.licences does not allow that"
    unknown = extracted(HEADER, LEFT_OUT, licences=Licences(allow=("MIT",)))
    assert unknown.skipped == "no licence is known; data_preparation.licences does not allow that"
    extracted(HEADER, "No functions (len > 200)", licences=Licences(allow=("MIT",)), trees={"tsn": "MIT"})


def test_generated_files_data_and_copies_are_left_out() -> None:
    assert extracted(f"/* DO NOT EDIT */\n{CODE}", LEFT_OUT).skipped.startswith("generated")
    table = "int t[] = {\n" + "1, 2, 3, 4,\n" * 1000 + "};\n"
    assert extracted(table, LEFT_OUT).skipped.startswith("data")
    assert extracted(CODE, LEFT_OUT, copy_of="avb/a.c").skipped == "a copy of avb/a.c"


def test_definitions_that_are_no_example_are_counted_by_their_reason() -> None:
    file = extracted(f"{CODE}int none(void) {{}}\nint nothing(void) {{ }}\n", "Functions found")
    assert file.tally["functions left out: empty body"] == 2


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    """One that takes each word for a token."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    words.pre_tokenizer = Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path)


def test_a_completion_longer_than_the_student_takes_is_left_out(tokenizer: str) -> None:
    file = extracted(HEADER, LEFT_OUT, tokenizer=tokenizer, max_example_tokens=100)
    said = "176 tokens; data_preparation.max_example_tokens is 100"  # ten of them are of the prompt
    assert file.skipped == said
    extracted(HEADER, "No functions (len > 200)", tokenizer=tokenizer, max_example_tokens=176)
    extracted(CODE, "Functions found", tokenizer=tokenizer, max_example_tokens=16)


def test_tokens_cannot_be_bounded_without_a_tokenizer() -> None:
    with pytest.raises(
        ValidationError, match="max_example_tokens is counted with tokenizer, and none is named"
    ):
        DataPreparationConfig(max_example_tokens=4096)


def test_a_tokenizer_that_is_not_there_says_what_it_may_be(tmp_path: Path) -> None:
    with pytest.raises(NotProvided, match="a directory with a tokenizer"):
        extracted(HEADER, "", tokenizer=str(tmp_path), max_example_tokens=100)


def test_of_files_with_the_same_bytes_the_first_in_key_order_stays(tmp_path: Path) -> None:
    sources = {
        "tsn": {"a.c": b"x", "b.c": b"x", "c.c": b""},
        "avb": {"d.c": b"x", "e.c": b"y", "f.c": b"", "g.c": b"xy"},
    }
    sizes = Counter(len(content) for files in sources.values() for content in files.values())
    first: dict[bytes, str] = {}
    found: list[File] = []
    for domain, files in sources.items():
        archive = tmp_path / domain
        pack(archive, files.items())
        found += marked(archive, (File(member) for member in members(archive)), first, sizes)
    assert [(file.member.key, file.copy_of) for file in found] == [
        ("a.c", ""), ("b.c", "a.c"), ("c.c", ""), ("d.c", "a.c"), ("e.c", ""), ("f.c", ""), ("g.c", ""),
    ]  # fmt: skip
