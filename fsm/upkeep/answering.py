"""`fsm answer`: an edge named for a state that asks, as a request that whoever writes the run's journal takes into it.

The request is put under the name of the question, if there is none yet: of several answers at once one stands, in a bucket too.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

from fsm.engine import nearest
from fsm.errors import ConfigError, NotAsking, RunOver
from fsm.journal import Journal, Pause, moment, pauses_of, requests
from fsm.speech import out, say
from fsm.store import RunStore, open_store
from fsm.upkeep.who import who

MOST_BYTES = 1 << 16  # of an answer with its note and values


def answer(
    name: str,
    label: str,
    store: str,
    by: str | None,
    note: str | None,
    values: Sequence[str],
    to: str | None,
    as_json: bool,
) -> int:
    """Answer the question of a run.

    As JSON one object: run, question, label, by, note, values, alive (whether a runner takes it up by itself). Raises NotAsking,
    RunOver, ConfigError, StoreError.
    """
    from fsm.view import is_alive

    run = open_store(store).run(name)
    asked = _meant(run, to)
    _may_say(name, asked, label)
    said = requests.AnswerRequest(
        id=secrets.token_hex(8), by=who(by), label=label, note=note, values=_values(values)
    )
    if len(said.model_dump_json()) > MOST_BYTES:
        raise ConfigError(
            f"An answer is of {MOST_BYTES} bytes at most, its note and values included. Say less, and name a file instead."
        )
    assert asked.slot is not None
    stands = requests.put(run, asked.slot, said)
    if stands.id != said.id:
        raise NotAsking(_answered(name, asked.question or "", stands))
    alive = is_alive(run, run.read_live())
    if as_json:
        found = {"run": name, "question": asked.question, **said.model_dump(exclude={"id"}), "alive": alive}
        out(json.dumps(found, ensure_ascii=False))
    elif alive:
        say(f"run {name} is answered by {label!r}; its runner goes on with it.")
    else:
        say(
            f"run {name} is answered by {label!r}; `fsm resume-due` goes on with it, or the command that began it."
        )
    return 0


def _meant(run: RunStore, to: str | None) -> Pause:
    """The question that is open, and meant."""
    journal = Journal(run)
    journal.header()
    fold = journal.load()
    if fold.ended:
        raise RunOver(f"Run {run.name} asks nothing any more: it is over ({fold.ended['outcome']}).")
    asked = [pause for pause in pauses_of(fold.root) if pause.slot is not None]
    found = [pause for pause in asked if to is None or (pause.slot or "").startswith(to)]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        several = "; ".join(f"{pause.slot}: {pause.question}" for pause in found)
        raise NotAsking(f"Run {run.name} asks several things. Say which is meant with --to: {several}")
    if not asked:
        raise NotAsking(f"Run {run.name} asks nothing: see `fsm status {run.name}`.")
    now = "; ".join(f"{pause.slot}: {pause.question}" for pause in asked)
    raise NotAsking(
        f"Run {run.name} does not ask {to!r}: that is answered, or was never asked. What it asks now is {now}"
    )


def _may_say(name: str, asked: Pause, label: str) -> None:
    if label not in asked.labels:
        labels = list(asked.labels)
        raise NotAsking(
            f"{asked.place} has no edge {label!r}{nearest(label, labels) or '.'} Run {name} may be answered by: {', '.join(labels)}."
        )
    if asked.until is not None and time.time() > asked.until:
        raise NotAsking(
            f"The time to answer run {name} was over at {moment(asked.until)}: it goes on by {asked.otherwise!r}, as drawn."
        )


def _answered(name: str, question: str, stands: requests.AnswerRequest) -> str:
    if stands.by is None:
        return f"The time to answer run {name} is over: it goes on by {stands.label!r}, as drawn."
    note = f" ({stands.note})" if stands.note else ""
    return f"Run {name} is answered already: {stands.by} said {stands.label!r}{note} to: {question} The first answer stands."


def _values(words: Sequence[str]) -> dict[str, Any]:
    """`key=value` words; a value that is not JSON is a text."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {word}: give it a key and a value, as in --set epochs=3.")
        if key in found:
            raise ConfigError(f"--set {word}: {key} is set twice. Say which is meant.")
        try:
            found[key] = json.loads(text, parse_constant=_no_number)
        except ValueError:
            found[key] = text
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no value of JSON")
