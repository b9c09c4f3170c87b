"""Rows that give their place to the next prompt answer as batches do, and not a bit depends on who sits beside them."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phases.student import generate
from phases.student.generate import SamplingConfig
from tests.phases.student.test_generate import PROMPTS, student

__all__ = ["student"]

CONFIG = SamplingConfig(max_new_tokens=24, batch=4, bucket=16, max_prompt_tokens=128)


def drawn_from(
    student: tuple[Any, Any], prompts: list[str], monkeypatch: pytest.MonkeyPatch
) -> dict[tuple[int, int], bytes]:
    """The bits of the logits that each token of each prompt's answer was drawn from, by key and step."""
    from phases.student import slots

    found: dict[tuple[int, int], bytes] = {}
    real = slots.draw

    def hear(logits: Any, keys: Any, steps: Any, config: SamplingConfig) -> Any:
        for row, key, step in zip(logits.float().numpy(), keys.tolist(), steps.tolist(), strict=True):
            found[key, step] = row.tobytes()
        return real(logits, keys, steps, config)

    with monkeypatch.context() as patch:
        patch.setattr(slots, "draw", hear)
        encoded = generate.encode(student[1], prompts, 128)
        list(slots.answers(*student, encoded, CONFIG, 1))
    return found


def test_not_a_bit_of_what_is_drawn_from_depends_on_the_company(
    student: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = drawn_from(student, PROMPTS, monkeypatch)
    for some in (PROMPTS[:1], PROMPTS[4:7], PROMPTS[::-1]):
        alone = drawn_from(student, some, monkeypatch)
        keys = {generate.key(1, prompt) for prompt in some}
        assert alone == {at: bits for at, bits in together.items() if at[0] in keys}


def test_slots_say_what_batches_say(student: tuple[Any, Any]) -> None:
    from phases.student import slots

    encoded = generate.encode(student[1], PROMPTS, 128)
    batches = {
        place: output
        for batch in generate.plan(encoded, CONFIG)
        for place, output in zip(
            batch.places, generate.answer(*student, encoded, batch, CONFIG, 1), strict=True
        )
    }
    assert dict(slots.answers(*student, encoded, CONFIG, 1)) == batches


def test_a_row_that_has_ended_is_replaced_at_once(
    student: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One long answer and ten of two tokens in two slots: the long one is nobody's company to its end."""
    from phases.student import slots

    prompts = [f"Write add_{n}." for n in range(10)]
    long = generate.key(1, prompts[0])
    taken: Counter[int] = Counter()

    def draw(logits: Any, keys: Any, steps: Any, config: SamplingConfig) -> Any:
        import torch

        taken.update(keys.tolist())
        ends = (keys != long) & (steps == 1)
        return torch.where(ends, student[1].eos_token_id, 5)

    monkeypatch.setattr(slots, "draw", draw)
    config = CONFIG.model_copy(update={"batch": 2})
    encoded = generate.encode(student[1], prompts, 128)
    order = [place for place, _ in slots.answers(*student, encoded, config, 1)]
    assert order == [*range(1, 10), 0]  # the others came and went in the other slot
    assert set(taken.values()) == {2, 24}


def test_models_that_keep_a_window_or_a_state_are_answered_in_batches(student: tuple[Any, Any]) -> None:
    from phases.student import slots

    def model(**said: Any) -> Any:
        config = SimpleNamespace(**said)
        config.get_text_config = lambda: config
        return SimpleNamespace(config=config)

    assert slots.fits(student[0])
    assert slots.fits(model())
    assert not slots.fits(model(sliding_window=4096))
    assert not slots.fits(model(layer_types=["full_attention", "mamba"]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.999), st.floats(0.1, 3))
def test_what_is_drawn_is_what_the_warpers_leave(seed: int, top_p: float, temperature: float) -> None:
    import torch
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    from phases.student import slots

    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(seed)) * 3
    logits[0] = logits[0].round()  # ties
    keys, steps = torch.arange(6) * 7919 + seed, torch.arange(6)
    config = SamplingConfig(top_p=top_p, temperature=temperature)
    scores = TopPLogitsWarper(top_p)(None, TemperatureLogitsWarper(temperature)(None, logits))
    wanted = (scores + generate.gumbel(keys, steps, 50)).argmax(-1)
    assert torch.equal(slots.draw(logits, keys, steps, config), wanted)
