"""What stands in Markdown pages as code: fenced and indented blocks, and the sessions of a terminal among them, which can be given again."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n|\n(?= {4}))+")
FENCE = re.compile(r"^ *```(\S*)[ \t]*([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
ITEM = re.compile(r"(?:[-*]|\d+\.) ")
PROMPT = "$ "
ANYTHING = "…"


@dataclass(frozen=True)
class Block:
    """A block of code: where it is, its language, what else stands behind that, and its text."""

    page: str
    line: int
    language: str
    words: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    name = str(page.relative_to(ROOT))
    for found in FENCE.finditer(text):
        yield Block(name, text.count("\n", 0, found.start()) + 1, found[1], found[2], found[3])


def indented(page: Path) -> Iterator[Block]:
    """The blocks that are set off by four spaces: `sh` where every line is a command of `fsm`, and of no language otherwise."""
    text = FENCE.sub(lambda fence: re.sub(r"[^\n]", "", fence[0]), page.read_text("utf-8"))
    name = str(page.relative_to(ROOT))
    for found in INDENTED.finditer(text):
        margin = [line for line in text[: found.start()].splitlines() if line[:1].strip()]
        if margin and ITEM.match(margin[-1]):  # a paragraph of a list's item
            continue
        lines = [line[4:] for line in found[0].splitlines() if line.strip()]
        language = "sh" if all(line.startswith("fsm ") for line in lines) else ""
        yield Block(name, text.count("\n", 0, found.start()) + 1, language, "", "\n".join(lines) + "\n")


def session(block: Block) -> Iterator[tuple[str, list[str]]]:
    """(command, the lines that it answers with) for each command of a terminal's session."""
    answered: list[str] = []
    command = ""
    for line in block.text.splitlines():
        if line.startswith(PROMPT):
            if command:
                yield command, answered
            command, answered = line.removeprefix(PROMPT), []
        else:
            answered.append(line)
    yield command, answered


def said(command: str, where: Path, environment: Mapping[str, str]) -> list[str]:
    """What a command of the shell says there, on either stream, line by line."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=where,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return [line.rstrip() for line in done.stdout.splitlines()]


def fits(shown: list[str], found: list[str]) -> bool:
    """Whether the lines are those that are shown, where … in a line is anything, and a line of it alone any lines.

    How wide the columns of a table are makes no difference.
    """
    shown, found = ([" ".join(line.split()) for line in lines] for lines in (shown, found))
    pattern = ""
    for line in shown:
        if line == ANYTHING:
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += "[^\n]*".join(re.escape(part) for part in line.split(ANYTHING)) + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in found)) is not None
