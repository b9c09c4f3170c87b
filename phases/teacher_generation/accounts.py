"""The accounts of a store's ledger: who paid for how many answers, what was paid beside, and what reuse saved."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fsm.errors import FsmError
from fsm.journal import Journal
from fsm.store import Store
from phases.teacher_generation.ledger import SHELF, Entry, Ledger, Paid
from phases.teacher_generation.teacher import NoText, parse_response

BESIDE = {
    "lost": "calls whose answer never came, and that may be on the bill",
    "again": "answers to what another run had asked at the same moment",
    "cut": "answers that fit_max_tokens cut off",
    "open": "the most that killed processes had under way",
}
"""What is paid for without an answer to show for it, in words."""


@dataclass
class Account:
    """Of one model, for one run."""

    answers: int = 0
    useless: int = 0  # answers that are cut off, empty or withheld, and refusals
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: Decimal = Decimal(0)

    def add(self, entry: Entry, paid: Paid) -> None:
        self.answers += 1
        self.input_tokens += paid.input
        self.output_tokens += paid.output
        self.dollars += paid.dollars
        try:
            parse_response(entry.response or {})
        except NoText:
            self.useless += 1


@dataclass
class Saved:
    """What a run took from the ledger that another had paid for."""

    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: Decimal = Decimal(0)


@dataclass
class Accounts:
    """`by` (model, run), `beside` by (what, run), `saved` by run; how many entries are altered."""

    by: dict[tuple[str, str], Account] = field(default_factory=dict)
    beside: dict[tuple[str, str], tuple[int, Decimal]] = field(default_factory=dict)
    saved: dict[str, Saved] = field(default_factory=dict)
    damaged: int = 0

    def as_json(self) -> Iterator[dict[str, Any]]:
        """One object an account, and one for all; dollars are numbers."""
        for (model, run), one in sorted(self.by.items()):
            yield {"model": model, "run": run} | _plain(vars(one))
        for (what, run), (number, dollars) in sorted(self.beside.items()):
            yield {"beside": what, "run": run, "entries": number, "dollars": float(dollars)}
        for run, saved in sorted(self.saved.items()):
            yield {"reused_by": run} | _plain(vars(saved))
        answers = sum(one.answers for one in self.by.values())
        dollars = sum((one.dollars for one in self.by.values()), Decimal(0))
        yield {"answers": answers, "dollars": float(dollars), "altered": self.damaged}


def accounts(store: Store) -> Accounts:
    """Read a store's ledger and what its runs took from it. Raises StoreError."""
    found = Accounts()
    shelf = store.shelf(SHELF)
    paid_by: dict[bytes, Paid] = {}  # half a name is enough to tell entries apart
    for key, entry in Ledger(shelf).all():
        paid = entry.paid or Paid("", str((entry.question or {}).get("model", "")))
        if not entry.answers:
            what = "open" if paid.what == "closed" else paid.what
            number, dollars = found.beside.get((what, paid.run), (0, Decimal(0)))
            found.beside[what, paid.run] = (number + (paid.what != "closed"), dollars + paid.dollars)
            continue
        paid_by[bytes.fromhex(key[:32])] = paid
        found.by.setdefault((paid.model, paid.run), Account()).add(entry, paid)
    found.beside = {k: v for k, v in found.beside.items() if k[0] != "open" or v[1]}
    found.damaged = shelf.damaged
    for run in store.runs():
        try:
            saved = _saved(store, run, paid_by)
        except FsmError:
            continue  # a run that cannot be read says nothing of what it used
        if saved.answers:
            found.saved[run] = saved
    return found


def _saved(store: Store, name: str, paid_by: Mapping[bytes, Paid]) -> Saved:
    run = store.run(name)
    journal = Journal(run)
    header, fold = journal.header(), journal.load()
    data = fold.root["data"] if fold.root else {}
    own = {f"{name}/{header.get('generation', 0)}", str(data.get("spends_for", ""))}
    names: set[str] = set()
    for artifact, file in sorted(fold.files.items()):
        if artifact.startswith(("teacher/results/", "teacher/again/")) or artifact.endswith("/answers.jsonl"):
            with run.artifact(file["sha256"]).open(encoding="utf-8") as lines:
                names.update(n for line in lines for n in json.loads(line).get("entries", ()))
    saved = Saved()
    for used in sorted(names):
        paid = paid_by.get(bytes.fromhex(used[:32]))
        if paid is not None and paid.run not in own:
            saved.answers += 1
            saved.input_tokens += paid.input
            saved.output_tokens += paid.output
            saved.dollars += paid.dollars
    return saved


def exported(store: Store) -> Iterator[dict[str, Any]]:
    """The whole answers of a ledger as training rows: {"messages", "teacher", "run", "key"}; in the order of their keys.

    Entries of before the ledger kept questions are left out. Raises StoreError.
    """
    ledger = Ledger(store.shelf(SHELF))
    keys = sorted(key for key, entry in ledger.all() if entry.response is not None and entry.question)
    for begin in range(0, len(keys), 256):
        for key, entry in sorted(ledger.find(keys[begin : begin + 256]).items()):
            question = entry.question or {}
            try:
                answer = parse_response(entry.response or {})
            except NoText:
                continue
            turns = [*_turns(question), {"role": "assistant", "content": answer.text}]
            paid = entry.paid or Paid("", "")
            yield {"messages": turns, "teacher": str(question.get("model", "")), "run": paid.run, "key": key}


def _turns(question: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The turns of a question, in whichever form its teacher has them: a content is a text, or a list of parts."""
    for part in question.get("system", ()):
        yield {"role": "system", "content": str(part["text"])}
    for turn in question.get("messages", ()):
        content = turn["content"]
        text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
        yield {"role": str(turn["role"]), "content": text}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: float(v) if isinstance(v, Decimal) else v for k, v in values.items()}
