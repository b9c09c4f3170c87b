"""The README and docs/commands.md, taken at their word: the set-up lines, the commands that they name, the example."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")

OUTPUTS = re.compile(r"-o FILE((?:\.\w+)(?: / \.\w+)*)")
OPTIONAL = re.compile(r" \[[^]]*\]")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def first_command() -> list[str]:
    """What the first line of the set-up runs once it has installed."""
    run = blocks("sh")[0].splitlines()[0].rpartition(" && ")[2]
    return shlex.split(run)


def listed() -> Iterator[tuple[str, str]]:
    """(command, remark) of each line of the page that gives a command: `fsm ...`, then what it does, after two spaces or more and a #."""
    for line in COMMANDS.splitlines():
        if line.startswith("fsm "):
            command, _, remark = line.partition("  #")
            yield command.strip(), remark.strip()


def mentioned() -> list[str]:
    """The commands that stand in the running text of both."""
    text = re.sub(r"^```.*?^```$", "", f"{TEXT}\n{COMMANDS}", flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`(fsm [^`]+)`", text)


def shown() -> list[str]:
    """Every command as it stands there, optional words and all, once; with -o where a remark offers it."""
    found = []
    for command, remark in listed():
        found.append(command)
        if offered := OUTPUTS.search(remark):
            found += [f"{command} -o FILE{ending}" for ending in offered[1].split(" / ")]
    found += [command for command in mentioned() if " " in command.removeprefix("fsm ")]
    return list(dict.fromkeys(found))
