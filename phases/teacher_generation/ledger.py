"""The ledger: what a teacher said, raw, by what it was asked. It belongs to the store, so that nobody pays twice.

An entry is made before anything is done with an answer, whatever the answer turns out to be worth. A refusal that is the
prompt's own is entered as well, as a refusal: the same words would be refused again. What failed for any other reason is
no answer and is not entered.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from fsm.store import Shelf
from phases.teacher_generation.teacher import Response

SHELF = "teacher"


@dataclass(frozen=True)
class Refusal:
    """Why a prompt gets no answer, whoever asks it again: the service's code, its cause in a word, its message."""

    code: str
    cause: str
    message: str


@dataclass(frozen=True)
class Paid:
    """Who paid for what: the run, the model, its tokens, dollars as a decimal (empty where no price is known).

    `what` is empty for an entry's answer. What brought none stands in an entry of its own:

        lost    a call that may have been answered, and whose answer never came: all that was reserved for it
        again   a second answer to what somebody else had asked at the same moment
        cut     an answer that fit_max_tokens cut off
        open    what the calls of a process may come to while they are under way; `closed`, at its end, takes it off

    `job` is the batch job that `open` and `closed` are of: s3://BUCKET/PREFIX/NAME.
    """

    run: str
    model: str = ""
    input: int = 0
    output: int = 0
    usd: str = ""
    what: str = ""
    job: str = ""

    @property
    def dollars(self) -> Decimal:
        return Decimal(self.usd or 0)


@dataclass(frozen=True)
class Entry:
    """A response or a refusal, the labels of Diagram 3 that led to it (`ThrottlingException`, each time it was), its price,
    and what was asked."""

    response: Response | None = None
    refusal: Refusal | None = None
    tries: tuple[str, ...] = ()
    paid: Paid | None = None
    question: Mapping[str, Any] | None = None

    def to_json(self) -> bytes:
        """One line of JSON. Bytes in a response, which Converse has for hidden reasoning, are in base64."""
        said: dict[str, Any] = {"tries": list(self.tries)}
        if self.refusal:
            said["refusal"] = vars(self.refusal)
        if self.paid:
            said["paid"] = {k: v for k, v in vars(self.paid).items() if v}
        if self.question is not None:
            said["question"] = self.question
        if self.response is not None:
            said["response"] = _without_headers(self.response)
        return _ENTRIES.encode(said).encode()

    @classmethod
    def from_json(cls, line: bytes) -> Entry:
        """The inverse of to_json. Raises ValueError, KeyError or TypeError for another line."""
        said = json.loads(line)
        refusal = Refusal(**said["refusal"]) if "refusal" in said else None
        paid = Paid(**said["paid"]) if "paid" in said else None
        return cls(said.get("response"), refusal, tuple(said["tries"]), paid, said.get("question"))

    @property
    def answers(self) -> bool:
        """Whether it is what somebody was told, and not what was paid beside."""
        return self.response is not None or self.refusal is not None


class Ledger:
    """The entries of one teacher's answers. Where it is asked with a `scope`, it knows only that scope's."""

    def __init__(self, shelf: Shelf, scope: str = "") -> None:
        self.shelf = shelf
        self.scope = scope

    def name(self, question: Mapping[str, Any] | None, sample: int = 0) -> str | None:
        """The digest of what a teacher is asked, the same in every scope; None for one whose answers cost nothing, which are
        not entered. `sample` tells apart several answers to one question, from 0."""
        if question is None:
            return None
        said = _QUESTIONS.encode([question, sample] if sample else question)
        return hashlib.sha256(said.encode()).hexdigest()

    def key(self, name: str) -> str:
        """The key on the shelf of what has that name here."""
        return hashlib.sha256(f"{name} {self.scope}".encode()).hexdigest() if self.scope else name

    def find(self, names: Iterable[str]) -> dict[str, Entry]:
        """The entries there are. One that cannot be read is as good as none, and counted with the altered ones."""
        keys = {self.key(name): name for name in names}
        return {keys[key]: entry for key, entry in self._read(self.shelf.read(keys).items()) if entry.answers}

    def has(self, names: Iterable[str]) -> set[str]:
        """Those of the names that have an entry."""
        keys = {self.key(name): name for name in names}
        return {keys[key] for key in self.shelf.has(keys)}

    def keep(self, name: str | None, entry: Entry) -> Entry:
        """Enter what was said, durably; returns what is entered, which is another's where another was first."""
        if name is None:
            return entry
        line = entry.to_json()
        if (found := self.shelf.put(self.key(name), line)) == line:
            return entry
        kept = Entry.from_json(found)
        if kept.paid != entry.paid and entry.paid is not None:
            self.note(replace(entry.paid, what="again"), name)
        return kept

    def note(self, paid: Paid, *of: str) -> None:
        """Enter what was paid beside the answers; `of` tells it apart from all others."""
        self.shelf.put(_beside(paid.what, paid.run, *of), Entry(paid=paid).to_json())

    def noted(self, what: str, run: str, *of: str) -> Paid | None:
        """What was entered so by `note`, if anything was."""
        found = dict(self._read(self.shelf.read([_beside(what, run, *of)]).items()))
        return next((entry.paid for entry in found.values()), None)

    def all(self) -> Iterator[tuple[str, Entry]]:
        """Every entry of the store's, whatever the scope, in no order that means anything."""
        return self._read(self.shelf.entries())

    def spent(self, run: str) -> Decimal:
        """The most dollars that a run can have paid by now: what is entered, and what a killed process had under way."""
        paid = (entry.paid for _, entry in self.all())
        return sum((p.dollars for p in paid if p is not None and p.run == run), Decimal(0))

    def jobs(self) -> list[Paid]:
        """The batch jobs that are under way, whoever began them and whether he lives; in the order of their places."""
        found: dict[tuple[str, str], Paid] = {}
        closed: set[tuple[str, str]] = set()
        for _, entry in self.all():
            if (paid := entry.paid) is not None and paid.job:
                if paid.what == "closed":
                    closed.add((paid.job, paid.run))
                else:
                    found[paid.job, paid.run] = paid
        return [paid for key, paid in sorted(found.items()) if key not in closed]

    def claim(self, names: Iterable[str]) -> set[str]:
        """See Shelf.claim: those of the names that are this run's to ask."""
        keys = {self.key(name): name for name in names}
        return {keys[key] for key in self.shelf.claim(keys)} if keys else set()

    def let_go(self, names: Iterable[str]) -> None:
        """See Shelf.let_go."""
        self.shelf.let_go(map(self.key, names))

    def held(self, name: str | None, stopping: Callable[[], bool]) -> AbstractContextManager[bool]:
        """See Shelf.held: while one run asks, another that would ask the same waits for its answer."""
        return nullcontext(False) if name is None else self.shelf.held(self.key(name), stopping)

    def _read(self, lines: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, Entry]]:
        for key, line in lines:
            try:
                yield key, Entry.from_json(line)
            except (ValueError, KeyError, TypeError):
                self.shelf.damaged += 1


def _beside(what: str, run: str, *of: str) -> str:
    return hashlib.sha256(json.dumps([what, run, *of]).encode()).hexdigest()


def _without_headers(response: Response) -> dict[str, Any]:
    said = dict(response)
    if isinstance(meta := said.get("ResponseMetadata"), Mapping):
        said["ResponseMetadata"] = {k: v for k, v in meta.items() if k != "HTTPHeaders"}
    return said


def _spelt(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


_QUESTIONS = json.JSONEncoder(sort_keys=True)
_ENTRIES = json.JSONEncoder(sort_keys=True, default=_spelt)
