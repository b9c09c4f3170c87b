"""The report of a whole distillation: every epoch, what it took, and how it ended.

Scores, corrections, counters, tokens and dollars are those of the epochs' own reports. Seconds are the journal's: the
time between its records, less what passed between a stop and the next attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fsm.journal import stack_of
from phases.distillation import report as epoch_report
from phases.distillation import student
from phases.distillation.stored import Stored

Json = dict[str, Any]

RULES = {
    "CONVERGED1": ("converged", "avg_score"),
    "CONVERGED2": ("converged", "correction_rate"),
    "MAXED": ("max epochs", "max_epochs"),
}
"""Last state of Diagram 9 -> how the loop ended, and by which rule: the setting that decided."""

PARTS = {
    "EpochN.Train": "train",
    "EpochN.Prefer": "train",
    "EpochN.Generate": "generate",
    "EpochN.Evaluate": "evaluate",
    "EpochN.FilterPoor": "evaluate",
    "EpochN.SelfTraining": "generate",
    "EpochN.RequestCorrections": "correct",
    "EpochN.CheckConvergence": "decide",
}
"""State of Diagram 4 -> the part of an epoch that its seconds are told under."""

DECIDE = "EpochN.CheckConvergence."


def report(found: Stored) -> Json:
    """What `fsm report --json` prints. Raises NotDistilled where no epoch is finished.

    One object:

        run, of, url      the distillation's run; the run it was asked for by; where it is
        status            running, stopped (resumable), done or failed
        place             where it stands; empty when it has ended
        ended             how the loop ended, or null: outcome (converged, or max epochs), rule (avg_score,
                          correction_rate or max_epochs), state of Diagram 9, epoch, reason, and lag: the drawn set's
                          average less the frozen one's, where that is more than convergence.lag, else null
        model, teacher, restart, seed, settings (of convergence)
        teaching          the summary of the run's teacher generation, or null
        epochs            one object an epoch: its report.json, with seconds {train, generate, evaluate, correct,
                          decide, total}, tokens {dataset (of one pass over it), generated,
                          teacher_input, teacher_output} and beside: three of its answers to frozen prompts with those of
                          the epoch before, {prompt, gained, before, after: {text, overall}}
        totals            epochs, seconds {setup, epochs, saving, total}, tokens, dollars, corrections
        answers           of the frozen set, first finished epoch against the last: the prompts that gained most, gained
                          in the middle, and gained least: {prompt, gained, first, last: {epoch, text, overall}}
    """
    last = found.require_epoch()
    times = seconds(found.records)
    pairs = beside(found, last)
    epochs = [
        _epoch(found.json(f"{student.prefix(n)}/report.json"), times["epochs"][n - 1])
        | {"beside": pairs[n - 1]}
        for n in range(1, last + 1)
    ]
    settings = found.section("convergence")
    return {
        "run": found.name,
        "of": found.asked if found.asked != found.name else None,
        "url": found.run.url,
        "status": status(found),
        "place": " > ".join(", ".join(place) for _, place in stack_of(found.fold)),
        "ended": ended(found.records, epochs, settings.lag),
        "model": found.section("qlora_training").model,
        "teacher": epochs[-1]["teacher"],
        "restart": epochs[-1]["restart"],
        "seed": found.seed,
        "settings": settings.model_dump(mode="json"),
        "teaching": found.teaching,
        "epochs": epochs,
        "totals": _totals(epochs, times),
        "answers": answers(found, last),
    }


def status(found: Stored) -> str:
    """running, stopped (resumable), done or failed."""
    from fsm.view import is_alive

    if found.fold.ended:
        return str(found.fold.ended["outcome"])
    return "running" if is_alive(found.run, found.run.read_live()) else "stopped"


def ended(records: Sequence[Mapping[str, Any]], epochs: Sequence[Json], lag: float) -> Json | None:
    """How the loop ended, by the state that Diagram 9 ended in; None while it goes on."""
    states = [r["from"] for r in records if r["kind"] == "transition" and r["machine"] == "convergence"]
    if not states or states[-1] not in RULES:
        return None
    outcome, rule = RULES[states[-1]]
    behind = round(epochs[-1]["drawn"]["overall"]["mean"] - epochs[-1]["held_out"]["overall"]["mean"], 4)
    return {
        "outcome": outcome,
        "rule": rule,
        "state": states[-1],
        "epoch": epochs[-1]["epoch"],
        "reason": epochs[-1]["reason"],
        "lag": behind if behind > lag else None,
    }


def seconds(records: Sequence[Mapping[str, Any]]) -> Json:
    """{"setup", "epochs": [{part: seconds}], "saving"}; an epoch that is not finished is the last of the list."""
    times: Json = {"setup": 0.0, "epochs": [], "saving": 0.0}
    before: float | None = None
    within = False
    for record in records:
        # before a claim nobody was at it; and clocks of two machines may disagree
        gap = 0.0 if before is None or record["kind"] == "claim" else max(0.0, record["time"] - before)
        before = record["time"]
        if "from" not in record:
            continue
        state = record["at"][0].partition("~")[0] if record["at"] else record["from"]
        part = PARTS.get(".".join(state.split(".")[:2]))
        if part is None:
            times["saving" if times["epochs"] else "setup"] += gap
            continue
        if not within:
            times["epochs"].append(dict.fromkeys(PARTS.values(), 0.0))
            within = True
        times["epochs"][-1][part] += gap
        within = not _leaves_epoch(record)
    return times


def answers(found: Stored, last: int) -> list[Json]:
    """Three answers to frozen prompts, of the first epoch and of the last; none where there is but one epoch."""
    if last < 2:
        return []
    return [
        {
            "prompt": pair["prompt"],
            "gained": pair["gained"],
            "first": {"epoch": 1} | pair["before"],
            "last": {"epoch": last} | pair["after"],
        }
        for pair in epoch_report.side_by_side(_answered(found, 1), _answered(found, last))
    ]


def beside(found: Stored, last: int) -> list[list[Json]]:
    """Of each epoch three answers to frozen prompts beside those of the epoch before; of the first none."""
    said = [_answered(found, n) for n in range(1, last + 1)]
    return [[], *(epoch_report.side_by_side(one, other) for one, other in pairwise(said))]


def _answered(found: Stored, epoch: int) -> list[Json]:
    where = student.prefix(epoch)
    said = found.rows(f"{where}/held_out_outputs.jsonl")
    scored = found.rows(f"{where}/held_out_scores.jsonl")
    return [
        {"prompt": o["prompt"], "text": o["text"], "overall": s["overall"]}
        for o, s in zip(said, scored, strict=True)
    ]


def _leaves_epoch(record: Mapping[str, Any]) -> bool:
    return (
        record["kind"] == "transition"
        and not record["at"]
        and record["from"].startswith(DECIDE)
        and not any(to.startswith(DECIDE) for to in record["to"])
    )


def _epoch(said: Json, times: Mapping[str, float]) -> Json:
    read, written = said["corrections"]["tokens"]
    rows = {
        name: of for name, of in said["training"]["data"].items() if not name.endswith("validation.jsonl")
    }
    return said | {
        "seconds": {part: round(s, 3) for part, s in times.items()}
        | {"total": round(sum(times.values()), 3)},
        "tokens": {
            "dataset": sum(of["tokens"] for of in rows.values()),
            "generated": sum(of["tokens"] for of in said["generated"].values()),
            "teacher_input": read,
            "teacher_output": written,
        },
    }


def _totals(epochs: Sequence[Json], times: Json) -> Json:
    within = sum(sum(of.values()) for of in times["epochs"])
    spent = {"setup": times["setup"], "epochs": within, "saving": times["saving"]}
    return {
        "epochs": len(epochs),
        "seconds": {k: round(s, 3) for k, s in (spent | {"total": sum(spent.values())}).items()},
        "tokens": {k: sum(e["tokens"][k] for e in epochs) for k in epochs[-1]["tokens"]},
        "dollars": round(sum(e["dollars"] for e in epochs), 6),
        "corrections": {
            k: sum(e["corrections"][k] for e in epochs) for k in ("asked", "reused", "accepted", "refused")
        },
    }
