"""Which of a student's own answers it learns from, what it prefers to what, and whom the teacher is asked about."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from phases.distillation.agreement import Judged, Sample, acceptable, kept, pairs, room
from phases.distillation.alike import Alike
from phases.distillation.choosing import alike, need, unsure
from phases.distillation.config import AcceptConfig, CorrectionsConfig, DistillationConfig
from phases.quality_scoring import QualityScoringConfig, score_many
from phases.teacher_generation.offline import generate
from tests.needs import needing

ACCEPT = AcceptConfig(score=7.0)  # these have neither comments nor keywords
PROMPT = "Write the C function `offset_add` for TSN to add an offset of 10 to a value."
RIGHT = "uint32_t offset_add(uint32_t value)\n{\n    return value + 10U;\n}\n"
OTHERWISE = "uint32_t offset_add(uint32_t value)\n{\n    uint32_t sum = 10U;\n\n    sum += value;\n    return sum;\n}\n"
WRONG = RIGHT.replace("10U", "16U")
UNNAMED = RIGHT.replace("offset_add", "other")
BEYOND = "uint32_t offset_add(uint32_t value)\n{\n    uint32_t sums[2] = {0U};\n\n    return sums[(value | 2U)] + 10U;\n}\n"

MADE_UP = "int offset_read(int);\n" + RIGHT.replace("value +", "(uint32_t)offset_read((int)value) +")


def judged(texts: Sequence[str], before: str | None = None, prompt: str = PROMPT) -> Judged:
    """Answers as JudgeSamples judges them."""
    scoring = QualityScoringConfig()
    said = [*texts, *([before] if before is not None else [])]
    scores = score_many([(text, prompt) for text in said], scoring)
    return Alike(said, prompt, scoring, scores).judged(prompt, [-0.1] * len(texts))


def sample(
    own: int | None, same: Sequence[bool], overall: float = 9.0, fit: bool = True, **more: float
) -> Sample:
    return Sample(f"answer {own}", overall, 10.0, fit, more.get("likelihood", -0.1), tuple(same), own)


@needing("behaviour")
def test_the_answer_that_most_samples_behave_like_is_kept_whatever_its_words() -> None:
    found = judged([WRONG, RIGHT, OTHERWISE]).accepted(ACCEPT)
    assert found is not None
    assert found.text in (RIGHT, OTHERWISE)
    assert found.agreement == pytest.approx(2 / 3)


@needing("behaviour")
@pytest.mark.parametrize(
    "texts",
    [
        [RIGHT, WRONG],  # no majority
        [UNNAMED, UNNAMED, UNNAMED],  # of another name
        [BEYOND, BEYOND, BEYOND],  # all the same, and they trap wherever they are called
        [RIGHT.replace(";", "")] * 3,  # no C
        [RIGHT.replace("{", "{\n    int spare;")] * 3,  # compiles with a warning
        [MADE_UP] * 3,  # all call what is nowhere
        [MADE_UP, MADE_UP.replace("10U", "9U + 1U"), MADE_UP + "\n"],
    ],
)
def test_agreement_alone_is_not_enough(texts: list[str]) -> None:
    assert judged(texts).accepted(ACCEPT) is None


def test_without_a_sandbox_only_the_same_code_does_the_same() -> None:
    scoring = QualityScoringConfig.model_validate({"behaviour": {"use": "none"}})
    texts = [RIGHT, OTHERWISE, RIGHT.replace("    ", "\t"), WRONG]
    side_by_side = Alike(texts, PROMPT, scoring, score_many([(t, PROMPT) for t in texts], scoring))
    assert [side_by_side.same(0, n) for n in range(4)] == [True, False, True, False]
    assert side_by_side.fit(0)


@needing("behaviour")
def test_an_answer_that_fell_out_of_favour_leaves_and_one_that_holds_stays() -> None:
    held = judged([RIGHT, RIGHT, WRONG], before=OTHERWISE).accepted(ACCEPT)
    assert held is not None
    assert held.text == OTHERWISE
    fallen = judged([RIGHT, RIGHT, RIGHT], before=WRONG).accepted(ACCEPT)
    assert fallen is not None
    assert fallen.text == RIGHT
    assert judged([RIGHT, WRONG, UNNAMED], before=RIGHT).accepted(ACCEPT) is None


@needing("behaviour")
def test_a_pair_is_a_right_answer_and_the_likeliest_that_does_something_else() -> None:
    one = judged([RIGHT, OTHERWISE, WRONG])
    assert pairs([one, judged([RIGHT, RIGHT])], ACCEPT, 10) == [
        {"prompt": PROMPT, "chosen": RIGHT, "rejected": WRONG}
    ]
    assert Judged.from_json(json.loads(json.dumps(one.to_json()))) == one


@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(0, 10), st.booleans()), max_size=12),
    st.integers(0, 100),
    st.floats(0, 0.99),
)
def test_what_joins_is_acceptable_and_never_more_than_its_share(
    of: list[tuple[int, float, bool]], rows: int, share: float
) -> None:
    found = [
        Judged(
            f"prompt {n}",
            tuple(sample(i, [i < agree or i == j for j in range(4)], overall, fit) for i in range(4)),
        )
        for n, (agree, overall, fit) in enumerate(of)
    ]
    most = room(rows, share)
    joined = kept(found, ACCEPT, most)
    assert len(joined) <= most
    assert len(joined) <= share * (rows + len(joined)) + 1e-6
    assert all(acceptable(k.sample, ACCEPT) for k in joined)
    assert len(joined) == min(most, sum(j.accepted(ACCEPT) is not None for j in found))


def torn(prompt: str, agreeing: int, overall: float, likelihood: float = -0.1) -> Judged:
    """Four samples of which so many do the same; none acceptable."""
    return Judged(
        prompt,
        tuple(
            sample(
                i,
                [i == j or (i < agreeing and j < agreeing) for j in range(4)],
                overall,
                False,
                likelihood=likelihood,
            )
            for i in range(4)
        ),
    )


def test_the_worse_and_the_less_sure_are_needier() -> None:
    sure, doubting = torn("a", 4, 8.0), torn("a", 1, 8.0)
    assert need(sure).total < need(doubting).total
    assert need(torn("a", 4, 5.0)).total > need(sure).total
    assert need(torn("a", 4, 8.0, -2.0)).total > need(sure).total


def test_nothing_is_asked_that_the_student_answers_acceptably() -> None:
    able = Judged("able", tuple(sample(i, [True] * 4) for i in range(4)))
    assert [p.prompt for p in unsure([able, torn("unable", 1, 4.0)], ACCEPT, 10)] == ["unable"]


def test_of_many_alike_prompts_few_are_asked_while_others_are_there() -> None:
    """A pool as real prompts come: most of it of one kind, at which the student is a little worse."""
    by_kind: dict[str, list[str]] = {}
    for p in generate("train", 200, 3):
        by_kind.setdefault(p.kind, []).append(p.text)
    kinds = sorted(by_kind)[:8]
    common, rest = by_kind[kinds[0]], [by_kind[k][0] for k in kinds[1:]]
    pool = [torn(p, 1, 3.0) for p in common] + [torn(p, 1, 4.5) for p in rest]
    asked = [p.prompt for p in unsure(pool, ACCEPT, 6)]
    assert len(asked) == 6
    assert len(set(asked) & set(rest)) >= 4
    worst = sorted(pool, key=lambda j: -need(j).total)[:4]
    assert {j.prompt for j in worst} <= set(common)


@settings(deadline=None)
@given(st.permutations(range(8)), st.integers(0, 9))
def test_who_is_asked_does_not_depend_on_the_order_of_the_pool(order: list[int], most: int) -> None:
    pool = [
        torn(f"Write `gate_{n}` for a {word}.", n % 4 + 1, 3.0 + n % 3) for n, word in enumerate("abcdefgh")
    ]
    chosen = unsure([pool[n] for n in order], ACCEPT, most)
    assert chosen == unsure(pool, ACCEPT, most)
    assert len({p.prompt for p in chosen}) == len(chosen) == min(most, 8)


@given(st.frozensets(st.text(max_size=3)), st.frozensets(st.text(max_size=3)))
def test_likeness_is_mutual_and_whole_with_itself(one: frozenset[str], other: frozenset[str]) -> None:
    assert alike(one, other) == alike(other, one)
    assert alike(one, one) == 1.0


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"corrections": {"calls": 0}}, "a budget of no calls"),
        ({"corrections": {"whom": "unsure"}}, "set self_training"),
        ({"learn": "sft+dpo"}, "set self_training with samples of 2 or more"),
        ({"learn": "sft+dpo", "self_training": {"samples": 1}}, "samples of 2 or more"),
        ({"corrections": {"show_attempt": True}}, "behaves_at"),
        ({"self_training": {"share": 1.0}}, "less than 1"),
        ({"self_training": {"prompts": 0}}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_set(section: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        DistillationConfig.model_validate(section)


def test_the_ceiling_stays_the_ceiling() -> None:
    assert CorrectionsConfig().budget == 500
    assert CorrectionsConfig(calls=12).budget == 12
    assert CorrectionsConfig(calls=12, most=5).budget == 5
