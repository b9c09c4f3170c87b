"""What an epoch came to: scores with intervals, corrections, counters; as JSON, as a table, as a picture.

Nothing in here depends on a clock. Durations are the journal's to tell.
"""

from __future__ import annotations

import io
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

DIMENSIONS = ("overall", "syntax", "protocol", "safety", "style")
RESAMPLES = 1000
CONFIDENCE = 0.95
RIGHT = 9.99  # a behaviour from which an answer does all that the reference does
SHOWN = 3  # answers of an epoch beside those of the epoch before

FAILURES = (
    "no code", "another question", "does not compile", "does not run", "wrong results", "warnings", "poor form", "none",
)  # fmt: skip
"""Kinds of failure, the gravest first: an answer is of the first that applies."""

SOURCES = ("raw", "teacher", "correction", "self")
"""Whom rows are learned from; what a row itself says it is learned from may be another."""


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


def failures(
    scored: Sequence[Mapping[str, Any]], behaved: Sequence[Mapping[str, Any]] | None, poor_below: float
) -> dict[str, int]:
    """How many answers are of each of the FAILURES.

    Rows of `scored` have overall, syntax and reasons; those of `behaved`, where behaviour was measured, behaviour and reason.
    """
    found = dict.fromkeys(FAILURES, 0)
    for i, score in enumerate(scored):
        found[_failure(score, behaved[i] if behaved else {}, poor_below)] += 1
    return found


def _failure(score: Mapping[str, Any], behaved: Mapping[str, Any], poor_below: float) -> str:
    said = {
        r["rule"].rpartition(".")[2]: r["note"]
        for r in score.get("reasons", ())
        if r["rule"].startswith("SyntaxCheck")
    }
    if (why := said.get("Score0")) is not None:
        astray = why.startswith("another question")
        return (
            "another question" if astray else "no code" if why.startswith("nothing") else "does not compile"
        )
    if "Score5to6" in said:
        return "does not compile"
    does = behaved.get("behaviour")
    if does is not None and does < RIGHT:
        # of an answer that ends as it should it is told on how many inputs it differs
        return "wrong results" if behaved.get("reason", "").startswith("it differs") else "does not run"
    if "Score7to9" in said:
        return "warnings"
    return "poor form" if score["overall"] < poor_below else "none"


def learned_from(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows of a training set are learned from whom: SOURCES first, then what else the rows name, sorted."""
    found = Counter(source(row) for row in rows)
    order = [*SOURCES, *sorted(found.keys() - set(SOURCES))]
    return {name: found[name] for name in order if found[name]}


def source(row: Mapping[str, Any]) -> str:
    """Whom a row is learned from: what it says itself (`learned_from`), else by what it bears."""
    if "learned_from" in row:
        return str(row["learned_from"])
    if "correction_of_epoch" in row:
        return "correction"
    return "teacher" if "teacher" in row else "raw"


def side_by_side(
    one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Of two epochs' answers to the same prompts those that gained most, gained in the middle, and gained least.

    Rows have prompt, text and overall; {"prompt", "gained", "before": {text, overall}, "after": {text, overall}}.
    """
    pairs = sorted(
        zip(one, other, strict=True), key=lambda p: (p[0]["overall"] - p[1]["overall"], p[0]["prompt"])
    )
    places = dict.fromkeys((0, len(pairs) // 2, len(pairs) - 1)) if pairs else {}
    return [
        {
            "prompt": before["prompt"],
            "gained": round(after["overall"] - before["overall"], 4),
            "before": {k: before[k] for k in ("text", "overall")},
            "after": {k: after[k] for k in ("text", "overall")},
        }
        for before, after in (pairs[place] for place in places)
    ]


def markdown(epochs: Sequence[Mapping[str, Any]], beside: Sequence[Mapping[str, Any]]) -> str:
    """The report of the last epoch: the epochs so far, then its failures, what it learned from whom and for how much, and
    answers `beside` those of the epoch before.
    """
    last = epochs[-1]
    of = last["failures"]
    names = {"drawn": "drawn set", "held_out": "frozen set"}
    lines = [
        f"| answers of epoch {last['epoch']} | {' | '.join(FAILURES)} |",
        "|---" * (len(FAILURES) + 1) + "|",
    ]
    for key, name in names.items():
        all_ = sum(of[key].values()) or 1
        lines.append(f"| {name} | {' | '.join(f'{of[key][k] / all_:.0%}' for k in FAILURES)} |")
    corrections, (read, written) = last["corrections"], last["corrections"]["tokens"]
    rows = ", ".join(f"{n} from {name}" for name, n in last["learned_from"].items())
    lines += [
        "",
        f"Learned in this epoch: {rows}. The teacher was asked {corrections['asked']} times for ${last['dollars']:.2f} "
        f"({read} tokens in, {written} out).",
    ]
    for pair in beside:
        lines += ["", f"> {' '.join(pair['prompt'].split())}"]
        for when, number in (("before", last["epoch"] - 1), ("after", last["epoch"])):
            text = pair[when]["text"]
            fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 0)
            lines += [
                "",
                f"Epoch {number}, {pair[when]['overall']:.2f}:",
                "",
                fence + "c",
                text.rstrip("\n"),
                fence,
            ]
    return table(epochs) + "\n" + "\n".join(lines) + "\n"


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
