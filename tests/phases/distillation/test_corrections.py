"""From poor outputs to rows: worst first, gated, no duplicates."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from phases.distillation import corrections
from phases.distillation.corrections import Poor
from phases.turns import spell

scores = st.floats(0, 10).map(lambda x: round(x, 1))
texts = st.text(" ab\n", max_size=6)


def row(prompt: str, answer: str) -> dict[str, Any]:
    return corrections.row(prompt, answer, 1)


@given(st.lists(st.builds(Poor, st.uuids().map(str), scores, scores), max_size=20), st.randoms())
def test_worst_first_whatever_order_they_come_in(found: list[Poor], random: Any) -> None:
    shuffled = random.sample(found, len(found))
    ordered = corrections.worst_first(shuffled)
    assert ordered == corrections.worst_first(found)
    assert [p.overall for p in ordered] == sorted(p.overall for p in found)


def test_poor_is_below_the_threshold_not_at_it() -> None:
    rows = [{"prompt": p, "overall": o, "syntax": 10.0} for p, o in (("a", 6.9), ("b", 7.0), ("c", 2.0))]
    assert [p.prompt for p in corrections.poor(rows, 7.0)] == ["a", "c"]


def test_a_correction_enters_only_if_it_is_better_and_compiles() -> None:
    poor = Poor("p", 5.0, 0.0)
    assert corrections.gate(poor, "int x;", 5.1, 7.0, 7.0) is None
    for answer, overall, syntax, why in (
        ("int x;", 5.0, 10.0, "no better than the output's 5.00"),
        ("int x;", 4.0, 10.0, "no better"),
        ("int x;", 9.0, 6.9, "does not compile (syntax 6.9)"),
        (" \n", 9.0, 10.0, "is empty"),
    ):
        refused = corrections.gate(poor, answer, overall, syntax, 7.0)
        assert refused is not None
        assert why in refused.reason


@given(st.lists(st.tuples(texts, texts), max_size=8), st.lists(st.tuples(texts, texts), max_size=8))
def test_the_set_grows_by_what_it_does_not_hold(
    old: list[tuple[str, str]], new: list[tuple[str, str]]
) -> None:
    rows = [row(*pair) for pair in old]
    grown, duplicates = corrections.append(rows, [row(*pair) for pair in new])
    assert grown[: len(rows)] == rows
    assert len(grown) + len(duplicates) == len(old) + len(new)
    again, refused = corrections.append(grown, [row(*pair) for pair in new])
    assert (again, len(refused)) == (grown, len(new))


def test_white_space_makes_no_new_example() -> None:
    grown, duplicates = corrections.append([row("p", "int  x;\n")], [row("p", "int x;"), row("p", "int y;")])
    assert [r["messages"][1]["content"] for r in grown] == ["int  x;\n", "int y;"]
    assert duplicates[0].reason == "the set holds it already"


def test_the_teachers_answer_is_learned_where_a_prompt_has_two() -> None:
    merged = corrections.merge([row("a", "raw"), row("b", "raw")], [row("b", "teacher"), row("c", "teacher")])
    assert [(r["messages"][0]["content"], r["messages"][1]["content"]) for r in merged] == [
        ("a", "raw"),
        ("b", "teacher"),
        ("c", "teacher"),
    ]


def test_a_prompt_of_several_turns_keeps_them_and_is_another_than_its_last_turn() -> None:
    several = [{"role": "system", "content": "C99."}, {"role": "user", "content": "b"}]
    correction = row(spell(several), "teacher")
    assert correction["messages"] == [*several, {"role": "assistant", "content": "teacher"}]
    merged = corrections.merge([row("b", "raw"), row(spell(several), "raw")], [correction])
    assert [(len(r["messages"]), r["messages"][-1]["content"]) for r in merged] == [
        (2, "raw"),
        (3, "teacher"),
    ]


def test_answers_learned_by_heart_are_counted() -> None:
    rows = [row("p", "int  x;\n"), row("q", "int y;")]
    assert corrections.copied(["int x;", "int y;\n", "int z;", "q"], rows) == 2
