"""What a smoke job measured of its instance, as a table beside the figures of docs/gpu.md.

Both are results of benchmarks/qlora_8b.py: the job's own, and those that the page was written from (benchmarks/results).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARTIFACT = "smoke/measured.json"
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
NOT_MEASURED = "not measured"
GB = 1e9


@dataclass(frozen=True)
class Row:
    """A quantity: here, and as docs/gpu.md has it; None where it was not measured."""

    what: str
    here: str | None
    there: str | None


def reference(shape: str) -> Mapping[str, Any]:
    """The results that docs/gpu.md reports of a shape; empty where there are none."""
    name = {"short": "qlora_8b", "full": "qlora_8b"}.get(shape, f"qlora_8b_{shape}")
    path = RESULTS / f"{name}.json"
    found: Mapping[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def rows(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Row]:
    """What either has measured, in a fixed order."""
    quantities = [
        ("device", ("machine", "device"), "{}"),
        ("versions", ("machine", "versions", "torch"), "torch {}"),
        ("parameters", ("model", "parameters"), "{:,}"),
        *(
            (f"a step {how}: {what}", ("step", "sdpa", how, *key), form)
            for how in ("followed", "bare fp32", "bare")
            for what, key, form in (
                ("tokens a second", ("tokens_per_second",), "{:,.0f}"),
                ("model FLOPs utilisation", ("model_flops_utilisation",), "{:.1%}"),
                ("peak memory", ("peak", "reserved"), "GB"),
            )
        ),
        ("a step followed / bare fp32", ("step", "followed / bare fp32"), "{:.3f}"),
        ("memory that the preflight asks for", ("step", "preflight_bytes"), "GB"),
    ]
    ways = dict.fromkeys((*_at(there, ("generation", "ways"), {}), *_at(here, ("generation", "ways"), {})))
    quantities += [
        (f"generation {how}: tokens a second", ("generation", "ways", how, "tokens_per_second"), "{:,.0f}")
        for how in ways
    ]
    quantities += [
        ("resumed to the same bytes", ("resume", "as configured", "bytes_equal"), "{}"),
        ("out of memory survived", ("memory", "survived"), "{}"),
    ]
    for what, keys, form in quantities:
        found = [_said(_at(where, keys), form) for where in (here, there)]
        if any(found):
            yield Row(what, *found)


def table(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """The rows as aligned text."""
    shown = [("", "this instance", "docs/gpu.md")]
    shown += [(row.what, row.here or NOT_MEASURED, row.there or NOT_MEASURED) for row in rows(here, there)]
    widths = [max(len(row[n]) for row in shown) for n in range(2)]
    return "\n".join(
        "  ".join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2])).rstrip() for row in shown
    )


def _at(value: Any, keys: tuple[str, ...], otherwise: Any = None) -> Any:
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return otherwise
        value = value[key]
    return value


def _said(value: Any, form: str) -> str | None:
    if value is None:
        return None
    return f"{value / GB:.1f} GB" if form == "GB" else form.format(value)
