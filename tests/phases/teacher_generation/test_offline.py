"""The offline teacher and the prompts that it is made for."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.teacher_generation.offline.prompts import Split, generate
from phases.teacher_generation.offline.shapes import SHAPES, words
from phases.teacher_generation.offline.teacher import OfflineTeacher, choose_shape, write_function
from phases.teacher_generation.teacher import parse_response
from tests.needs import needing

KEYWORDS = {
    "TSN": {"pcp", "vlan", "timestamp", "gate", "priority", "qbv", "qav", "shaper", "gcl", "schedule"},
    "AVB": {"stream", "sample", "channel", "bandwidth", "srp", "talker", "listener", "reservation"},
}
SPLITS: tuple[Split, ...] = ("train", "eval", "held_out")
ALL = [(domain, shape) for domain in SHAPES for shape in SHAPES[domain]]


def test_there_are_several_dozen_shapes_and_no_two_of_a_kind() -> None:
    assert len(ALL) >= 60
    assert len({shape.kind for _, shape in ALL}) == len({shape.does for _, shape in ALL}) == len(ALL)


@needing("gcc")
def test_every_shape_compiles_without_a_warning(tmp_path: Path) -> None:
    headers = "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n"
    texts = [
        shape.write(f"f_{shape.kind}_{number}", number, unit)
        for _, shape in ALL
        for number in (None, 0, 10**9)
        for unit in ("nanoseconds", "milliseconds")[: 1 if number is None else 2]
    ]
    unique = {re.search(r"f_\w+(?=\()", text).group(): text for text in texts}.values()  # type: ignore[union-attr]
    (tmp_path / "all.c").write_text(headers + "\n".join(unique))
    flags = [
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wshadow",
        "-Wconversion",
        "-O1",
        "-c",
        "-o",
        "all.o",
    ]
    done = subprocess.run(["gcc", *flags, "all.c"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(("domain", "shape"), [pytest.param(d, s, id=s.kind) for d, s in ALL])
def test_a_shape_speaks_its_domains_language_in_comments_and_identifiers(domain: str, shape: object) -> None:
    code = shape.write("a_name")  # type: ignore[attr-defined]
    assert code.count("/*") >= 2 or "CARLA" in domain or code.count("/*") >= 1
    assert 5 <= len(code.splitlines()) <= 20
    bare = re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL)
    spoken = {part for name in re.findall(r"[a-z_]+", bare) for part in name.split("_")}
    assert domain == "CARLA" or len(KEYWORDS[domain] & spoken) >= 3


@pytest.mark.parametrize("split", SPLITS)
def test_a_generated_prompt_is_answered_by_the_shape_it_is_about(split: Split) -> None:
    for prompt in generate(split, 250, 1, ("TSN", "AVB", "CARLA")):
        domain, shape = choose_shape(prompt.text)
        assert (domain, shape.kind) == (prompt.domain, prompt.kind), prompt.text


def test_name_number_and_unit_are_the_prompts() -> None:
    code = write_function(
        "TSN: `bool my_check(void)` that no gate interval of a gcl is shorter than 750 microseconds."
    )
    assert "bool my_check(" in code
    assert "schedule_min_us = 750U" in code


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Write `gate_now`.", "gate_now"),
        ("Write `static uint8_t gate_now(uint8_t x)` for TSN", "gate_now"),
        ("a function called gate_now for TSN", "gate_now"),
        ("Complete: int gate_now(int x) {", "gate_now"),
        ("Use `while` in TSN", "tsn_"),
        ("Something about AVB", "avb_"),
    ],
)
def test_the_function_bears_the_name_that_is_asked_for(prompt: str, name: str) -> None:
    assert re.search(rf"\b{name}\w*\(", write_function(prompt))


def test_the_names_of_standards_are_no_numbers() -> None:
    assert "shaper_high = 4000" in write_function(
        "802.1Qav, 32-bit: raise the credit of a waiting shaper to 4000"
    )


@given(st.text())
def test_any_prompt_gets_a_function_and_the_same_one_again(prompt: str) -> None:
    response = OfflineTeacher().invoke(prompt)
    assert parse_response(response).text == write_function(prompt)
    assert re.search(r"\w+\([^)]*\)\n\{\n", write_function(prompt))


def test_the_offline_teacher_says_what_it_is() -> None:
    assert "no model" in OfflineTeacher().note
    assert OfflineTeacher().name == "offline-templates"


def test_prompts_are_the_seeds_and_a_smaller_set_begins_a_larger_one() -> None:
    assert generate("train", 50, 3) == generate("train", 80, 3)[:50]
    assert generate("train", 50, 3) != generate("train", 50, 4)


def test_domains_take_turns_and_kinds_come_evenly() -> None:
    made = generate("eval", 40, 3)
    assert [prompt.domain for prompt in made[:4]] == ["TSN", "AVB", "TSN", "AVB"]
    assert len({prompt.kind for prompt in made}) == 40


def test_a_skewed_pool_has_the_same_few_kinds_most_often_in_every_split() -> None:
    counts = {s: Counter(p.kind for p in generate(s, 240, 7, ("TSN",), skew=1.0)) for s in ("train", "eval")}
    often = {s: {kind for kind, _ in c.most_common(3)} for s, c in counts.items()}
    assert often["train"] & often["eval"]
    assert counts["train"].most_common(1)[0][1] > 40  # of 28 kinds; in an even pool each comes 8 or 9 times
    assert counts["train"].total() == len({p.text for p in generate("train", 240, 7, ("TSN",), skew=1.0)})
    assert generate("train", 50, 7, skew=1.0) == generate("train", 240, 7, skew=1.0)[:50]


def test_splits_share_no_prompt_no_word_order_and_no_number() -> None:
    made = {split: generate(split, 200, 5) for split in SPLITS}
    orders = {split: {_order(p.text, p.kind) for p in made[split]} for split in SPLITS}
    numbers = {
        split: {
            (p.kind, number) for p in made[split] for number in re.findall(r"(?<![\w.])\d+", _bare(p.text))
        }
        for split in SPLITS
    }
    assert {split: len(orders[split]) for split in SPLITS} == {"train": 8, "eval": 4, "held_out": 4}
    for one, other in (("train", "eval"), ("train", "held_out"), ("eval", "held_out")):
        assert not {p.text for p in made[one]} & {p.text for p in made[other]}  # type: ignore[index]
        assert not orders[one] & orders[other]  # type: ignore[index]
        assert not numbers[one] & numbers[other]  # type: ignore[index]


def test_more_prompts_than_there_are_is_said_so() -> None:
    with pytest.raises(ValueError, match="held_out split gives about"):
        generate("held_out", 10**6, 1, ("CARLA",))
    with pytest.raises(ValueError, match="there are"):
        generate("train", 1, 1, ("CAN",))


@given(st.text())
def test_words_are_lower_case_and_singular(text: str) -> None:
    assert all(word == word.lower() and word.isalpha() for word in words(text))


def _bare(text: str) -> str:
    return re.sub(r"`[^`]*`|24-bit|16-bit|mm/s2", "", text)


def _order(text: str, kind: str) -> str:
    """The words around what is asked for: the shape of the sentence."""
    shape = next(shape for _, shape in ALL if shape.kind == kind)
    does = re.escape(shape.does).replace(r"\{n\}", r"\d+").replace(r"\{unit\}", r"\w+")
    return re.sub(r"\b(TSN|AVB)\b", "D", re.sub(r"`\w+`", "N", re.sub(does, "X", text)))
