"""From code to examples: a prompt by one of four templates, or a file split into head and rest."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from phases.data_preparation.declarators import Language
from phases.data_preparation.functions import Function
from phases.data_preparation.prompts import COMPLETION, TEMPLATES, PromptFrom, prompt
from phases.errors import EmptyDataset


@dataclass(frozen=True)
class Origin:
    """Where a file is from: the source as it was configured, the file's key in it, its domain and its licence (an SPDX
    expression; empty where none is said)."""

    key: str
    domain: str
    source: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Example:
    """One example: what is asked, what is answered, and where it is from.

    `identity` is the code it teaches, which decides about duplicates; it is the answer of a function example and
    the whole file of a completion. `first` and `last` are the lines of that code in the file, from 1.
    """

    prompt: str
    answer: str
    kind: Literal["function", "completion"]
    origin: Origin
    name: str
    identity: str
    first: int
    last: int
    prompt_from: PromptFrom | Literal["file"]

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.prompt}, {"role": "assistant", "content": self.answer}]

    @property
    def md5(self) -> str:
        """MD5 of the normalised example: of its code, with every run of white space as one blank.

        The prompt does not count: its wording is ours, and the same code under another prompt in the validation
        split would be code that was trained on.
        """
        normal = " ".join(self.identity.split())
        return hashlib.md5(normal.encode(), usedforsecurity=False).hexdigest()

    def row(self) -> dict[str, Any]:
        """The example as a JSON line of data/splits/ holds it."""
        return {
            "messages": self.messages,
            "kind": self.kind,
            "domain": self.origin.domain,
            "source": self.origin.source,
            "key": self.origin.key,
            "name": self.name,
            "first": self.first,
            "last": self.last,
            "licence": self.origin.licence,
            "prompt_from": self.prompt_from,
            "md5": self.md5,
        }


def choose_template(function: Function, seed: int) -> int:
    """The number of the template for a function: by the run's seed, and the same for the same code."""
    return _random(seed, "template", function.text).randrange(len(TEMPLATES))


def function_example(function: Function, template: int, language: Language, origin: Origin) -> Example:
    """The example that asks for a function by a template and answers with its text."""
    asked, made_of = prompt(function, template, origin.domain, language)
    text = function.text
    return Example(
        asked, text + "\n", "function", origin, function.name, text, function.first, function.last, made_of
    )


def choose_split(text: str, seed: int) -> int:
    """A seeded random point in the middle third of a text, moved on to the start of a line where there is one."""
    point = _random(seed, "split", text).randrange(
        len(text) // 3, max(2 * len(text) // 3, len(text) // 3 + 1)
    )
    line = text.find("\n", point) + 1
    return line if 0 < line < len(text) else point


def completion_example(head: str, rest: str, language: Language, origin: Origin) -> Example:
    """The example that shows the head of a file and answers with the rest."""
    fence = "cpp" if language == "C++" else "c"
    asked = COMPLETION.format(language=language, domain=origin.domain, fence=fence, head=head)
    text = head + rest
    return Example(asked, rest, "completion", origin, "", text, 1, text.rstrip("\n").count("\n") + 1, "file")


def deduplicate(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows without those whose `md5` came before: the first one stays, in its place."""
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        first.setdefault(row["md5"], row)
    return list(first.values())


def shuffle(rows: Iterable[Mapping[str, Any]], seed: int) -> list[Mapping[str, Any]]:
    """The rows in a random order that depends on the seed alone."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    return shuffled


def split_at(count: int, train_percent: int) -> int:
    """How many of `count` shuffled rows are for training; the rest are for validation.

    Raises:
        EmptyDataset: there are too few rows for both.
    """
    train = count * train_percent // 100
    if train < 1 or train >= count:
        raise EmptyDataset(
            f"{count} examples are left after removing duplicates; at {train_percent} percent that gives {train} for "
            f"training and {count - train} for validation, and both need one. Add C sources to the folders of "
            "data_preparation.source and start the run anew with --fresh."
        )
    return train


def processed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the training channel reads it: `messages` alone, so that every row has the same columns."""
    return {"messages": row["messages"]}


def to_jsonl(rows: Iterable[Mapping[str, Any]]) -> str:
    """One JSON object a line, in UTF-8 text; the characters that other readers take for line ends are escaped."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\u0085", "\\u0085")


def from_jsonl(text: str) -> list[dict[str, Any]]:
    """The rows of such a text."""
    return [json.loads(line) for line in text.split("\n") if line]


def _random(seed: int, *parts: str) -> random.Random:
    return random.Random("/".join((str(seed), *parts)))
