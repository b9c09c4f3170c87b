"""From a model's id or directory to a student that QLoRA can train, in the five steps Diagram 5 draws.

The steps are functions of their own, in the drawing's order: `quantization` (CreateQuantConfig), `load`
(LoadGranite8B), `prepare` (PrepareForKBit), `apply_lora` (ApplyLoRAAdapters), `load_tokenizer` with `set_pad`
(LoadTokenizer, SetPadToken).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phases.errors import InvalidStructure
from phases.student import hub, refusals
from phases.student.config import GRANITE_8B, QLoRAConfig
from phases.student.turns import require_template

INCOMPLETE = ".incomplete"


def device() -> str:
    """Where the model is to live: the GPU of this process, or the CPU."""
    import torch

    return f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"


def compute_dtype(config: QLoRAConfig) -> Any:
    """The dtype of activations: as configured, else bfloat16 on a GPU that has it and float32 anywhere else."""
    import torch

    if config.compute_dtype != "auto":
        return getattr(torch, config.compute_dtype)
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def quantization(config: QLoRAConfig) -> Any | None:
    """nf4 with double quantisation (arXiv:2305.14314), or None when the configuration says `none`."""
    if config.quantization == "none":
        return None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=config.double_quantization,
        bnb_4bit_compute_dtype=compute_dtype(config),
    )


def shape(config: QLoRAConfig) -> Any:
    """The model's own configuration, read before its weights are.

    Raises what refusals.explained raises, and InvalidStructure for a model that is not a causal language model.
    """
    hub.quiet(config.offline)
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    check_directory(config.model, config.revision)
    with refusals.explained(config):
        found = AutoConfig.from_pretrained(
            config.model, revision=config.revision, local_files_only=config.offline
        )
    if not _causal(found, MODEL_FOR_CAUSAL_LM_MAPPING):
        raise InvalidStructure(
            f"{config.model} is a {found.model_type} model, which is not a causal language model, so it cannot "
            f"be trained to answer prompts. Name a causal model such as {GRANITE_8B}."
        )
    return found


def context(shape: Any) -> int | None:
    """How many tokens the model can look back over; None where its configuration does not say."""
    return getattr(shape, "max_position_embeddings", None)


def _causal(shape: Any, known: Any) -> bool:
    """Whether a model is there that writes on from a text: BERT has one too, but was not trained as that."""
    if type(shape) not in known:
        return False
    classes = known[type(shape)]
    names = {c.__name__ for c in (classes if isinstance(classes, tuple) else (classes,))}
    return not shape.architectures or bool(names & set(shape.architectures))


def load(config: QLoRAConfig) -> Any:
    """The base model, quantised as configured, on the device.

    Raises what `shape` raises, and InvalidStructure for weights that do not fill the model: transformers makes up for
    them by random ones, with a line in its log.
    """
    shape(config)
    from transformers import AutoModelForCausalLM

    with refusals.explained(config):
        model, loaded = AutoModelForCausalLM.from_pretrained(
            config.model,
            revision=config.revision,
            local_files_only=config.offline,
            quantization_config=quantization(config),
            dtype=compute_dtype(config),
            device_map={"": device()},
            attn_implementation=config.attention,
            output_loading_info=True,
        )
    if missing := sorted(loaded["missing_keys"]):
        raise InvalidStructure(
            f"The weights of {config.model} lack {len(missing)} of the model's tensors, such as {missing[0]}. Download it "
            "again, or name the revision whose weights are whole."
        )
    cure_bf16_repacking(model)
    model.config.use_cache = True
    return model


def cure_bf16_repacking(model: Any) -> int:
    """Keep bitsandbytes from repacking 4-bit weights on CPUs with AVX512-BF16; returns how many layers were told.

    bitsandbytes 0.50 repacks a layer's weights at its first forward in eval mode without gradients, so at every
    `generate`; training the same object afterwards reads the new packing by the old rules, and the gradients are off
    by 95% with no more than a warning (bitsandbytes/nn/modules.py, Linear4bit.forward).
    """
    told = 0
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
            told += 1
    return told


def prepare(model: Any, config: QLoRAConfig) -> Any:
    """PEFT's preparation for k-bit training: base frozen, norms and embeddings in fp32, checkpointing as configured."""
    from peft import prepare_model_for_kbit_training

    # non-reentrant: the reentrant kind needs inputs that require gradients, and is being retired upstream
    kwargs = {"use_reentrant": False} if config.gradient_checkpointing else None
    return prepare_model_for_kbit_training(
        model, use_gradient_checkpointing=config.gradient_checkpointing, gradient_checkpointing_kwargs=kwargs
    )


def lora(config: QLoRAConfig) -> Any:
    """The LoRA configuration: rank 32 and alpha 64 as drawn, on every linear layer but the head."""
    from peft import LoraConfig

    target = (
        config.target_modules if isinstance(config.target_modules, str) else sorted(config.target_modules)
    )
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=target,
        bias="none",
    )


def apply_lora(model: Any, config: QLoRAConfig, seed: int) -> Any:
    """The model with a fresh adapter, its random halves drawn from `seed` (at most 32 bits are used)."""
    import torch
    from peft import get_peft_model

    torch.manual_seed(seed % 2**32)
    return get_peft_model(model, lora(config))


def load_tokenizer(config: QLoRAConfig) -> Any:
    """The model's own tokenizer. Raises InvalidStructure when it has no chat template.

    transformers 5 rebuilds a tokenizer that calls itself GPT2Tokenizer, as those of all Granite models do, and splits
    text by GPT-2's rule instead of the one in tokenizer.json: numbers come out in other tokens than the model was
    trained with (huggingface/transformers#45812; its cure, #45813, is for the Granite types and came after the
    container's 5.3; the Granite code models are of type llama). So the splitting is compared with the file, and where it is another, the tokenizer is read from the file.
    """
    hub.quiet(config.offline)
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    where = {"revision": config.revision, "local_files_only": config.offline}
    with refusals.explained(config):
        tokenizer = AutoTokenizer.from_pretrained(config.model, **where)
        written = PreTrainedTokenizerFast.from_pretrained(config.model, **where)
        if _splitting(written) != _splitting(tokenizer):
            tokenizer = written
    require_template(tokenizer)
    return tokenizer


def _splitting(tokenizer: Any) -> Any:
    """How a text is changed and split before its parts become tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    said = json.loads(backend.to_str()) if backend else {}
    return said.get("normalizer"), said.get("pre_tokenizer")


def fit_vocabulary(tokenizer: Any, rows: int) -> None:
    """Raises InvalidStructure where the tokenizer has no end of text, which is the padding too, or tokens past the `rows` of
    the model's embedding: on a GPU such a token ends the process without a word of it.
    """
    where = tokenizer.name_or_path
    if tokenizer.eos_token_id is None:
        raise InvalidStructure(
            f"The tokenizer of {where} has no end of text, so no answer could end and nothing stand for padding. Set "
            "eos_token in its tokenizer_config.json to the token that ends a turn."
        )
    last = max(tokenizer.get_vocab().values())
    if last >= rows:
        raise InvalidStructure(
            f"The tokenizer of {where} has tokens up to number {last}, and the model's embedding has {rows} rows: the "
            "vocabulary of one was changed without the other's. Take the tokenizer that belongs to the weights, or resize the "
            "embedding (`resize_token_embeddings`) and save the model with it."
        )


def set_pad(tokenizer: Any, model: Any) -> None:
    """pad = eos, as drawn. Masks decide what is padding, so the eos at the end of a completion still is learned."""
    fit_vocabulary(tokenizer, model.get_input_embeddings().weight.shape[0])
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id


def check_directory(model: str, revision: str | None = None) -> None:
    """Raises InvalidStructure when `model` is a directory that lacks a file, or has one half downloaded; or one of which a
    `revision` is wanted, which a directory has none of.

    An id on the hub passes: what it lacks shows when it is loaded.
    """
    path = Path(model)
    if not path.is_dir():
        if path.is_absolute() or model.startswith((".", "~")):
            raise InvalidStructure(
                f"There is no model at {model}. Correct `model` in the configuration, or put the model there."
            )
        return
    if revision is not None:
        raise InvalidStructure(
            f"The configuration names revision {revision} of the model, and {model} is a directory, which has no revisions. Take "
            "`revision` out, or name the model by its id on the hub."
        )
    if not (path / "config.json").is_file():
        raise InvalidStructure(
            f"{model} has no config.json, so it is not a model's directory. Correct `model`."
        )
    shards = _shards(path)
    halves = sorted(p.name for p in path.rglob(f"*{INCOMPLETE}"))
    missing = sorted(n for n in shards if not (path / n).is_file())
    short = sorted(n for n in shards if (path / n).is_file() and not _whole(path / n))
    if halves or missing or short or not shards:
        what = [*halves, *missing, *short] or ["*.safetensors"]
        raise InvalidStructure(
            f"The model at {model} is not complete: {', '.join(what[:5])} missing or half downloaded. "
            "Download it again; what is there already is kept by `hf download`."
        )


def _shards(path: Path) -> list[str]:
    """The names of the files that hold the weights: those of an index, or those that are there."""
    for index in (path / "model.safetensors.index.json", path / "pytorch_model.bin.index.json"):
        if index.is_file():
            try:
                return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
            except (ValueError, KeyError, TypeError, AttributeError) as e:
                raise InvalidStructure(
                    f"{index} cannot be read ({e}), so it is not known which files hold the weights. Download the model "
                    "again; what is there already is kept by `hf download`."
                ) from e
    return sorted(p.name for pattern in ("*.safetensors", "pytorch_model*.bin") for p in path.glob(pattern))


def _whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its header says (8 bytes of length, the header, the data)."""
    if path.suffix != ".safetensors":
        return True
    size = path.stat().st_size
    with path.open("rb") as f:
        head = f.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > size - 8:
            return False
        try:
            header = json.loads(f.read(length))
        except ValueError:
            return False
    end = max((t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"), default=0)
    return size == 8 + length + int(end)
