"""Whatever a user's file or a teacher's answer holds is taken, or refused by place and reason: every reader by one rule."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm import mermaid
from phases.decoding import NotText, decode_latin1, decode_utf8
from phases.errors import EncodingError, InvalidStructure
from phases.qlora_training import data
from phases.quality_scoring.cli import add_parser
from phases.reading import read_rows, read_text
from phases.teacher_generation.loading import read_prompts
from phases.teacher_generation.teacher import NoText, parse_response

GOOD = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


def training_rows(path: Path) -> list[Any]:
    return data.read_valid(path, "set.jsonl")


def prompts(path: Path) -> list[Any]:
    return read_prompts(read_text(path, "set.jsonl", "Correct it."), "set.jsonl")


READERS = pytest.mark.parametrize("read", [training_rows, prompts])


@READERS
@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode() + b"\n",
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.encode() + b"\r\n",
        b"\r" + GOOD.encode() + b"\r",
        GOOD.replace('"a"', '"a\u2028\u0085"').encode() + b"\n",
        GOOD.replace('"a"', '"\\ud83d\\ude00"').encode() + b"\n",
        GOOD.replace("{", '{"weight": 1, ', 1).encode() + b"\n",
    ],
    ids=["lf", "bom", "crlf", "cr", "separators", "pair", "further-key"],
)
def test_what_people_and_their_editors_write_is_taken(
    tmp_path: Path, read: Callable[[Path], list[Any]], content: bytes
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(content)
    assert len(read(path)) == 1


@READERS
@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        (GOOD.replace('"a"', '"\\udcff"').encode(), InvalidStructure, "half a character"),
        (GOOD.replace('"a"', '"\\u0000"').encode(), InvalidStructure, "U+0000"),
        (GOOD.encode() + b"\0", EncodingError, "U+0000"),
        (GOOD.replace('"a"', '"é"').encode("latin-1"), EncodingError, "byte 0xe9"),
        (
            GOOD.replace('"role": "user"', '"role": "user", "role": "user"').encode(),
            InvalidStructure,
            "twice",
        ),
        (GOOD.replace("{", '{"x": NaN, ', 1).encode(), InvalidStructure, "NaN"),
        ((GOOD + GOOD).encode(), InvalidStructure, "not JSON"),
        (GOOD[:-3].encode(), InvalidStructure, "not JSON"),
    ],
    ids=["half", "nul-escaped", "nul", "latin-1", "twice", "nan", "two-in-one", "cut"],
)
def test_what_cannot_be_taken_whole_is_refused_by_file_and_line(
    tmp_path: Path, read: Callable[[Path], list[Any]], line: bytes, error: type[Exception], said: str
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(GOOD.encode() + b"\r\n\r\n" + line + b"\r\n")
    with pytest.raises(error) as e:
        read(path)
    assert "set.jsonl" in str(e.value)
    assert "line 3" in str(e.value)
    assert said in str(e.value)


def test_a_line_beyond_all_use_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    with path.open("wb") as file:
        file.write(GOOD.encode() + b"\n")
        file.truncate(2**30)  # a gigabyte of one line, without its disk
    for read in (training_rows, prompts):
        with pytest.raises(InvalidStructure, match=r"set\.jsonl, line 2 is longer than \d+ bytes"):
            read(path)


@READERS
@given(
    content=st.binary(max_size=80) | st.text(max_size=40).map(lambda t: json.dumps({"prompt": t}).encode())
)
def test_any_bytes_are_rows_or_an_error_of_the_phases_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, read: Callable[[Path], list[Any]], content: bytes
) -> None:
    from phases.errors import PipelineError

    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    refused = None
    try:
        "".join(map(str, read(path))).encode()
    except PipelineError as e:
        refused = str(e)
    assert refused is None or "set.jsonl" in refused


def test_blank_lines_and_many_rows_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(b"\n \t\n1\r\r2\r\n")
    assert list(read_rows(path, "x", "")) == [(3, 1), (5, 2)]


@pytest.mark.parametrize("text", ["a \ud83d b", "\udfff", "a\0b"])
def test_a_teachers_answer_that_nothing_can_hold_is_no_answer(text: str) -> None:
    with pytest.raises(NoText, match="the answer is no text"):
        parse_response({"output": {"message": {"content": [{"text": text}]}}})


@pytest.mark.parametrize("text", ["😀 \u2028", "\ufeffint f;", "a\r\nb"])
def test_a_teachers_answer_is_kept_as_it_is(text: str) -> None:
    assert parse_response({"output": {"message": {"content": [{"text": text}]}}}).text == text


def test_an_answer_that_is_not_text_is_not_made_one() -> None:
    with pytest.raises(NoText):
        parse_response({"output": {"message": {"content": [{"text": None}]}}})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_a_source_in_another_encoding_is_skipped_with_the_reason(encoding: str) -> None:
    content = ("\ufeff" if encoding == "utf-16-be" else "").encode(encoding) + "int f;\n".encode(encoding)
    with pytest.raises(NotText, match="UTF-16"):
        decode_utf8(content)
    with pytest.raises(NotText):
        decode_latin1(content)


def test_a_drawing_with_a_byte_order_mark_is_read_and_one_in_utf_16_refused(tmp_path: Path) -> None:
    text = "stateDiagram-v2\n    [*] --> A\n    A --> [*]\n"
    path = tmp_path / "x.mmd"
    path.write_text(text, "utf-8-sig")
    assert mermaid.read(path).transitions  # type: ignore[union-attr]
    path.write_text(text, "utf-16")
    with pytest.raises(mermaid.MermaidError, match=r"x\.mmd:1:1: error: the file is UTF-16"):
        mermaid.read(path)


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("int f(void);\n".encode("utf-8-sig"), 0, ""),
        ("/* groß */ int f(void);\n".encode("latin-1"), 0, "was read as Latin-1"),
        ("int f(void);\n".encode("utf-16"), 2, "UTF-16"),
        (b"\x7fELF\0\0", 2, "is no text"),
    ],
    ids=["bom", "latin-1", "utf-16", "binary"],
)
def test_what_is_scored_is_a_text_or_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, code: int, said: str
) -> None:
    (tmp_path / "a.c").write_bytes(content)
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["score", str(tmp_path / "a.c"), "--json"])
    assert args.do(args) == code
    out, err = capsys.readouterr()
    assert bool(out) == (code == 0)
    assert said in err
    assert bool(err) == bool(said)
