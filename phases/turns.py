"""A prompt is one string, wherever it goes: what it says, or, where it is of several turns, how it is spelt.

A prompt of one user turn is that turn's text. One of several turns (a system turn, earlier questions and answers) is
spelt as the JSON list of them, and so is a single text that would read as such a list. So different turns are
different strings and the same turns the same one: a digest, a set or an order of prompts needs to know no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

ROLES = ("system", "user", "assistant")
_BEGIN = '[{"role": "'


def spell(turns: Sequence[Mapping[str, Any]]) -> str:
    """The prompt that stands for these turns: objects with `role` and `content`; what else they hold is left out."""
    if len(turns) == 1 and turns[0]["role"] == "user" and not turns[0]["content"].startswith(_BEGIN):
        return str(turns[0]["content"])
    return json.dumps([{"role": t["role"], "content": t["content"]} for t in turns], ensure_ascii=False)


def turns(prompt: str) -> list[dict[str, str]]:
    """The turns that a prompt stands for, each {"role", "content"}: the inverse of `spell`."""
    if prompt.startswith(_BEGIN):
        try:
            found = json.loads(prompt)
            if (
                all(isinstance(t["content"], str) and t["role"] in ROLES for t in found)
                and spell(found) == prompt
            ):
                return [{"role": t["role"], "content": t["content"]} for t in found]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # a text that only begins like one
    return [{"role": "user", "content": prompt}]


def words(prompt: str) -> str:
    """What is said in it, turn by turn: the text itself where there is one turn."""
    return "\n\n".join(turn["content"] for turn in turns(prompt))


def before_answer(row: Mapping[str, Any]) -> str:
    """The prompt of a training row: all its turns but the last, which is the answer."""
    return spell(row["messages"][:-1])


def shown(prompt: str) -> dict[str, Any]:
    """A prompt as part of a row that people and `read_prompts` read: `prompt`, or `messages` where it has several turns."""
    said = turns(prompt)
    return {"prompt": prompt} if spell(said) == said[0]["content"] else {"messages": said}
