"""What cannot be trained is told before it is tried, and enters its state of Diagram 8."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phases.error_recovery.classify import classify
from phases.errors import PipelineError
from phases.qlora_training.config import QLoRATrainingConfig
from phases.qlora_training.job import with_hyperparameters
from phases.student import model, preflight, processor
from tests.phases.qlora_training.micro import settings


def said(state: str, do: Callable[[], Any]) -> str:
    """The message of the error that `do` raises, which enters `state`."""
    with pytest.raises(PipelineError) as raised:
        do()
    assert classify(raised.value) == state
    return str(raised.value)


@pytest.fixture
def copied(micro: Path, tmp_path: Path) -> Path:
    return shutil.copytree(micro, tmp_path / "model")


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    config = settings(tmp_path / "nowhere")
    assert "There is no model at" in said("InvalidStructure", lambda: model.load(config))


def test_a_model_without_weights(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    assert "is not complete" in said("InvalidStructure", lambda: model.load(settings(copied)))


def test_weights_half_downloaded(copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors missing or half downloaded" in said(
        "InvalidStructure", lambda: model.load(settings(copied))
    )


def test_a_shard_that_the_index_names_is_missing(copied: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (copied / "model.safetensors").rename(copied / "model-00001-of-00002.safetensors")
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002.safetensors missing" in said(
        "InvalidStructure", lambda: model.load(settings(copied))
    )


def test_a_download_in_progress(copied: Path) -> None:
    (copied / "model.safetensors.incomplete").write_bytes(b"")
    assert "model.safetensors.incomplete" in said("InvalidStructure", lambda: model.load(settings(copied)))


def test_a_model_that_is_not_causal(copied: Path) -> None:
    (copied / "config.json").write_text(json.dumps({"model_type": "vit"}))
    assert "not a causal language model" in said("InvalidStructure", lambda: model.load(settings(copied)))


def test_a_model_that_could_write_on_but_was_not_trained_to(copied: Path) -> None:
    """transformers has a causal class for BERT too, and would load it."""
    bert = {"model_type": "bert", "architectures": ["BertForMaskedLM"]}
    (copied / "config.json").write_text(json.dumps(bert))
    assert "is a bert model" in said("InvalidStructure", lambda: model.load(settings(copied)))


def test_weights_that_do_not_fill_the_model(copied: Path) -> None:
    """transformers draws what is missing at random, with a line in its log."""
    from safetensors.torch import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    gone = next(name for name in sorted(weights) if "q_proj" in name)
    del weights[gone]
    save_file(weights, copied / "model.safetensors", {"format": "pt"})
    message = said("InvalidStructure", lambda: model.load(settings(copied)))
    assert f"lack 1 of the model's tensors, such as {gone}" in message


def test_weights_of_another_shape_than_the_configuration(copied: Path) -> None:
    shape = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(shape | {"intermediate_size": 96}))
    assert "cannot be loaded" in said("InvalidStructure", lambda: model.load(settings(copied)))


@pytest.mark.parametrize(
    "index", ["{", "[]", '{"weight_map": 3}', "{}"], ids=["cut", "a-list", "no-map", "empty"]
)
def test_an_index_that_cannot_be_read(copied: Path, index: str) -> None:
    (copied / "model.safetensors.index.json").write_text(index)
    message = said("InvalidStructure", lambda: model.load(settings(copied)))
    assert "model.safetensors.index.json cannot be read" in message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_small_file_cut_off(copied: Path, name: str) -> None:
    path = copied / name
    path.write_bytes(path.read_bytes()[:-40])

    def both() -> None:
        model.load(settings(copied))
        model.load_tokenizer(settings(copied))

    assert "cannot be loaded" in said("InvalidStructure", both)


def test_out_of_memory_while_loading_is_not_taken_for_a_broken_model(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", refuse)
    with pytest.raises(torch.OutOfMemoryError) as raised:
        model.load(settings(copied))
    assert classify(raised.value) == "CUDAOutOfMemory"


def test_a_tokenizer_without_a_template(copied: Path) -> None:
    (copied / "chat_template.jinja").unlink()
    assert "no chat template" in said("InvalidStructure", lambda: model.load_tokenizer(settings(copied)))


def test_a_vocabulary_that_was_resized_on_one_side_alone(copied: Path) -> None:
    tokenizer = model.load_tokenizer(settings(copied))
    rows = len(tokenizer)
    model.fit_vocabulary(tokenizer, rows)  # as many, or more, as embeddings are padded to a round number
    tokenizer.add_tokens(["<|one_more|>"])
    message = said("InvalidStructure", lambda: model.fit_vocabulary(tokenizer, rows))
    assert f"tokens up to number {rows}, and the model's embedding has {rows} rows" in message


def test_a_tokenizer_without_an_end_has_no_padding(copied: Path) -> None:
    tokenizer = model.load_tokenizer(settings(copied))
    tokenizer.eos_token = None
    assert "has no end of text" in said("InvalidStructure", lambda: model.fit_vocabulary(tokenizer, 10**6))


def test_a_driver_too_old_for_this_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    preflight.driver()  # there is no GPU at all
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02\n")
    monkeypatch.setattr(preflight, "DRIVER", tmp_path / "version")
    message = said("ContainerError", preflight.driver)
    assert "470.57.02" in message
    assert "for CUDA 13.0 cannot use its GPU" in message
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    preflight.driver()  # the CPU is what is wanted


def test_gpus_of_different_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda n: ("H100", "A100", "H100")[n])
    preflight.alike()  # one process takes one of them
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert "different kinds (A100, H100)" in said("ContainerError", preflight.alike)


def test_a_checkpoint_of_another_version(tmp_path: Path) -> None:
    from phases.qlora_training import checkpoints, trainer

    (tmp_path / "follow.json").write_text('{"steps": [], "lost": []}')
    last = checkpoints.Checkpoint(tmp_path, 4, {"versions": {"torch": "2.5.1"}})
    message = said("InvalidStructure", lambda: trainer._followed(last))
    assert "written by another version of this program (KeyError: 'losses'; with torch 2.5.1)" in message


def test_a_gpu_too_small_says_by_how_much_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import GraniteConfig

    granite_8b = GraniteConfig(
        vocab_size=49152, hidden_size=4096, intermediate_size=12800, num_hidden_layers=40, num_attention_heads=32,
        num_key_value_heads=8, tie_word_embeddings=True,
    )  # fmt: skip
    config = settings(Path("x"), quantization="nf4", gradient_checkpointing=True, micro_batch=1)
    needed = preflight.need(granite_8b, config)
    assert 4.0 < needed.weights / preflight.GB < 6.0  # 8 billion weights of 4.13 bits, and the embeddings
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *a: "GPU of the test")
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda i: SimpleNamespace(total_memory=4 * preflight.GB)
    )
    message = said("CUDAOutOfMemory", lambda: preflight.gpu(granite_8b, config))
    assert f"{needed.total / preflight.GB - 4:.1f} GB are missing" in message
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda i: SimpleNamespace(total_memory=80 * preflight.GB)
    )
    preflight.gpu(granite_8b, config)


def test_a_disk_too_small(tmp_path: Path) -> None:
    assert "GB are missing" in said("DiskSpaceLow", lambda: preflight.disk(tmp_path, 1e9))
    assert preflight.disk(tmp_path, 0) > 0


def test_a_cpu_that_bitsandbytes_has_no_kernels_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "features", lambda: ("sse2",))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    config = settings(Path("x"), quantization="nf4")
    assert "AVX2" in said("ContainerError", lambda: preflight.cpu(config))
    preflight.cpu(settings(Path("x"), quantization="none"))


@pytest.mark.parametrize(
    ("option", "value"),
    [("attention", "flash_attention_2"), ("liger", True), ("fsdp", True), ("optimizer", "paged_adamw_8bit")],
)
def test_an_option_that_is_not_here_is_refused_with_the_reason(option: str, value: Any) -> None:
    config = settings(Path("x"), **{option: value})
    message = said("ContainerError", lambda: preflight.options(config))
    assert f"The configuration says {option}: " in message
    assert "GPU" in message


def test_a_sharded_base_is_refused_by_one_process_and_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(Path("x"), fsdp=True)
    assert "this is a single process" in said("ContainerError", lambda: preflight.options(config))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert "none of the 2 ranks is without a whole base" in said(
        "ContainerError", lambda: preflight.options(config)
    )


def test_gpus_that_nobody_has_launched_for_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert preflight.alone() == ""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    assert "4 GPUs are visible, and this process trains on one, H200." in preflight.alone()
    assert "torchrun --nproc-per-node 4" in preflight.alone()
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert preflight.alone() == ""


def test_intervals_that_the_drawing_cannot_walk() -> None:
    with pytest.raises(ValueError, match="eval_steps must be a multiple of log_steps"):
        QLoRATrainingConfig(log_steps=10, eval_steps=25)
    with pytest.raises(ValueError, match="save_steps must be a multiple of eval_steps"):
        QLoRATrainingConfig(eval_steps=50, save_steps=75)


def test_hyperparameters_of_the_job_change_the_configuration_or_are_refused() -> None:
    words = {
        "SM_HPS": json.dumps({"learning_rate": "0.001", "max_length": "128", "machine": "qlora_training"})
    }
    changed = with_hyperparameters(QLoRATrainingConfig(), words)
    assert (changed.learning_rate, changed.max_length) == (0.001, 128)
    wrong = {"SM_HPS": json.dumps({"lora_rank": "many"})}
    assert "lora_rank does not fit" in said(
        "InvalidStructure", lambda: with_hyperparameters(QLoRATrainingConfig(), wrong)
    )

    endless = {"SM_HPS": json.dumps({"learning_rate": "inf"})}
    assert "learning_rate does not fit" in said(
        "InvalidStructure", lambda: with_hyperparameters(QLoRATrainingConfig(), endless)
    )


def test_the_drawn_numbers_are_the_defaults() -> None:
    drawn = QLoRATrainingConfig()
    assert (drawn.quantization, drawn.double_quantization) == ("nf4", True)
    assert (drawn.lora_rank, drawn.lora_alpha, drawn.gradient_accumulation_steps) == (32, 64, 8)
    assert (drawn.log_steps, drawn.eval_steps, drawn.save_steps, drawn.patience) == (10, 50, 100, 3)
    assert drawn.min_free_gb == 15
