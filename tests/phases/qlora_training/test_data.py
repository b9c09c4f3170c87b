"""Rows to tokens: what is refused, what is dropped, what loss is taken on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phases.errors import EmptyDataset, InvalidStructure
from phases.qlora_training import data
from tests.phases.qlora_training.micro import ROWS

ASK = {"role": "user", "content": "Write add."}
ANSWER = {"role": "assistant", "content": "int add;"}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"prompt": "x"}, "has no `messages`"),
        ({"messages": "x"}, "not a list of at least two turns"),
        ({"messages": [ASK]}, "not a list of at least two turns"),
        ({"messages": [ASK, {"role": "assistant"}]}, "without text in `content`"),
        ({"messages": [ASK, {"role": "robot", "content": "x"}]}, "the role 'robot'"),
        ({"messages": [ANSWER, ASK]}, "ends with the turn of 'user'"),
        (["messages"], "is not an object"),
    ],
)
def test_a_row_that_does_not_fit_is_named(row: Any, fault: str) -> None:
    with pytest.raises(InvalidStructure, match="row 2 ") as raised:
        data.validate([{"messages": [ASK, ANSWER]}, row], "train.jsonl")
    assert fault in str(raised.value)
    assert raised.value.item == "train.jsonl:2"


def test_an_empty_set_is_an_empty_dataset() -> None:
    with pytest.raises(EmptyDataset, match="holds no rows"):
        data.validate([], "train.jsonl")


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"messages": []}\n\n{"messages"\n')
    with pytest.raises(InvalidStructure, match=r"train\.jsonl, line 3"):
        data.read_valid(path, path.name)


def test_what_a_student_said_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [{"text": "int a;\0 // \u2028 \x85"}, {"text": ""}]
    path = tmp_path / "outputs.jsonl"
    path.write_text(data.lines(rows), "utf-8")
    assert data.read_jsonl(path) == rows


def test_loss_is_taken_on_the_completion_and_its_end_only(micro: Path) -> None:
    tokenizer = _tokenizer(micro)
    found = data.tokenize(ROWS[:1], tokenizer, 256, "rows").examples[0]
    learned = [i for i, m in zip(found.input_ids, found.completion_mask, strict=True) if m]
    assert tokenizer.decode(learned) == ROWS[0]["messages"][1]["content"] + "<|end_of_text|>"
    assert sorted(found.completion_mask) == list(found.completion_mask)


def test_the_mask_is_the_one_that_trl_makes_of_prompt_and_completion(micro: Path) -> None:
    """TRL's own way is prompt/completion rows; it cuts rows that are too long, so we go there in tokens."""
    import torch
    from datasets import Dataset
    from transformers import GraniteConfig, GraniteForCausalLM
    from trl import SFTConfig, SFTTrainer

    tokenizer = _tokenizer(micro)
    tokenizer.pad_token = tokenizer.eos_token
    torch.manual_seed(0)
    shape = GraniteConfig(vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                          num_attention_heads=1, num_key_value_heads=1, eos_token_id=0, bos_token_id=0)  # fmt: skip
    arguments = SFTConfig(output_dir="unused", use_cpu=True, bf16=False, report_to="none", max_length=None,
                          completion_only_loss=True)  # fmt: skip
    rows = ROWS[:4]
    ours = data.dataset(data.tokenize(rows, tokenizer, 256, "rows"))
    theirs = Dataset.from_list([data.prompt_and_completion(r) for r in rows])
    batches = []
    for given in (ours, theirs):
        made = SFTTrainer(
            GraniteForCausalLM(shape), arguments, train_dataset=given, processing_class=tokenizer
        )
        # what the model is given: one version of TRL keeps labels in its rows, another the completion's mask
        batches.append(made.data_collator(list(made.train_dataset)))
    for name in ("input_ids", "labels"):
        assert batches[0][name].tolist() == batches[1][name].tolist()
    assert (batches[0]["labels"] == -100).any()


def test_rows_too_long_are_dropped_whole_counted_and_said(micro: Path) -> None:
    tokenizer = _tokenizer(micro)
    long = {"messages": [ASK, {"role": "assistant", "content": "add " * 500}]}
    found = data.tokenize([ROWS[0], long, ROWS[1]], tokenizer, 128, "train.jsonl")
    assert found.dropped == (1,)
    assert len(found.examples) == 2
    assert "1 of 3 rows are longer than max_length 128" in found.said("train.jsonl")
    with pytest.raises(EmptyDataset, match="none is left"):
        data.tokenize([long], tokenizer, 128, "train.jsonl")


def test_a_tokenizer_without_a_template_is_refused(micro: Path) -> None:
    tokenizer = _tokenizer(micro)
    tokenizer.chat_template = None
    with pytest.raises(InvalidStructure, match="no chat template"):
        data.tokenize(ROWS, tokenizer, 128, "train.jsonl")


def test_rows_held_out_are_the_seeds_to_choose() -> None:
    rest, held_out = data.hold_out(ROWS, 10, 1)
    assert (len(rest), len(held_out)) == (22, 2)
    assert data.hold_out(ROWS, 10, 1) == (rest, held_out)
    assert [r for r in ROWS if r in rest or r in held_out] == ROWS
    assert data.hold_out(ROWS[:2], 10, 1)[1]


def _tokenizer(micro: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(micro)
