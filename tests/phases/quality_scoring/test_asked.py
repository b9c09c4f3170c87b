"""What a prompt names in backquotes, and an answer that has none of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.quality_scoring import score
from phases.quality_scoring.asked import named
from phases.teacher_generation.offline import generate
from phases.teacher_generation.offline.teacher import write_function

GATE = "uint32_t gate_time(uint32_t gate, uint32_t gcl)\n{\n    return gate * gcl;\n}\n"


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("Write `gate_now`.", {"gate_now"}),
        ("Write `static uint8_t gate_now(uint8_t x)` for TSN", {"gate_now"}),
        ("Fill `struct gate_entry` in `gate_now()`", set()),
        ("`uint32_t`, `NULL`, `while` and `x` are words of any code", set()),
        ("Complete this:\n```c\nint `gate_now`(int x)\n```\nfor TSN", set()),
        ("Complete `this`:\n```c\nint `gate_now`", {"this"}),
        ("a function called gate_now, without backquotes", set()),
    ],
)
def test_names_stand_in_backquotes(prompt: str, names: set[str]) -> None:
    assert named(prompt) == names


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("Write `gate_now` using `memcpy`.", {"gate_now"}),
        ("Write a C function. Do not use `malloc`.", set()),
        ("Write `copy_name` instead of `strcpy`.", {"copy_name"}),
        ("Replace `strcpy` with a bounded copy.", set()),
        ("Write a function called from `main_loop` that opens a gate.", set()),
        ("It is called by `main_loop`.", set()),
        ("Write a C function with parameter `len` that sums bytes.", set()),
        ("Write a C function that fills `struct gate_entry`.", set()),
        ("Use the macro `GATE_OPEN` and the constant `MAX_PORTS`.", set()),
        ("Include `stdint.h` and `<string.h>` only; compile with `-Wall -Wextra` and `--std=c99`.", set()),
        ("Avoid `goto`; `memcpy` is not allowed.", set()),
        ("`alloc_frame` must not be called.", set()),
        ("`alloc_frame` and `free_frame` are forbidden.", set()),
        ("Never call `frame_alloc` or `frame_free`.", set()),
        ("Write a function named `frame_copy` or `copy_frame`.", {"frame_copy", "copy_frame"}),
        ("Write `frame_copy`. It returns `FRAME_OK`, or `-1`.", {"frame_copy"}),
        ("Implement `memcpy` without `memmove`.", {"memcpy"}),
        ("Write a function, call it `frame_copy`, that copies.", {"frame_copy"}),
        ("Do not call it `frame_copy`.", set()),
        ("The function name is `frame_copy`.", {"frame_copy"}),
        ("Function name: `frame_copy`", {"frame_copy"}),
        ("Signature: `int frame_copy(struct frame *to, const struct frame *from)`", {"frame_copy"}),
        ("with the signature `int frame_copy(void)`", {"frame_copy"}),
        ("`frame_copy` should copy a frame.", {"frame_copy"}),
        ("`frame_copy(to, from)`: copies a frame.", {"frame_copy"}),
        ("Please fix `frame_copy`, which loses a byte.", {"frame_copy"}),
        ("Schreibe die C-Funktion `frame_copy` ohne `malloc`.", {"frame_copy"}),
        ("Given the function `read_port`, write a loop over all ports.", set()),
        ("The helper `read_port` is already provided. Write a function that sums ports.", set()),
        ("`read_port` is available. Write `sum_ports`.", {"sum_ports"}),
        ("Write `sum_ports`, which calls `read_port` for each port.", {"sum_ports"}),
        ("Write a C function that locks `bus_lock` before writing.", set()),
        ("Use `gate->state` and `x == limit`.", set()),
        ("The `len` argument is in bytes.", set()),
        ("Write a C function `sum`.", {"sum"}),
        ("I need `crc_of` for AVTP.", {"crc_of"}),
        ("Write a callback `on_frame` for `pcap_loop`.", {"on_frame"}),
        ("Write code (no `malloc`) for a ring buffer.", set()),
        ("Write the C functions `ring_put` and `ring_get`.", {"ring_put", "ring_get"}),
        ("Write: - `ring_put`\n- `ring_get`", {"ring_put", "ring_get"}),
        ("Write a function that takes `frame_t *f` and returns `uint32_t`.", set()),
        ("Write a wrapper around `sendto`.", set()),
        ("Without `errno`, please.", set()),
        ("It shall be thread-safe like `strtok_r`.", set()),
        ("Store the result in `last_time`.", set()),
        ("Create the function `bool due(uint64_t now)`.", {"due"}),
        (
            "The function must be named exactly `gate_due` and must not use `float`, `double` or `long_time`.",
            {"gate_due"},
        ),
        ("Write a C function equivalent to `foo_old`.", set()),
        ("Use neither `foo_a` nor `foo_b`.", set()),
        ("Make `gate_due` faster.", {"gate_due"}),
        ("Translate `gate_due` to C.", set()),
        ("TSN: write the C function `uint8_t gate_now(void)`. See `gate_then`.", {"gate_now"}),
        ("Write a C function for 802.1Qbv. Prefer `memmove_s` over `memcpy_s`.", set()),
        ("We have `struct ring` with `head` and `tail`. Write `ring_full`.", {"ring_full"}),
        ("Write `ring_full`. `head` and `tail` are indices.", {"ring_full"}),
        ("Your function is called from `isr_main` and must be named `isr_step`.", {"isr_step"}),
        ("Don't write `foo_bar`; write `foo_baz`.", {"foo_baz"}),
        ("Could you write me a `gate_due()` function?", {"gate_due"}),
        ("a `gate_due` function is needed", {"gate_due"}),
        ("Write it without calling `gate_due`", set()),
        ("Return `GATE_ERR` on error; log through `gate_log`.", set()),
    ],
)
def test_what_is_asked_for_is_told_apart_from_what_is_mentioned(prompt: str, names: set[str]) -> None:
    assert named(prompt) == names


MENTIONS = [
    *("Do not use `{}`.", "Never call `{}`.", "Without `{}`, please.", "`{}` is not allowed.", "Avoid `{}`."),
    *(
        "It is called from `{}`.",
        "It takes the parameter `{}`.",
        "Use `{}` for that.",
        "It fills `struct {}`.",
    ),
    *(
        "Include `{}.h` only.",
        "Write it instead of `{}`.",
        "It must compile with `-W{}`.",
        "The `{}` field is in ns.",
    ),
]


@pytest.mark.parametrize("mention", MENTIONS)
@pytest.mark.parametrize("name", ["malloc", "ring_lock"])
def test_a_name_that_is_only_mentioned_decides_nothing(mention: str, name: str) -> None:
    more = mention.format(name)
    assert score(GATE, f"Write a C function for TSN. {more}").syntax == 10
    assert score(GATE, f"Write the C function `gate_time` for TSN. {more}").syntax == 10
    assert score(GATE, f"Write the C function `gate_offset` for TSN. {more}").syntax == 0


def test_the_generated_prompts_ask_for_the_function_that_they_name() -> None:
    for split in ("train", "eval", "held_out"):
        for prompt in generate(split, 60, 5, ("TSN", "AVB", "CARLA")):
            assert named(prompt.text) == {prompt.text.split("`")[1]}


@given(st.text(alphabet="`abc_ (\n"))
def test_any_text_is_a_prompt(prompt: str) -> None:
    assert all(name.isidentifier() for name in named(prompt))


def test_an_answer_without_any_of_the_names_is_none() -> None:
    found = score(GATE, "Write the C function `gate_offset` for TSN.")
    assert found.syntax == 0
    assert found.protocol == 5.5  # its names are no keywords either
    assert found.needs_correction
    assert any("`gate_offset`" in r.note and r.rule == "SyntaxCheck.Score0" for r in found.reasons)


@pytest.mark.parametrize(
    "prompt",
    [
        "Write the C function `gate_time` for TSN.",
        "Write a C function for TSN.",
        "Write a C function for TSN that multiplies a `uint32_t`.",
        "Write `gate_offset`, or `gate_time`, for TSN.",
    ],
)
def test_one_of_the_names_is_enough_and_none_is_asked_for_where_none_is_given(prompt: str) -> None:
    assert score(GATE, prompt).syntax == 10


def test_a_name_in_a_comment_is_no_answer() -> None:
    assert score(f"/* gate_offset */\n{GATE}", "Write `gate_offset` in C for TSN.").syntax == 0


def test_code_that_uses_what_the_prompt_brings_along_is_an_answer() -> None:
    text = "#include <time.h>\nlong now(void)\n{\n    struct timespec t;\n    clock_gettime(0, &t);\n    return t.tv_sec;\n}\n"
    assert score(text, "Write a C function that asks `clock_gettime()`.").syntax > 0


def test_a_training_answer_scores_low_on_every_other_prompt() -> None:
    learned = generate("train", 54, 3)
    for asked in generate("held_out", 12, 3):
        others = [p for p in learned if p.kind != asked.kind][:6]
        for other in others:
            assert score(write_function(other.text), asked.text).overall < 7.0, (asked.text, other.text)
        assert score(write_function(asked.text), asked.text).overall > 8.0
