"""A run's report in words and cells, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fsm.view import duration
from phases.distillation.report import FAILURES, SOURCES

Json = Mapping[str, Any]

SETS = {"drawn": ("drawn set", "#1f6f8b"), "held_out": ("frozen set", "#c8553d")}
"""Set of prompts -> its name and its colour."""


def caption(said: Json) -> Iterator[str]:
    """What run this is, how it ended, and what it took, a sentence or two a line."""
    of = f", of run {said['of']}" if said["of"] else ""
    each = {"adapter": "going on with its adapter", "base": "beginning again from the base"}[said["restart"]]
    yield f"Run {said['run']}{of}: {said['model']}, taught by {said['teacher']}, each epoch {each}; seed {said['seed']}."
    yield _ending(said)
    if said["ended"] and said["ended"]["lag"] is not None:
        yield (
            f"The frozen set lags {said['ended']['lag']:.2f} behind the drawn one, whose prompts were corrected and "
            "trained on: the student has learned those better than the task."
        )
    total, first, last = said["totals"], said["epochs"][0], said["epochs"][-1]
    spent, tokens = total["seconds"], total["tokens"]
    yield (
        f"{_plural(total['epochs'], 'epoch')} in {duration(spent['epochs'])}, with set-up and saving "
        f"{duration(spent['total'])}; {tokens['generated']:,} tokens generated; "
        f"{total['corrections']['asked']} corrections asked of the teacher, "
        f"{total['corrections']['accepted']} learned from, for ${total['dollars']:.2f} "
        f"({tokens['teacher_input']:,} tokens in, {tokens['teacher_output']:,} out); "
        f"{first['examples']['before']} examples before, {last['examples']['after']} after."
    )
    if worded := last["training"].get("wordings"):
        (rows, said), (without, steps) = worded["rows"], worded["steps_a_pass"]
        yield (
            f"Each example in up to {worded['variants']} wordings: in the last epoch {rows} were {said}, and one pass over them "
            f"{_plural(steps, 'optimizer step')} instead of {without}."
        )


def teaching(said: Json) -> list[tuple[str, str]]:
    """(what, how much) of the run's teacher generation; empty where it had none."""
    from phases.teacher_generation.summary import rows

    return rows(said["teaching"]) if said.get("teaching") else []


def _ending(said: Json) -> str:
    now = {"stopped": "; it is stopped, and can be resumed", "running": "; it is running"}
    how = said["ended"]
    if how is None:
        return f"Not decided yet after epoch {said['epochs'][-1]['epoch']}{now.get(said['status'], '')}: it stands in {said['place']}."
    way = "Converged" if how["outcome"] == "converged" else "Ended, not converged,"
    return f"{way} after epoch {how['epoch']} by the rule {how['rule']} ({how['state']}): {how['reason']}{now.get(said['status'], '')}."


def headings() -> list[str]:
    """Of the columns of `cells`."""
    return [
        *("epoch", "drawn set", "frozen set", "correction rate", "asked", "reused", "taken", "refused"),
        *("at threshold", "low rate", "loss", "tokens", "time", "dollars", "examples"),
    ]


def cells(epoch: Json) -> list[Any]:
    """One epoch: both averages, correction rate, corrections, counters of Diagram 9, loss, and what it took.

    Each is a text, but for the averages, which are intervals {mean, low, high}.
    """
    corrections, counters = epoch["corrections"], epoch["counters"]
    loss = epoch["training"]["loss"]
    return [
        str(epoch["epoch"]),
        epoch["drawn"]["overall"],
        epoch["held_out"]["overall"],
        f"{epoch['correction_rate']:.0%}",
        *(str(corrections[k]) for k in ("asked", "reused", "accepted", "refused")),
        str(counters["epochs_at_threshold"]),
        str(counters["low_correction_count"]),
        "" if loss is None else f"{loss:.3f}",
        f"{epoch['tokens']['generated']:,}",
        duration(epoch["seconds"]["total"]),
        f"{epoch['dollars']:.2f}",
        f"{epoch['examples']['before']} to {epoch['examples']['after']}",
    ]


Table = tuple[list[str], list[list[Any]]]
"""Headings and rows; a cell is a text or an interval. No rows where nothing is known."""


def behaviour(epochs: Sequence[Json]) -> Table:
    """What the answers of each set do: behaviour with its interval, and how many are right of those that were compared."""
    rows: list[list[Any]] = []
    for e in epochs:
        for key, (name, _) in SETS.items():
            if (of := e.get("behaviour", {}).get(key)) is not None:
                shown = of["behaviour"] if of["compared"] else "not compared"
                counts = [str(of[k]) for k in ("right", "compared", "outputs", "weak")]
                rows.append([str(e["epoch"]), name, shown, *counts])
    return ["epoch", "set", "behaviour", "right", "compared", "answers", "weak tests"], rows


def failures(epochs: Sequence[Json]) -> Table:
    """The share of each set's answers by kind of failure."""
    rows: list[list[Any]] = []
    for e in epochs:
        for key, (name, _) in SETS.items():
            if of := e.get("failures", {}).get(key):
                shares = [
                    f"{of[kind] / (sum(of.values()) or 1):.0%}" if of[kind] else "" for kind in FAILURES
                ]
                rows.append([str(e["epoch"]), name, *shares])
    return ["epoch", "set", *FAILURES], rows


def learned(epochs: Sequence[Json]) -> Table:
    """What each epoch learned from whom, in rows of its training set, and what the teacher was asked and paid after it."""
    told = [e for e in epochs if e.get("learned_from")]
    sources = list(dict.fromkeys([*SOURCES, *(name for e in told for name in e["learned_from"])]))
    shown = [name for name in sources if any(e["learned_from"].get(name) for e in told)]
    rows: list[list[Any]] = [
        [
            str(e["epoch"]),
            *(f"{e['learned_from'].get(name, 0):,}" for name in shown),
            f"{e['corrections']['asked']:,}",
            f"{e['tokens']['teacher_input']:,}",
            f"{e['tokens']['teacher_output']:,}",
            f"{e['dollars']:.2f}",
        ]
        for e in told
    ]
    return ["epoch", *(f"from {name}" for name in shown), "asked", "tokens in", "tokens out", "dollars"], rows


def domains(epochs: Sequence[Json]) -> list[str]:
    """The domains that any epoch has scores of, sorted."""
    return sorted({d for e in epochs for key in SETS for d in e[key]["domains"]})


def score(found: Mapping[str, float]) -> str:
    """A mean with its interval: `8.02 7.61–8.40`."""
    return f"{found['mean']:.2f} {found['low']:.2f}–{found['high']:.2f}"


def _plural(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
