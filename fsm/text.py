"""Text from outside, by one rule: taken as it is, or refused by file, line and reason; never changed unseen.

Text is UTF-8. A byte-order mark before it is nothing; UTF-16 and UTF-32 are refused by name. U+0000 and halves of surrogate
pairs, which no encoding spells and JSON can still name (`\\ud83d`), are no text. A line ends with LF, CRLF or CR, and with
nothing else: U+0085, U+2028 and U+2029 are characters like others, whatever `str.splitlines` holds of them.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

LONGEST_LINE = 16 * 2**20  # bytes; a row that anybody can train on or ask has some thousands
_CHUNK = 2**20
_MARKS = (  # the longer ones first: one of UTF-32 begins like one of UTF-16
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_LINE_END = re.compile(r"\r\n|\r|\n")
_SUSPECT = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")  # an escape that may name what is no text
_UNSPELT = re.compile("[\ud800-\udfff\0]")


class TextError(Exception):
    """A text that is refused. `why` goes on where "FILE, line N" begins; `line` counts from 1, 0 where no line is meant."""

    def __init__(self, why: str, file: str = "", line: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.file = file
        self.line = line

    def __str__(self) -> str:
        return f"{self.place} {self.why}".lstrip()

    @property
    def place(self) -> str:
        """FILE, or `FILE, line N`."""
        return f"{self.file}, line {self.line}" if self.line else self.file


class NotUtf8(TextError):
    """Bytes that are not UTF-8, or that stand for what is no text."""


class NotJsonText(TextError):
    """A line that is not JSON, or not JSON that all readers read alike."""


def unspelt(text: str) -> str:
    """What is no text in it, in words: half a character, or U+0000; empty where all of it is."""
    found = _UNSPELT.search(text) if "\0" in text or not encodes(text) else None
    if found is None:
        return ""
    if found[0] == "\0":
        return "the character U+0000"
    return f"half a character in it (the lone surrogate \\u{ord(found[0]):04x})"


def spelt(text: str) -> str:
    """The text with what UTF-8 cannot spell as escapes, for a message: exceptions quote what they were given."""
    return text.encode("utf-8", "backslashreplace").decode()


def decode(content: bytes, file: str) -> str:
    """The text of a whole file's bytes, without a byte-order mark; its line ends stay. Raises NotUtf8."""
    _refuse_other_encodings(content, file)
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as e:
        number = 1 + len(_LINE_END.findall(content[: e.start].decode("utf-8")))
        begin = max(content.rfind(b"\n", 0, e.start), content.rfind(b"\r", 0, e.start)) + 1
        raise NotUtf8(_not_utf8(content[e.start], e.start - begin), file, number) from e
    if (at := text.find("\0")) >= 0:
        raise NotUtf8(f"holds {_NUL}", file, 1 + len(_LINE_END.findall(text[:at])))
    return text


def split_lines(text: str) -> list[str]:
    """The lines of a text, without their ends."""
    return _LINE_END.split(text)


def lines(file: BinaryIO, name: str, most: int = LONGEST_LINE) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of a file called `name` in messages, never more of it than a line in memory.

    Raises NotUtf8, and TextError for a line of more than `most` bytes.
    """
    for number, line in enumerate(_raw_lines(file, name, most), 1):
        if number == 1:
            _refuse_other_encodings(line, name)
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as e:
            raise NotUtf8(_not_utf8(line[e.start], e.start), name, number) from e
        if "\0" in text:
            raise NotUtf8(f"holds {_NUL}", name, number)
        yield number, text


def rows(path: Path, name: str, most: int = LONGEST_LINE) -> Iterator[tuple[int, Any]]:
    """(line from 1, value) of every line of a JSON-lines file that is not blank. Raises TextError; OSError as open does."""
    with path.open("rb") as file:
        for number, line in lines(file, name, most):
            if not blank(line):
                yield number, json_value(line, name, number)


def blank(line: str) -> bool:
    """Whether a line of a JSON-lines file holds nothing: blanks and tabs alone, as JSON has them."""
    return not line.strip(" \t")


def json_value(text: str, file: str = "", line: int = 0) -> Any:
    """The value that a JSON text holds, where every reader reads the same in it.

    Raises NotJsonText: not JSON, a key given twice in one object, NaN or an infinity, a text that no encoding spells, nesting
    or a number beyond what can be read.
    """
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as e:
        raise NotJsonText(f"is not JSON ({e.msg} at column {e.colno})", file, line) from e
    except _Refused as e:
        raise NotJsonText(str(e), file, line) from e
    except RecursionError as e:
        raise NotJsonText("is not JSON that can be read (it is nested too deep)", file, line) from e
    except ValueError as e:  # an integer of thousands of digits
        raise NotJsonText(f"is not JSON that can be read ({e})", file, line) from e
    if _SUSPECT.search(text) or not (text.isascii() or encodes(text)):
        for found in _texts(value):
            if why := unspelt(found):
                raise NotJsonText(f"has {why}", file, line)
    return value


class _Refused(Exception):
    """JSON that is read, and not taken; the message goes on where the place ends."""


_NUL = "the character U+0000, which is no text (is the file UTF-16, or no text at all?)"


def _not_utf8(byte: int, at: int) -> str:
    return f"is not UTF-8 text (byte 0x{byte:02x} at its place {at + 1})"


def encodes(text: str) -> bool:
    """Whether UTF-8 has it: a name of other bytes, as Python reads it, has half of a pair in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_other_encodings(head: bytes, file: str) -> None:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            raise NotUtf8(f"is {encoding} (its byte-order mark says so), not UTF-8 text", file, 1)


def _raw_lines(file: BinaryIO, name: str, most: int) -> Iterator[bytes]:
    rest = b""
    number = 0

    def bounded(line: bytes) -> bytes:
        line = line.rstrip(b"\r\n")  # it has one end at most
        if len(line) > most:
            raise TextError(f"is longer than {most} bytes", name, number)
        return line

    while chunk := file.read(_CHUNK):
        found = (rest + chunk).splitlines(keepends=True)  # of bytes: at LF, CRLF and CR alone
        rest = b"" if found[-1].endswith(b"\n") else found.pop()  # what ends with CR may go on with LF
        for line in found:
            number += 1
            yield bounded(line)
        if len(rest) > most + 1:
            number += 1
            bounded(rest)
    if rest:
        number += 1
        yield bounded(rest)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"has the key {twice[:60]!a} twice in one object")
    return value


def _constant(word: str) -> Any:
    raise _Refused(f"is not JSON (it has the word {word}, which is no JSON number)")


def _number(word: str) -> float:
    value = float(word)
    if math.isinf(value):
        raise _Refused(f"has the number {word[:40]}, which is beyond floating point")
    return value


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)


def _texts(value: Any) -> Iterable[str]:
    """Every text in a JSON value, keys among them."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            left += value.keys()
            left += value.values()
        elif isinstance(value, list):
            left += value
