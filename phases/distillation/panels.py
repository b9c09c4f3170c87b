"""A distillation on the page of `fsm watch`: its curves over the epochs, and an epoch's answers side by side.

All of it is read from the artifacts that the run has put so far, so that it grows with the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from phases.distillation import student

if TYPE_CHECKING:
    from fsm.view import RunFiles

Json = dict[str, Any]

SETS = {"drawn": "drawn set", "held_out": "frozen set"}
ANSWERS = {"drawn": ("outputs", "scores"), "held_out": ("held_out_outputs", "held_out_scores")}
DIMENSIONS = ("syntax", "protocol", "safety", "style")
BEHAVES = (
    "The share of inputs on which an answer does what a right one does, of 10, with 95% bootstrap intervals."
)
REPORT = re.compile(r"distillation/epoch-(\d+)/report\.json")
SCORES = re.compile(r"distillation/epoch-(\d+)/scores\.jsonl")


def panels(files: RunFiles) -> list[Json]:
    """Score, loss, correction rate, tokens and dollars by epoch, and the epochs whose answers were scored."""
    epochs = [files.json(f"{student.prefix(n)}/report.json") for n in numbers(files, REPORT)]
    found = curves(epochs, threshold(files)) if epochs else []
    if scored := numbers(files, SCORES):
        items = [
            {"id": f"{n}-{name}", "label": f"epoch {n}, {words}"}
            for n in reversed(scored)
            for name, words in SETS.items()
        ]
        found.append({"id": "answers", "title": "Answers of an epoch", "kind": "pages", "items": items})
    return found


def page(files: RunFiles, panel: str, item: str) -> Json:
    """The answers of an epoch's set, worst first, each with its score's rules and the teacher's correction.

    Raises KeyError, ValueError for an item that `panels` does not name.
    """
    number, _, name = item.partition("-")
    where = student.prefix(int(number))
    outputs, scores = (files.rows(f"{where}/{part}.jsonl") for part in ANSWERS[name])
    corrected = _corrected(files, where) if name == "drawn" else {}
    rows = [_row(o, s, corrected.get(o["prompt"])) for o, s in zip(outputs, scores, strict=True)]
    rows.sort(key=lambda row: row.pop("overall"))
    return {"title": f"Epoch {number}, {SETS[name]}", "rows": rows}


def numbers(files: RunFiles, pattern: re.Pattern[str]) -> list[int]:
    """The epochs that have an artifact of that name."""
    return sorted(int(found[1]) for name in files.files if (found := pattern.fullmatch(name)))


def threshold(files: RunFiles) -> float:
    """The average score that the run is to reach, in [0, 10]."""
    settings = import_module("phases.convergence").PHASE
    section = settings.section(files.header["config"].get("convergence") or {})
    return float(section.avg_score)


def curves(epochs: Sequence[Mapping[str, Any]], goal: float) -> list[Json]:
    """The plots of epochs' reports."""

    def line(name: str, of: Any) -> Json:
        return {"name": name, "points": [[e["epoch"], *_values(of(e))] for e in epochs]}

    def plot(id_: str, title: str, lines: list[Json], **more: Any) -> Json:
        return {"id": id_, "title": title, "kind": "plot", "x": "epoch", "lines": lines} | more

    first, last = epochs[0]["epoch"], epochs[-1]["epoch"]
    score = [line(words, lambda e, name=name: e[name]["overall"]) for name, words in SETS.items()]
    ends = [[first, goal], [last, goal]]
    score.append({"name": f"threshold {goal:g}", "points": ends, "dashed": True})
    loss = [
        line("training", lambda e: e["training"]["loss"]),
        line("validation", lambda e: e["training"].get("eval_loss")),
    ]
    tokens = [
        line("dataset, one pass", lambda e: _dataset(e["training"]["data"])),
        line("generated", lambda e: sum(of["tokens"] for of in e["generated"].values())),
        line("teacher, read", lambda e: e["corrections"]["tokens"][0]),
        line("teacher, written", lambda e: e["corrections"]["tokens"][1]),
    ]
    note = (
        "Averages of 10, with 95% bootstrap intervals. Prompts of the drawn set enter the training set with their "
        "corrections, so it flatters; those of the frozen set never do."
    )
    found = [plot("score", "Score", score, to=10, note=note)]
    if behaved := [e for e in epochs if "behaviour" in e]:
        lines = [
            {"name": words, "points": [[e["epoch"], *_behaved(e, name)] for e in behaved]}
            for name, words in SETS.items()
        ]
        found.append(plot("behaviour", "Behaviour", lines, to=10, note=BEHAVES))
    sources = dict.fromkeys(name for e in epochs for name in e.get("learned_from", ()))
    if sources:
        rows = [
            line(f"from {name}", lambda e, name=name: e.get("learned_from", {}).get(name, 0))
            for name in sources
        ]
        found.append(plot("learned", "Rows learned from", rows, **{"from": 0}))
    return [
        *found,
        plot("loss", "Loss", loss),
        plot(
            "corrections",
            "Correction rate",
            [line("share of poor outputs", lambda e: e["correction_rate"])],
            **{"from": 0, "to": 1},
        ),
        plot("tokens", "Tokens", tokens, **{"from": 0}),
        plot("dollars", "Dollars", [line("teacher", lambda e: e["dollars"])], **{"from": 0}),
    ]


def _behaved(epoch: Mapping[str, Any], name: str) -> list[float | None]:
    of = epoch["behaviour"][name]
    return _values(of["behaviour"] if of["compared"] else None)


def _values(value: Any) -> list[float | None]:
    if isinstance(value, Mapping):
        return [value["mean"], value["low"], value["high"]]
    return [value]


def _dataset(data: Mapping[str, Any]) -> int:
    return sum(of["tokens"] for name, of in data.items() if not name.endswith("validation.jsonl"))


def _corrected(files: RunFiles, where: str) -> dict[str, Json]:
    """What became of the poor outputs of an epoch, by prompt."""
    found: dict[str, Json] = {}
    if f"{where}/poor.jsonl" in files.files and f"{where}/answers.jsonl" in files.files:
        poor, answers = files.rows(f"{where}/poor.jsonl"), files.rows(f"{where}/answers.jsonl")
        for p, a in zip(poor, answers, strict=True):
            found[p["prompt"]] = {"text": a.get("answer") or "", "what": a.get("reason") or "learned from"}
    if f"{where}/refused.jsonl" in files.files:
        for row in files.rows(f"{where}/refused.jsonl"):
            found.setdefault(row["prompt"], {"text": ""})["what"] = f"not learned from: {row['reason']}"
    return found


def _row(output: Mapping[str, Any], score: Mapping[str, Any], correction: Mapping[str, Any] | None) -> Json:
    facts = [["overall", f"{score['overall']:.2f}"], *([d, f"{score[d]:.1f}"] for d in DIMENSIONS)]
    rules = [[_rule(r), f"{r['points']:+.1f}: {r['note']}"] for r in score["reasons"]]
    cells: list[Json] = [
        {"title": "Student", "text": output["text"], "facts": facts, "rules": rules},
    ]
    if correction:
        facts = [["", correction["what"]]]
        cells.append({"title": "Teacher's correction", "text": correction["text"], "facts": facts})
    title = f"{score['overall']:.2f}  {output['prompt']}"
    return {"title": title, "text": output["prompt"], "overall": score["overall"], "cells": cells}


def _rule(reason: Mapping[str, Any]) -> str:
    line = reason.get("line")
    return f"{reason['rule']}{f', line {line}' if line else ''}"
