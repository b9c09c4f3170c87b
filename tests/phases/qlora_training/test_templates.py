"""Rows in the forms of the two models the configurations name: what is learned begins exactly at the answer, after exactly
what the student is asked with, and ends with the end of text.

The templates are of the models' shape, not their text. Granite 4.1 ends every turn by an end of text and a line break, and
writes a system turn only where there is one; Granite 4.0 had a system prompt of its own. The Granite code models set
"Question:" and "Answer:" before turns and a blank line after them, and no end of text anywhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phases.qlora_training import data
from phases.student import model, turns
from tests.phases.qlora_training.micro import C_TEXTS, RECIPE, ROWS, settings

END = "<|end_of_text|>"
TURN = "{{- '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\\n' -}}"
GRANITE = (
    "{%- for m in messages -%}" + TURN + "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|start_of_role|>assistant<|end_of_role|>' -}}{%- endif -%}"
)
WITH_DEFAULT = (
    "{%- if messages[0].role != 'system' -%}"
    "{{- '<|start_of_role|>system<|end_of_role|>Be good.<|end_of_text|>\\n' -}}{%- endif -%}" + GRANITE
)
CODE = (
    "{%- for m in messages -%}"
    "{{- {'system': 'System', 'user': 'Question', 'assistant': 'Answer'}[m.role] + ':\\n' + m.content + '\\n\\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- 'Answer:\\n' -}}{%- endif -%}"
)
TEMPLATES = {"granite": GRANITE, "default-system-prompt": WITH_DEFAULT, "code": CODE}
ASK = {"role": "user", "content": "Write add."}
ANSWERS = [
    "int add;",
    "\nint add;",
    "\n\n    int add;\n",
    "    int add;",
    "/* 2023 */\n\n",
    "",
    " ",
    f"a{END}b",
]

Tokenizer = Callable[[str], Any]


@pytest.fixture(scope="module")
def tokenizer(micro: Path) -> Tokenizer:
    """A tokenizer by the name of its template. It has tokens for several line breaks, as every code tokenizer has."""
    from phases.student.tiny import train_tokenizer

    made = train_tokenizer(RECIPE, [*C_TEXTS, *["Answer:\n\n\n"] * 500])

    def named(name: str) -> Any:
        made.chat_template = TEMPLATES[name]
        return made

    return named


def row(answer: str, *before: dict[str, str]) -> dict[str, Any]:
    return {"messages": [*before, ASK, {"role": "assistant", "content": answer}]}


def parts(tokenizer: Any, row: dict[str, Any]) -> tuple[list[int], list[int]]:
    """(what no loss is taken on, what is learned)."""
    found = data.tokenize([row], tokenizer, 10_000, "rows").examples[0]
    start = found.completion_mask.index(1)
    assert set(found.completion_mask[start:]) == {1}
    return list(found.input_ids[:start]), list(found.input_ids[start:])


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_learned_begins_at_the_answer_and_ends_with_the_end_of_text(
    tokenizer: Tokenizer, name: str, answer: str
) -> None:
    by = tokenizer(name)
    asked, learned = parts(by, row(answer))
    assert asked == turns.prompt_ids(by, [ASK])
    assert learned[-1] == by.eos_token_id
    assert by.decode(learned[:-1]) == answer + ("\n\n" if name == "code" else "")


def test_a_token_over_the_border_is_what_the_student_is_never_asked_with(tokenizer: Tokenizer) -> None:
    """The whole row's tokens do not begin with those of its prompt: their common beginning would mask one too few."""
    by = tokenizer("code")
    whole = by.apply_chat_template(row("\n\n    int add;")["messages"], tokenize=True, return_dict=True)[
        "input_ids"
    ]
    asked = turns.prompt_ids(by, [ASK])
    assert whole[: len(asked)] != asked


@given(
    answer=st.text(st.characters(exclude_categories=["Cs"]), max_size=40), name=st.sampled_from([*TEMPLATES])
)
def test_any_answer_follows_what_the_student_is_asked_with(
    tokenizer: Tokenizer, answer: str, name: str
) -> None:
    by = tokenizer(name)
    asked, learned = parts(by, row(answer))
    assert asked == turns.prompt_ids(by, [ASK])
    assert learned[-1] == by.eos_token_id


def test_a_system_turn_is_neither_made_up_nor_lost(tokenizer: Tokenizer) -> None:
    system = {"role": "system", "content": "You write C."}
    for name, made_up in (("granite", False), ("default-system-prompt", True), ("code", False)):
        by = tokenizer(name)
        without, given_one = (by.decode(parts(by, r)[0]) for r in (row("x"), row("x", system)))
        assert ("system" in without.lower()) is made_up
        assert "You write C." in given_one
        assert "Be good." not in given_one


def test_a_prompt_cut_off_keeps_what_the_template_writes_after_it(tokenizer: Tokenizer) -> None:
    from phases.student.generate import encode

    for name, tail in (
        ("granite", f"{END}\n<|start_of_role|>assistant<|end_of_role|>"),
        ("code", "\n\nAnswer:\n"),
    ):
        (cut,) = encode(tokenizer(name), ["value\n" * 100], 30)
        assert (cut.cut, len(cut.ids)) == (True, 30)
        assert tokenizer(name).decode(cut.ids).endswith(tail)


def test_loss_is_taken_on_the_answer_and_its_end_though_padding_is_the_same_token(
    micro: Path, tmp_path: Path
) -> None:
    """The batch as the trainer that is really used gives it to the model: fails if the mask were dropped."""
    from phases.qlora_training import trainer

    config = settings(micro)
    student = model.apply_lora(model.load(config), config, 7)
    by = model.load_tokenizer(config)
    model.set_pad(by, student)
    rows = [ROWS[0], row("x")]  # of two lengths, so that one is padded
    found = data.tokenize(rows, by, 256, "rows")
    sets = data.dataset(found)
    batch = next(
        iter(trainer.create(config, student, by, sets, sets, tmp_path, 1, 2, 1).get_eval_dataloader())
    )
    learned = []
    for ids, labels, attended in zip(
        batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
    ):
        assert (ids[labels != -100] == labels[labels != -100]).all()
        assert not attended[ids.tolist().index(by.eos_token_id, int(attended.sum()) - 1) + 1 :].any()
        learned.append(labels[labels != -100].tolist())
    assert by.pad_token_id == by.eos_token_id
    assert (batch["attention_mask"] == 0).any()
    expected = [[i for i, m in zip(e.input_ids, e.completion_mask, strict=True) if m] for e in found.examples]
    assert sorted(learned) == sorted(expected)
    assert all(one[-1] == by.eos_token_id for one in learned)


@pytest.mark.parametrize("kind", ["granite", "llama"])
def test_numbers_are_split_as_the_tokenizers_file_says(micro: Path, tmp_path: Path, kind: str) -> None:
    """transformers 5 splits by GPT-2's rule where the tokenizer calls itself so (huggingface/transformers#45812)."""
    from tokenizers import Tokenizer as Written

    there = shutil.copytree(micro, tmp_path / "model")
    for name, changes in (
        ("tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"}),
        ("config.json", {"model_type": kind, "architectures": [f"{kind.title()}ForCausalLM"]}),
    ):
        said = json.loads((there / name).read_text())
        (there / name).write_text(json.dumps(said | changes))
    # digits 2 and 0 with a token of their own for both: only a rule that splits digits keeps them apart
    said = json.loads((there / "tokenizer.json").read_text())
    said["model"]["vocab"]["20"] = len(said["model"]["vocab"])
    said["model"]["merges"].append(["2", "0"])
    (there / "tokenizer.json").write_text(json.dumps(said))
    written = Written.from_file(str(there / "tokenizer.json"))
    loaded = model.load_tokenizer(settings(there))
    assert loaded("value 2023", add_special_tokens=False)["input_ids"] == written.encode("value 2023").ids
    assert loaded.chat_template
    assert loaded.eos_token == END
    saved = tmp_path / "saved"
    loaded.save_pretrained(saved)
    again = model.load_tokenizer(settings(saved))
    assert again("value 2023", add_special_tokens=False)["input_ids"] == written.encode("value 2023").ids
