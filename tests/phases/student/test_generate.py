"""An answer is a function of weights, seed and prompt; not of what else is in its batch."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phases.errors import InvalidStructure
from phases.student import generate, model
from phases.student.generate import Encoded, SamplingConfig
from tests.phases.qlora_training.micro import settings

PROMPTS = [f"Write add_{n}{' please' * (n % 7)}." for n in range(11)]


@pytest.fixture(scope="module", params=["none", "nf4"])
def student(request: pytest.FixtureRequest, micro: Path) -> tuple[Any, Any]:
    config = settings(micro, quantization=request.param)
    adapted = model.apply_lora(model.prepare(model.load(config), config), config, 7)
    tokenizer = model.load_tokenizer(config)
    model.set_pad(tokenizer, adapted)
    return adapted, tokenizer


def answers(student: tuple[Any, Any], prompts: list[str], seed: int = 1, **said: Any) -> dict[str, str]:
    config = SamplingConfig(
        **{"max_new_tokens": 24, "batch": 4, "bucket": 16, "max_prompt_tokens": 128, **said}
    )
    return {prompts[i]: output.text for i, output in generate.answers(*student, prompts, config, seed)}


def logits(student: tuple[Any, Any], prompts: list[str], max_new_tokens: int = 3) -> dict[str, list[bytes]]:
    """The bits of the logits that each token of each prompt's answer was drawn from."""
    model, tokenizer = student
    config = SamplingConfig(max_new_tokens=max_new_tokens, batch=4, bucket=16, max_prompt_tokens=128)
    encoded = generate.encode(tokenizer, prompts, 128)
    found: dict[str, list[bytes]] = {}
    for batch in generate.plan(encoded, config):
        heard: list[Any] = []
        hook = model.get_base_model().register_forward_hook(
            lambda module, args, output, heard=heard: heard.append(output.logits[:, -1].float().numpy())
        )
        try:
            made = generate.answer(model, tokenizer, encoded, batch, config, 1)
        finally:
            hook.remove()
        for row, output in enumerate(made):  # after its end a row goes on as padding until the others end
            assert len(heard) > output.tokens - output.cut
            found[output.prompt] = [step[row].tobytes() for step in heard[: output.tokens + 1]]
    return found


def test_the_same_prompt_gets_the_same_answer_in_any_company(student: tuple[Any, Any]) -> None:
    together = answers(student, PROMPTS)
    for start in range(len(PROMPTS)):
        some = PROMPTS[start : start + 3]
        assert answers(student, some) == {p: together[p] for p in some}
    assert answers(student, PROMPTS[::-1]) == together


def test_not_a_bit_of_what_is_drawn_from_depends_on_the_company(student: tuple[Any, Any]) -> None:
    """The text tells a difference in the logits once in millions of tokens; the logits tell it at once.

    Another number of rows, or padding to the longest prompt of a batch, are other shapes, and other kernels for them; so
    is attention without a mask, where no row of a batch has padding (one of these prompts is exactly a bucket long).
    """
    assert any(len(e.ids) % 16 == 0 for e in generate.encode(student[1], PROMPTS, 128))
    together = logits(student, PROMPTS)
    for start in range(len(PROMPTS)):
        for some in (PROMPTS[start : start + 1], PROMPTS[start : start + 3]):
            assert logits(student, some) == {p: together[p] for p in some}


def test_padding_is_not_seen(student: tuple[Any, Any]) -> None:
    """What is drawn from first is what the model says after the bare prompt."""
    import torch

    drawn = logits(student, PROMPTS[:5], max_new_tokens=1)
    for prompt, found in drawn.items():
        bare = generate.encode(student[1], [prompt], 128)[0].ids
        with torch.no_grad():
            wanted = student[0](input_ids=torch.tensor([bare])).logits[0, -1]
        assert torch.allclose(torch.frombuffer(bytearray(found[0]), dtype=torch.float32), wanted, atol=1e-4)


def test_the_seed_decides(student: tuple[Any, Any]) -> None:
    assert answers(student, PROMPTS, 1) != answers(student, PROMPTS, 2)
    assert len(set(answers(student, PROMPTS).values())) > 1


def test_without_temperature_the_likeliest_token_is_taken(student: tuple[Any, Any]) -> None:
    assert answers(student, PROMPTS, 1, temperature=0) == answers(student, PROMPTS, 2, temperature=0)


def test_answers_without_an_end_and_prompts_cut_are_told(student: tuple[Any, Any]) -> None:
    config = SamplingConfig(max_new_tokens=2, batch=4, bucket=16, max_prompt_tokens=20)
    found = dict(generate.answers(*student, ["x" * 200, "y"], config, 1))
    assert (found[0].prompt_cut, found[1].prompt_cut) == (True, False)
    assert all(output.tokens == 2 for output in found.values() if output.cut)
    assert any(output.cut for output in found.values())


def test_a_prompt_too_long_loses_the_end_of_its_text_and_not_the_template(student: tuple[Any, Any]) -> None:
    tokenizer = student[1]
    cut = generate.encode(tokenizer, ["value " * 100], 40)[0]
    assert cut.cut
    assert len(cut.ids) == 40
    text = tokenizer.decode(cut.ids)
    assert text.startswith("<|start_of_role|>user<|end_of_role|>value ")
    assert text.endswith("<|end_of_text|><|start_of_role|>assistant<|end_of_role|>")


def test_an_answer_fits_the_context_after_its_prompt(student: tuple[Any, Any]) -> None:
    config = SamplingConfig(max_prompt_tokens=4096, max_new_tokens=100)
    assert generate.room(student[0], config) == 256 - 100
    with pytest.raises(InvalidStructure, match="leaves none"):
        generate.room(student[0], SamplingConfig(max_new_tokens=256))


def test_batches_hold_prompts_of_like_length_and_every_prompt_once() -> None:
    encoded = [Encoded(str(n), tuple(range(1 + n * 5 % 97)), False) for n in range(50)]
    config = SamplingConfig(batch=8, bucket=32)
    batches = generate.plan(encoded, config)
    assert sorted(place for b in batches for place in b.places) == list(range(50))
    for batch in batches:
        assert len(batch.places) <= 8
        assert all(batch.length - 32 <= len(encoded[p].ids) < batch.length for p in batch.places)


def test_the_noise_draws_from_the_softmax() -> None:
    """Gumbel-max: the largest of logits + noise is a draw from their softmax."""
    import torch

    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    keys = torch.tensor([generate.key(0, str(n)) for n in range(20_000)])
    drawn = (logits + generate.gumbel(keys, 3, 4)).argmax(-1)
    found = torch.bincount(drawn, minlength=4) / len(keys)
    wanted = torch.softmax(logits, 0)
    # five standard deviations of a share of 20,000 draws
    assert all(
        abs(a - b) < 5 * math.sqrt(b * (1 - b) / len(keys)) for a, b in zip(found, wanted, strict=True)
    )


def test_the_noise_of_a_row_is_its_own() -> None:
    import torch

    keys = torch.tensor([generate.key(0, p) for p in ("a", "b", "c")])
    whole = generate.gumbel(keys, 5, 100)
    assert torch.equal(generate.gumbel(keys[1:2], 5, 100)[0], whole[1])
    assert not torch.equal(generate.gumbel(keys, 6, 100), whole)
    assert bool(torch.isfinite(whole).all())


def test_room_without_a_known_context_is_as_configured() -> None:
    unknown = SimpleNamespace(config=SimpleNamespace())
    assert generate.room(unknown, SamplingConfig(max_prompt_tokens=77)) == 77
