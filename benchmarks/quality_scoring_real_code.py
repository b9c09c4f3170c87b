"""The distribution of the scores on real code: linuxptp, lldpd and iproute2, from Debian's source packages.

    python -m benchmarks.quality_scoring_real_code [--functions 400]

Functions are scored out of their projects, as a model's answers would be, and whole files beside them. Writes
results/quality_scoring_real_code.json and .svg, the picture that docs/scoring.md shows.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from benchmarks.common import RESULTS, write
from benchmarks.quality_scoring_texts import PACKAGES, Text, fetch, functions, versions
from phases.quality_scoring import Score, score_many

SCORES = ("syntax", "protocol", "safety", "style", "overall")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", type=int, default=400, help="of each package at most")
    most = parser.parse_args().functions
    found: dict[str, dict[str, list[Score]]] = {"functions": {}, "files": {}}
    for package, files in fetch().items():
        for kind, texts in (("functions", functions(files, most)), ("files", files)):
            found[kind][package] = _scores(texts)
    print(
        write(
            "quality_scoring_real_code", [], packages=versions(), **{k: _summary(v) for k, v in found.items()}
        )
    )
    print(_draw(found))


def _scores(texts: list[Text]) -> list[Score]:
    return score_many([(t.code, PACKAGES[t.package]) for t in texts])


def _summary(found: dict[str, list[Score]]) -> dict[str, Any]:
    """By package: how many, and of each score the mean and its deciles."""
    summary: dict[str, Any] = {}
    for package, scores in found.items():
        rows: dict[str, Any] = {
            "texts": len(scores),
            "acceptable": sum(not s.needs_correction for s in scores),
        }
        for name in SCORES:
            values = [getattr(s, name) for s in scores]
            deciles = [round(d, 2) for d in statistics.quantiles(values, n=10, method="inclusive")]
            rows[name] = {"mean": round(statistics.mean(values), 2), "deciles": deciles}
        summary[package] = rows
    return summary


def _draw(found: dict[str, dict[str, list[Score]]]) -> str:
    """Histograms: a row for functions and one for files, a column for each score."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "quality_scoring"
    from matplotlib import pyplot as plt

    colours = {"linuxptp": "#1b6ca8", "lldpd": "#e08e0b", "iproute2": "#3a9a5b"}
    bins = [i / 2 for i in range(22)]
    figure, axes = plt.subplots(
        2, len(SCORES), figsize=(15, 5.6), sharex=True, sharey="row", layout="constrained"
    )
    for row, (kind, packages) in zip(axes, found.items(), strict=True):
        for axis, name in zip(row, SCORES, strict=True):
            values = [[getattr(s, name) for s in scores] for scores in packages.values()]
            weights = [[100 / len(v)] * len(v) for v in values]
            labels = [f"{package} ({len(v)})" for package, v in zip(packages, values, strict=True)]
            axis.hist(values, bins=bins, weights=weights, color=[colours[p] for p in packages], label=labels)
            axis.set_title(name if kind == "functions" else "")
            axis.set_xlim(0, 10.5)
            axis.set_xticks(range(0, 11, 2))
            axis.spines[["top", "right"]].set_visible(False)
            if name == "overall":
                axis.axvline(7, color="#555", linewidth=1, linestyle="--")
        row[0].set_ylabel(f"% of {kind}")
        row[2].legend(frameon=False, fontsize=8, loc="upper left", title=f"{kind} of", alignment="left")
    figure.supxlabel("score (dashed: below it needs correction)")
    path = RESULTS / "quality_scoring_real_code.svg"
    figure.savefig(path, metadata={"Date": None})
    return str(path)


if __name__ == "__main__":
    main()
