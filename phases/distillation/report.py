"""What an epoch came to: scores with intervals, corrections, counters; as JSON, as a table, as a picture.

Nothing in here depends on a clock. Durations are the journal's to tell.
"""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from typing import Any

DIMENSIONS = ("overall", "syntax", "protocol", "safety", "style")
RESAMPLES = 1000
CONFIDENCE = 0.95
RIGHT = 9.99  # a behaviour from which an answer does all that the reference does


def summary(scores: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """A set's scores: mean and 95% interval of each dimension, for all and by domain; each in [0, 10].

    Rows have the DIMENSIONS and `domain`.
    """
    domains = sorted({s["domain"] for s in scores})
    return {
        "outputs": len(scores),
        **{d: interval([s[d] for s in scores], seed) for d in DIMENSIONS},
        "domains": {
            domain: interval([s["overall"] for s in scores if s["domain"] == domain], seed)
            for domain in domains
        },
    }


def interval(values: Sequence[float], seed: int) -> dict[str, float]:
    """The mean, and its bootstrap interval (percentile method; Efron and Tibshirani, 1993, chapter 13)."""
    if not values:
        return {"mean": 0.0, "low": 0.0, "high": 0.0}
    rng = random.Random(seed)
    n = len(values)
    means = sorted(sum(rng.choices(values, k=n)) / n for _ in range(RESAMPLES))
    tail = int((1 - CONFIDENCE) / 2 * RESAMPLES)
    return {
        "mean": round(sum(values) / n, 4),
        "low": round(means[tail], 4),
        "high": round(means[-1 - tail], 4),
    }


def table(epochs: Sequence[Mapping[str, Any]]) -> str:
    """The epochs so far, one line each, as Markdown."""
    behaved = any("behaviour" in e for e in epochs)
    lines = [
        "| epoch | drawn set | frozen set | poor | corrections | refused | examples | loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    if behaved:
        lines = [lines[0] + " drawn set behaves | frozen set behaves |", lines[1] + "---|---|"]
    for e in epochs:
        corrections = e["corrections"]
        loss = "" if e["training"]["loss"] is None else f"{e['training']['loss']:.3f}"
        lines.append(
            f"| {e['epoch']} | {_shown(e['drawn']['overall'])} | {_shown(e['held_out']['overall'])} | "
            f"{e['correction_rate']:.0%} | {corrections['accepted']} | {corrections['refused']} | "
            f"{e['examples']['before']} to {e['examples']['after']} | {loss} |"
            + ("".join(f" {_behaves(e, name)} |" for name in ("drawn", "held_out")) if behaved else "")
        )
    return "\n".join(lines) + "\n"


def kept(epochs: Sequence[Mapping[str, Any]], by: str) -> int:
    """The epoch whose adapter is the model: the last one, or the first that none is better than on the frozen set."""
    if by == "last":
        return int(epochs[-1]["epoch"])
    told = [
        e["behaviour"]["held_out"]["behaviour"] if by == "behaviour" else e["held_out"]["overall"]
        for e in epochs
    ]
    best = max(range(len(epochs)), key=lambda i: (told[i]["mean"], -i))
    return int(epochs[best]["epoch"])


def picture(epochs: Sequence[Mapping[str, Any]], threshold: float) -> bytes:
    """Both sets' average by epoch, with intervals, and the threshold, as an SVG that is the same every time."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "distillation"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    numbers = [e["epoch"] for e in epochs]
    for key, name, colour in (
        ("drawn", "drawn set (corrected)", "#1f6f8b"),
        ("held_out", "frozen set", "#c8553d"),
    ):
        found = [e[key]["overall"] for e in epochs]
        axes.plot(numbers, [f["mean"] for f in found], marker="o", color=colour, label=name)
        axes.fill_between(
            numbers,
            [f["low"] for f in found],
            [f["high"] for f in found],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
    axes.axhline(threshold, color="grey", linestyle="--", linewidth=1, label=f"threshold {threshold:g}")
    axes.set(xlabel="epoch", ylabel="average score", ylim=(0, 10), xticks=numbers)
    axes.legend(loc="lower right", frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return out.getvalue()


def card(
    base: str, run: str, epochs: Sequence[Mapping[str, Any]], ended: str, lineage: Mapping[str, str]
) -> str:
    """The model card of the saved adapter: what it is of, how it came about, how it scores."""
    last = epochs[-1]
    made = "\n".join(f"| {name} | `{digest[:16]}` |" for name, digest in sorted(lineage.items()))
    return (
        f"---\nbase_model: {base}\nlibrary_name: peft\ntags: [lora, distillation, c]\n---\n"
        f"# A LoRA adapter of {base}\n\n"
        f"Made by run `{run}` by iterative distillation: {len(epochs)} epochs, ended by: {ended}.\n\n"
        f"Average score on the drawn set {_shown(last['drawn']['overall'])}, on the frozen set "
        f"{_shown(last['held_out']['overall'])} (of 10, with 95% bootstrap intervals). Prompts of the drawn set enter "
        "the training set with their corrections, so the first flatters; those of the frozen set never do.\n\n"
        f"{table(epochs)}\n## Lineage\n\n| artifact | sha256 |\n|---|---|\n{made}\n"
    )


def _behaves(epoch: Mapping[str, Any], name: str) -> str:
    found = epoch.get("behaviour", {}).get(name)
    if not found or not found["compared"]:
        return "not compared"
    return f"{found['behaviour']['mean']:.2f}, {found['right']} of {found['compared']} right"


def _shown(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
