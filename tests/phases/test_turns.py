"""A prompt is one string: different turns are different ones, and the turns come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phases.turns import before_answer, shown, spell, turns, words

texts = st.text(max_size=8) | st.sampled_from(
    ['[{"role": "', '[{"role": "user", "content": "a"}]', '[{"role": "x"}]']
)
conversations = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": texts}),
    min_size=1,
    max_size=4,
)


@given(conversations)
def test_the_turns_come_back(said: list[dict[str, str]]) -> None:
    assert turns(spell(said)) == said


@given(conversations, conversations)
def test_different_turns_are_different_prompts(
    one: list[dict[str, str]], other: list[dict[str, str]]
) -> None:
    assert (spell(one) == spell(other)) == (one == other)


@given(texts)
def test_any_text_is_a_prompt(text: str) -> None:
    assert spell(turns(text)) == text or turns(text) == [{"role": "user", "content": text}]


def test_a_single_turn_is_its_own_text() -> None:
    assert spell([{"role": "user", "content": "Write a queue."}]) == "Write a queue."
    assert words("Write a queue.") == "Write a queue."
    assert shown("Write a queue.") == {"prompt": "Write a queue."}


def test_a_text_that_reads_like_turns_is_no_other_prompts_turns() -> None:
    said = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    text = spell(said)
    assert turns(spell([{"role": "user", "content": text}])) == [{"role": "user", "content": text}]


def test_what_is_said_is_shown_and_scored_turn_by_turn() -> None:
    said = [{"role": "system", "content": "C99."}, {"role": "user", "content": "A `ring`.\nNow."}]
    assert words(spell(said)) == "C99.\n\nA `ring`.\nNow."
    assert shown(spell(said)) == {"messages": said}
    assert before_answer({"messages": [*said, {"role": "assistant", "content": "x"}]}) == spell(said)
