"""The program agrees with snippets that were scored by hand, from the drawing's rules, before it saw them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from phases.quality_scoring import QualityScoringConfig, Reason, score
from phases.quality_scoring.config import SyntaxConfig

TABLE = Path(__file__).with_name("hand_scored")
PROMPTS = {
    "tsn": "Write a C function for a TSN switch.",
    "avb": "Write a C function for an AVB endpoint.",
    "other": "Write a C function.",
}
NOTHING_IN_IT = {
    "syntax": "10 clean",
    "protocol": "6 unknown domain",
    "safety": "7 base",
    "style": "5 no comment",
}
WEIGHTS = {"syntax": "0.30", "protocol": "0.30", "safety": "0.25", "style": "0.15"}


@dataclass(frozen=True)
class Snippet:
    table: str
    name: str
    text: str
    prompt: str
    by_hand: dict[str, Decimal]


def arithmetic(said: str) -> Decimal:
    """`7 base - 3 goto + 0.5 uint8_t` as the number it makes, clamped to [0, 10]."""
    first, *rest = re.split(r"\s([+-])\s(?=\d)", said)
    terms = [("+", first), *zip(rest[::2], rest[1::2], strict=True)]
    total = Decimal(0)
    for sign, term in terms:
        number = re.match(r"\d+(\.\d+)?(?= \S)", term)
        assert number, f"{term!r} in {said!r} is not a number and what it is for"
        total += Decimal(number[0]) * (1 if sign == "+" else -1)
    return min(Decimal(10), max(Decimal(0), total))


def snippets() -> list[Snippet]:
    found = []
    for path in sorted(TABLE.glob("*.yaml")):
        for row in yaml.safe_load(path.read_text("utf-8")):
            assert set(row) <= {"name", "text", "prompt", *NOTHING_IN_IT}, row["name"]
            by_hand = {k: arithmetic(str(row.get(k, usual))) for k, usual in NOTHING_IN_IT.items()}
            prompt = PROMPTS[row.get("prompt", "other")]
            found.append(Snippet(path.stem, row["name"], row["text"], prompt, by_hand))
    return found


SNIPPETS = snippets()
HEURISTIC = QualityScoringConfig(syntax=SyntaxConfig(use="heuristic"))


def shown(reasons: tuple[Reason, ...]) -> str:
    return "\n".join(f"  {r.rule} line {r.line}: {r.points:+g} {r.note}" for r in reasons)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda s: f"{s.table}: {s.name}")
def test_the_program_scores_as_the_hand_did(snippet: Snippet) -> None:
    config = HEURISTIC if snippet.table == "heuristic" else QualityScoringConfig()
    result = score(snippet.text, snippet.prompt, config)
    got = {name: Decimal(str(getattr(result, name))) for name in NOTHING_IN_IT}
    assert got == snippet.by_hand, f"\n{shown(result.reasons)}"
    overall = sum((Decimal(w) * snippet.by_hand[name] for name, w in WEIGHTS.items()), Decimal(0))
    assert Decimal(str(result.overall)) == overall
    assert result.needs_correction == (overall < 7)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda s: f"{s.table}: {s.name}")
def test_the_points_of_the_reasons_add_up_to_the_scores(snippet: Snippet) -> None:
    result = score(snippet.text, snippet.prompt, HEURISTIC)
    for name in NOTHING_IN_IT:
        given = sum(r.points for r in result.reasons if r.rule.startswith(f"{name.capitalize()}Check."))
        assert given == pytest.approx(getattr(result, name))


def test_the_table_has_120_snippets_and_no_name_twice() -> None:
    names = [(s.table, s.name) for s in SNIPPETS]
    assert len(names) >= 120
    assert len(set(names)) == len(names)
