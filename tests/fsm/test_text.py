"""Text from outside is taken as it is, or refused by file, line and reason."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fsm.text import NotUtf8, TextError, decode, json_value, lines, rows, split_lines, unspelt

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def of(content: bytes, most: int = 1000) -> list[tuple[int, str]]:
    return list(lines(io.BytesIO(content), "f.jsonl", most))


class Trickling(io.BytesIO):
    """A file that gives a byte at a time, so that every border of its chunks is tried."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", []),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\rb\r", ["a", "b"]),
        (b"a\r\r\n\nb", ["a", "", "", "b"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        ("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n".encode(), ["a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"]),
    ],
    ids=["empty", "lf", "crlf", "cr", "mixed", "bom", "no-line-ends"],
)
def test_lines_end_with_lf_crlf_or_cr_alone(content: bytes, found: list[str]) -> None:
    assert of(content) == list(enumerate(found, 1))
    assert list(lines(Trickling(content), "f", 1000)) == list(enumerate(found, 1))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"ok\n\xff\n", "f.jsonl, line 2 is not UTF-8 text (byte 0xff at its place 1)"),
        (b"ok\rab\xe9", "f.jsonl, line 2 is not UTF-8 text (byte 0xe9 at its place 3)"),
        (b"\xed\xa0\xbd", "f.jsonl, line 1 is not UTF-8 text"),  # half a character, written out
        ("ok\n".encode("utf-16"), "f.jsonl, line 1 is UTF-16"),
        ("ok\n".encode("utf-16-be").join([b"\xfe\xff", b""]), "f.jsonl, line 1 is UTF-16"),
        ("ok\n".encode("utf-32"), "f.jsonl, line 1 is UTF-32"),
        ("ok\n".encode("utf-16-le"), "f.jsonl, line 1 holds the character U+0000"),
        (b"ok\r\n\r\na\0b", "f.jsonl, line 3 holds the character U+0000"),
        (b"ok\n" + b"x" * 1001, "f.jsonl, line 2 is longer than 1000 bytes"),
    ],
)
def test_what_is_no_text_is_refused_by_its_line(content: bytes, said: str) -> None:
    with pytest.raises(TextError) as whole:
        of(content)
    assert str(whole.value).startswith(said)
    if "longer" not in said:  # a file read at once is bounded by whoever reads it
        with pytest.raises(NotUtf8) as at_once:
            decode(content, "f.jsonl")
        assert str(at_once.value) == str(whole.value)


def test_a_line_without_an_end_is_not_read_to_its_end() -> None:
    class Endless(io.BytesIO):
        given = 0

        def read(self, size: int | None = -1) -> bytes:
            self.given += 1
            assert self.given < 100, "read on and on"
            return b"x" * 100

    with pytest.raises(TextError, match="line 1 is longer than 1000 bytes"):
        list(lines(Endless(), "f", 1000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "has the key 'c' twice"),
        ('["\\ud83d"]', "half a character in it (the lone surrogate \\ud83d)"),
        ('{"\\uDE00": 1}', "half a character in it (the lone surrogate \\ude00)"),
        ('"\\ude00\\ud83d"', "half a character"),
        ('"a\\u0000b"', "has the character U+0000"),
        ("NaN", "the word NaN"),
        ("[-Infinity]", "the word -Infinity"),
        ("1e999", "beyond floating point"),
        ("9" * 5000, "is not JSON that can be read"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": 1} {"b": 2}', "is not JSON (Extra data at column 10)"),
        ("'a'", "is not JSON"),
        ('"a\tb"', "is not JSON"),
        ("\u2028", "is not JSON"),
    ],
)
def test_json_that_readers_read_differently_is_refused(text: str, said: str) -> None:
    with pytest.raises(TextError) as e:
        json_value(text, "f.jsonl", 7)
    assert str(e.value).startswith("f.jsonl, line 7 ")
    assert said in str(e.value)


@pytest.mark.parametrize(
    "text", ['"\\ud83d\\ude00"', '"\\\\ud83d"', '"\\u2028\u2028"', '"\\u00e4"', '"\ufeff"']
)
def test_whole_characters_are_taken_however_they_are_written(text: str) -> None:
    assert json_value(text) == json.loads(text)


@given(st.lists(JSON, max_size=4), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.booleans())
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], end: str, escaped: bool, marked: bool
) -> None:
    written = "".join(json.dumps(v, ensure_ascii=escaped) + end for v in values)
    path = tmp_path_factory.getbasetemp() / "written.jsonl"
    path.write_bytes((b"\xef\xbb\xbf" if marked else b"") + written.encode())
    assert [(n, json.dumps(v)) for n, v in rows(path, "f")] == [
        (n, json.dumps(v)) for n, v in enumerate(values, 1)
    ]


PIECES = [
    b"{",
    b"}",
    b'"',
    b":",
    b"1",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xe2\x80\xa8",
    b"\\ud83d",
    b"\xef\xbb\xbf",
    b"NaN",
]


@given(st.binary(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))
@example(b'"\\ud83d"')
@example(b"\xff\xfe")
def test_any_bytes_are_rows_or_an_error_that_names_file_and_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(content)
    found: list[Any] = []
    refused: TextError | None = None
    try:
        found += rows(path, "any.jsonl", 50)
    except TextError as e:
        refused = e
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # what came before it is whole
    if refused:
        assert str(refused).startswith(f"any.jsonl, line {refused.line} ")
        assert 1 <= refused.line <= 1 + content.count(b"\n") + content.count(b"\r")


@given(st.binary(max_size=60))
def test_a_file_is_the_same_by_lines_and_at_once(content: bytes) -> None:
    def by_lines() -> list[str]:
        return [line for _, line in of(content)]

    def at_once() -> list[str]:
        found = split_lines(decode(content, "f.jsonl"))
        return found[:-1] if not found[-1] else found

    told: list[object] = []
    for read in (by_lines, at_once):
        try:
            told.append(read())
        except NotUtf8 as e:
            told.append(e.line if "holds" not in e.why else "NUL")  # by lines, the first of two faults
    if "NUL" not in told:
        assert told[0] == told[1]


@given(st.text())
def test_a_text_is_spelt_or_what_is_not_is_said(text: str) -> None:
    fine = "\0" not in text and not any(0xD800 <= ord(c) <= 0xDFFF for c in text)
    assert (unspelt(text) == "") == fine


def test_a_file_of_many_rows_is_read_a_line_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_bytes(b'{"a": 1}\r\n' * 300_000)  # several chunks, whose borders fall anywhere in a row
    assert sum(row["a"] for _, row in rows(path, "many")) == 300_000
