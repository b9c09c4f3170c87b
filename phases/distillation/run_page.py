"""A run's report as one HTML file: everything is in it, so it opens offline; no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from phases.distillation import report, run_words
from phases.distillation.run_words import SETS, caption, cells, domains, headings, score, teaching

Json = Mapping[str, Any]

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --quiet: #667; --line: #d8dce2; --shade: #f5f6f8;
  --drawn: #1f6f8b; --frozen: #c8553d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #15181c; --quiet: #9aa3ad; --line: #333a42;
  --shade: #1d2126; --drawn: #5cb3d1; --frozen: #ec8a72; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 76rem;
  margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
p { margin: .3rem 0; } .quiet { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem; }
th, td { padding: .3rem .5rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
td small { color: var(--quiet); margin-left: .35rem; }
.drawn { color: var(--drawn); } .frozen { color: var(--frozen); }
figure { margin: .8rem 0; } img { max-width: 100%; background: #fff; border: 1px solid var(--line); }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; margin: .4rem 0 1.6rem; }
@media (max-width: 50rem) { .pair { grid-template-columns: minmax(0, 1fr); } }
pre { background: var(--shade); padding: .7rem; overflow-x: auto; font-size: .8rem; line-height: 1.4; margin: .2rem 0; }
summary { cursor: pointer; padding: .2rem 0; } summary:focus-visible { outline: 2px solid var(--drawn); }
blockquote { margin: .6rem 0; padding-left: .8rem; border-left: 3px solid var(--line); }
"""


BEHAVES = (
    "Each answer is run beside a right one, on inputs made from its signature; behaviour is the share of inputs on which both "
    "agree, of 10. Right is who agrees on all; a test is weak where the right answer itself always gives the same."
)
FAILS = "An answer counts once, by the gravest that it has; what is not measured is no failure."
LEARNED = "Rows of the training set by whom they are learned from, and what the teacher was asked, and paid, in that epoch."


def page(said: Json) -> str:
    """The page of what `run_report.report` says."""
    epochs = said["epochs"]
    prepared = teaching(said)
    curve = report.picture(epochs, said["settings"]["avg_score"])
    parts = [
        f"<h1>{escape(said['run'])}</h1>",
        *(f"<p>{escape(line)}</p>" for line in caption(said)),
        _figure(curve, "Average score of both sets by epoch, with 95% bootstrap intervals."),
        "<h2>By epoch</h2>",
        _table(headings(), [cells(e) for e in epochs]),
        "<h2>Scores by dimension and domain</h2>",
        '<p class="quiet">Means of 10, with 95% bootstrap intervals. Prompts of the '
        '<span class="drawn">drawn set</span> enter the training set with their corrections; those of the '
        '<span class="frozen">frozen set</span> never do.</p>',
        *_scores(epochs),
        _figure(dimensions(epochs), "The dimensions of both sets by epoch, with 95% bootstrap intervals."),
        *_section("What the answers do", BEHAVES, run_words.behaviour(epochs)),
        *_section("Answers by kind of failure", FAILS, run_words.failures(epochs)),
        *_section("What was learned, and from whom", LEARNED, run_words.learned(epochs)),
        *_answers(said["answers"]),
        *_beside(epochs),
        *(
            ["<h2>Teacher generation</h2>", _table(["", ""], [list(row) for row in prepared])]
            if prepared
            else []
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(said['run'])}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def dimensions(epochs: Sequence[Json]) -> bytes:
    """Syntax, protocol, safety and style of both sets by epoch, and behaviour where every epoch has it, as an SVG that is the
    same every time.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "distillation"
    from matplotlib import pyplot as plt

    behaved = all(e.get("behaviour", {}).get(key, {}).get("compared") for e in epochs for key in SETS)
    panels = [*report.DIMENSIONS[1:], *(["behaviour"] if behaved else [])]
    figure, axes = plt.subplots(1, len(panels), figsize=(10.5, 2.5), sharey=True, layout="constrained")
    numbers = [e["epoch"] for e in epochs]
    for panel, dimension in zip(axes, panels, strict=True):
        for key, (name, colour) in SETS.items():
            found = [(e[dimension][key] if dimension == "behaviour" else e[key])[dimension] for e in epochs]
            panel.plot(numbers, [f["mean"] for f in found], marker="o", ms=3, color=colour, label=name)
            low, high = [f["low"] for f in found], [f["high"] for f in found]
            panel.fill_between(numbers, low, high, color=colour, alpha=0.15, linewidth=0)
        panel.set(title=dimension, xlabel="epoch", ylim=(0, 10.3), xticks=numbers)
    axes[0].set_ylabel("score")
    axes[0].legend(loc="lower right", frameon=False, fontsize="small")
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return out.getvalue()


def _scores(epochs: Sequence[Json]) -> list[str]:
    found = domains(epochs)
    heads = ["epoch", *report.DIMENSIONS, *found]
    parts = []
    for key, (name, _) in SETS.items():
        rows = [
            [
                str(e["epoch"]),
                *(e[key][d] for d in report.DIMENSIONS),
                *(e[key]["domains"].get(d) for d in found),
            ]
            for e in epochs
        ]
        kind = "drawn" if key == "drawn" else "frozen"
        parts.append(f'<p class="{kind}"><b>{escape(name)}</b></p>' + _table(heads, rows))
    return parts


def _answers(answers: Sequence[Json]) -> list[str]:
    if not answers:
        return []
    parts = [
        "<h2>Answers before and after</h2>",
        '<p class="quiet">To three prompts of the frozen set: the one that gained most, one in the middle, and the '
        "one that gained least.</p>",
    ]
    for one in answers:
        parts.append(f"<blockquote>{escape(one['prompt'])}</blockquote>")
        parts.append(_pair(*((f"epoch {of['epoch']}", of) for of in (one["first"], one["last"]))))
    return parts


def _beside(epochs: Sequence[Json]) -> list[str]:
    """Of each epoch three answers beside those of the epoch before, folded up."""
    told = [e for e in epochs if e.get("beside")]
    if not told:
        return []
    parts = [
        "<h2>Answers beside those of the epoch before</h2>",
        '<p class="quiet">Of each epoch the answer to a frozen prompt that gained most, one in the middle, and the one that '
        "gained least.</p>",
    ]
    for e in told:
        pairs = "".join(
            f"<blockquote>{escape(one['prompt'])}</blockquote>"
            + _pair((f"epoch {e['epoch'] - 1}", one["before"]), (f"epoch {e['epoch']}", one["after"]))
            for one in e["beside"]
        )
        gained = ", ".join(f"{one['gained']:+.2f}" for one in e["beside"])
        parts.append(f"<details><summary>Epoch {e['epoch']}: {gained}</summary>{pairs}</details>")
    return parts


def _pair(*halves: tuple[str, Json]) -> str:
    told = "".join(
        f"<div><b>{escape(name)}: {of['overall']:.2f}</b><pre>{escape(of['text'])}</pre></div>"
        for name, of in halves
    )
    return f'<div class="pair">{told}</div>'


def _section(title: str, note: str, table: run_words.Table) -> list[str]:
    """A table under its title; nothing where it has no rows."""
    heads, rows = table
    if not rows:
        return []
    return [f"<h2>{escape(title)}</h2>", f'<p class="quiet">{escape(note)}</p>', _table(heads, rows)]


def _figure(svg: bytes, text: str) -> str:
    # as an image of its own, for matplotlib's ids repeat from picture to picture
    data = base64.b64encode(svg).decode()
    return f'<figure><img alt="{escape(text)}" src="data:image/svg+xml;base64,{data}"></figure>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(c)}</td>' for c in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _cell(value: Any) -> str:
    """A text, or an interval with its mean in front."""
    if value is None or isinstance(value, str):
        return escape(value or "")
    mean, _, interval = score(value).partition(" ")
    return f"{mean}<small>{interval}</small>"
