"""Files that users bring, read by the one rule of `fsm.text`; what it refuses is an error of Diagram 8."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

from fsm.text import NotUtf8, TextError, lines, rows
from phases.errors import EncodingError, InvalidStructure


def read_rows(path: Path, name: str, wanted: str) -> Iterator[tuple[int, Any]]:
    """(line from 1, value) of each row of a JSON-lines file, called `name` in messages; blank lines are passed over.

    `wanted` is the sentence that says what a row must be. Raises EncodingError and InvalidStructure, naming the line.
    """
    try:
        yield from rows(path, name)
    except TextError as error:
        _refuse(error, wanted)


def read_text(path: Path, name: str, wanted: str) -> str:
    """The file's text, without a byte-order mark, its lines ending with LF. Raises as `read_rows`."""
    try:
        with path.open("rb") as file:
            return "".join(f"{line}\n" for _, line in lines(file, name))
    except TextError as error:
        _refuse(error, wanted)


def copy_lines(path: Path, name: str, wanted: str, to: TextIO) -> None:
    """Write what `read_text` returns, a line at a time: of a long file no more is in memory. Raises as `read_rows`."""
    try:
        with path.open("rb") as file:
            for _, line in lines(file, name):
                to.write(f"{line}\n")
    except TextError as error:
        _refuse(error, wanted)


def _refuse(error: TextError, wanted: str) -> NoReturn:
    if isinstance(error, NotUtf8):  # the whole file's fault, so no item: there is nothing to skip and go on
        raise EncodingError(f"{error}. Write the file anew as UTF-8, or prepare the data again.") from error
    raise InvalidStructure(f"{error}. {wanted}", item=f"{error.file}:{error.line}") from error
