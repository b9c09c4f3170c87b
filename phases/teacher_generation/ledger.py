"""The ledger: what a teacher said, raw, by what it was asked. It belongs to the store, so that nobody pays twice.

An entry is made before anything is done with an answer, whatever the answer turns out to be worth. A refusal that is the
prompt's own is entered as well, as a refusal: the same words would be refused again. What failed for any other reason is
no answer and is not entered.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from fsm.store import Shelf
from phases.teacher_generation.teacher import Response, Teacher

SHELF = "teacher"


@dataclass(frozen=True)
class Refusal:
    """Why a prompt gets no answer, whoever asks it again: the service's code, its cause in a word, its message."""

    code: str
    cause: str
    message: str


@dataclass(frozen=True)
class Entry:
    """A response or a refusal, and the labels of Diagram 3 that led to it (`ThrottlingException`, each time it was)."""

    response: Response | None = None
    refusal: Refusal | None = None
    tries: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """One line of JSON. Bytes in a response, which Converse has for hidden reasoning, are in base64."""
        said: dict[str, Any] = {"tries": list(self.tries)}
        if self.refusal:
            said["refusal"] = vars(self.refusal)
        if self.response is not None:
            said["response"] = _without_headers(self.response)
        return json.dumps(said, sort_keys=True, default=_spelt).encode()

    @classmethod
    def from_json(cls, line: bytes) -> Entry:
        """The inverse of to_json. Raises ValueError, KeyError or TypeError for another line."""
        said = json.loads(line)
        refusal = Refusal(**said["refusal"]) if "refusal" in said else None
        return cls(said.get("response"), refusal, tuple(said["tries"]))


class Ledger:
    """The entries of one teacher's answers. Where it is asked with a `scope`, it knows only that scope's."""

    def __init__(self, shelf: Shelf, scope: str = "") -> None:
        self.shelf = shelf
        self.scope = scope

    def key(self, teacher: Teacher, prompt: str) -> str | None:
        """The digest of what the teacher is asked; None for one whose answers cost nothing, which are not entered."""
        question = teacher.question(prompt)
        if question is None:
            return None
        said = json.dumps([question, self.scope] if self.scope else question, sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def find(self, keys: Iterable[str]) -> dict[str, Entry]:
        """The entries there are. One that cannot be read is as good as none, and counted with the altered ones."""
        found: dict[str, Entry] = {}
        for key, line in self.shelf.read(keys).items():
            try:
                found[key] = Entry.from_json(line)
            except (ValueError, KeyError, TypeError):
                self.shelf.damaged += 1
        return found

    def keep(self, key: str | None, entry: Entry) -> Entry:
        """Enter what was said, durably; returns what is entered, which is another's where another was first."""
        if key is None:
            return entry
        return Entry.from_json(self.shelf.put(key, entry.to_json()))

    def held(self, key: str | None, stopping: Callable[[], bool]) -> AbstractContextManager[bool]:
        """See Shelf.held: while one run asks, another that would ask the same waits for its answer."""
        return nullcontext(False) if key is None else self.shelf.held(key, stopping)


def _without_headers(response: Response) -> dict[str, Any]:
    said = dict(response)
    if isinstance(meta := said.get("ResponseMetadata"), Mapping):
        said["ResponseMetadata"] = {k: v for k, v in meta.items() if k != "HTTPHeaders"}
    return said


def _spelt(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
