"""The drawing is the program: every state has its handler, every walk follows drawn edges, a user may draw more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm.drawing import chart
from fsm.engine import Machine, Phase, Walk
from machines.quality_scoring import MACHINE
from phases.quality_scoring import PHASE, QualityScoringConfig, Scoring, score, score_many
from phases.quality_scoring.config import AVB, TSN, SyntaxConfig

ROOT = Path(__file__).parents[3]
GOOD = "int add(int left, int right) { return left + right; }\n"
HEURISTIC = QualityScoringConfig(syntax=SyntaxConfig(use="heuristic"))


def test_every_state_has_a_handler_and_every_handler_a_state() -> None:
    simple = {s.path for s in MACHINE.chart.states.values() if not s.composite}
    assert set(PHASE.handlers) == simple


def test_a_walk_takes_the_drawn_edges_and_all_four_checks() -> None:
    walk = Walk(MACHINE, PHASE)
    result = score(GOOD, "Write C for TSN", HEURISTIC, walk=walk)
    taken = " ".join(walk.counts())
    for state in (
        "GotoCheck",
        "MallocCheck",
        "SetjmpCheck",
        "AbortCheck",
        "HeuristicCheck",
        "CheckTSNKeywords",
    ):
        assert state in taken
    assert result.domain == "TSN"


def test_the_keywords_are_those_of_the_drawing() -> None:
    labels = {e.source.rpartition(".")[2]: e.label for e in MACHINE.chart.edges}
    assert labels["CheckTSNKeywords"] == ", ".join(TSN.keywords)
    assert labels["CheckAVBKeywords"] == ", ".join(AVB.keywords)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "int f(int a)",
                "{",
                "}",
                "(",
                ")",
                ";",
                "```c\n",
                "```",
                "\n",
                "goto x;",
                "malloc(1)",
                "/*",
                "*/",
                '"',
            ]
        ),
        max_size=30,
    ),
    st.sampled_from(["", "TSN", "AVB", "gate and priority"]),
)
def test_every_text_reaches_the_end_with_scores_in_range(pieces: list[str], prompt: str) -> None:
    result = score(" ".join(pieces), prompt, HEURISTIC)
    for name in ("syntax", "protocol", "safety", "style", "overall"):
        assert 0 <= getattr(result, name) <= 10
    assert result.needs_correction == (result.overall < 7)


def test_many_are_scored_in_their_order() -> None:
    texts = [(f"int f{i}(int a) {{ int b{i}; return a; }}\n" * 1, "") for i in range(20)]
    assert score_many(texts, workers=4) == [score(t, p) for t, p in texts]


def test_one_walk_serves_many_threads() -> None:
    walk = Walk(MACHINE, PHASE)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: score(GOOD, "", HEURISTIC, walk=walk), range(50)))
    assert set(walk.counts().values()) == {50}


def test_a_scorer_of_ones_own_is_a_state_more_and_a_handler() -> None:
    text = (ROOT / "diagrams" / "quality_scoring.mmd").read_text("utf-8")
    edge = "    StyleCheck --> ComputeOverall\n"
    assert edge in text
    more = text.replace(edge, "    StyleCheck --> LicenceCheck\n    LicenceCheck --> ComputeOverall\n")
    drawn = chart.parse(more, "quality_scoring")
    machine = Machine("quality_scoring", drawn, forks=["SafetyCheck.CheckViolations"], counted=True)
    phase = Phase("quality_scoring", config=QualityScoringConfig)
    phase.handlers.update(PHASE.handlers)

    @phase.state("LicenceCheck")
    def licence(item: Scoring) -> None:
        named = any("SPDX" in c.text for c in item.structure.comments)
        item.give("LicenceCheck", 10.0 if named else 0.0, "licence named" if named else "no licence")

    weights = {"syntax": 0.25, "protocol": 0.25, "safety": 0.25, "style": 0.15, "licence": 0.10}
    config = HEURISTIC.model_copy(update={"weights": weights})
    walk = Walk(machine, phase)
    without = score(GOOD, config=config, walk=walk)
    with_it = score("/* SPDX-License-Identifier: MIT */\n" + GOOD, config=config, walk=walk)
    assert (without.extra, with_it.extra) == ((("licence", 0.0),), (("licence", 10.0),))
    assert with_it.overall == pytest.approx(without.overall + 1.0 + 0.15 * 2)
