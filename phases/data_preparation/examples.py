"""From code to examples: a prompt by one of four templates, or a file split into head and rest."""

from __future__ import annotations

import hashlib
import random
from functools import cache
from typing import Any, Literal, NamedTuple

from phases.data_preparation.declarators import Language
from phases.data_preparation.functions import Function
from phases.data_preparation.prompts import COMPLETION, TEMPLATES, PromptFrom, prompt


class Origin(NamedTuple):
    """Where a file is from: the source as it was configured, the file's key in it, its domain and its licence (an SPDX
    expression; empty where none is said)."""

    key: str
    domain: str
    source: str = ""
    licence: str = ""


class Example(NamedTuple):
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

    def row(self, md5: str) -> dict[str, Any]:
        """The example as a JSON line of data/splits/ holds it, with the MD5 of its `identity` (identity.py)."""
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
            "md5": md5,
        }


def choose_template(function: Function, seed: int) -> int:
    """The number of the template for a function: by the run's seed, and the same for the same code."""
    digest = _seeded(seed).copy()  # what is the same for all is hashed once
    digest.update(function.text.encode())
    return digest.digest()[0] % len(TEMPLATES)


@cache
def _seeded(seed: int) -> hashlib._Hash:
    return hashlib.sha256(f"{seed}/template/".encode())


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


def _random(seed: int, *parts: str) -> random.Random:
    return random.Random("/".join((str(seed), *parts)))
