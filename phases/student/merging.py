"""An adapter merged into the base weights it was trained on, at 16 bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsm.errors import ConfigError
from phases.errors import CUDAOutOfMemory, DiskSpaceLow
from phases.student import adapters, model
from phases.student.config import QLoRAConfig
from phases.student.preflight import CONTEXT_BYTES, GB

SHARD = "5GB"
BYTES = 2  # of a weight at 16 bit


def merge(config: QLoRAConfig, adapter: bytes, out: Path) -> None:
    """Load the exact base, add the adapter, save at 16 bit. A base kept in fp32 is rounded once, after the sum.

    Raises CUDAOutOfMemory and DiskSpaceLow before anything is loaded, ConfigError where `out` cannot be written.
    """
    import torch

    exact = unquantised(config, "bfloat16")
    shape = model.shape(exact)
    if getattr(shape, "dtype", None) == torch.float32:
        exact = unquantised(config, "float32")
    _room(shape, 4 if exact.compute_dtype == "float32" else BYTES, out)
    loaded = model.load(exact)
    tokenizer = model.load_tokenizer(exact)
    peft = model.apply_lora(loaded, exact, 0)
    adapters.load(peft, adapter)
    merged = peft.merge_and_unload(safe_merge=True)  # refuses weights that are not finite
    with writing(out):
        merged.to(torch.bfloat16).save_pretrained(out, max_shard_size=SHARD)
        tokenizer.save_pretrained(out)


def merged(config: QLoRAConfig, adapter: bytes) -> tuple[Any, Any]:
    """(model, tokenizer), ready to answer: the base at 16 bit, at 32 on a CPU, with the adapter merged into it.

    Raises what loading a model raises, and InvalidStructure for an adapter of another base or rank.
    """
    import torch

    exact = unquantised(config, "bfloat16" if torch.cuda.is_available() else "float32")
    peft = model.apply_lora(model.load(exact), exact, 0)
    adapters.load(peft, adapter)
    whole = peft.merge_and_unload().eval()
    tokenizer = model.load_tokenizer(exact)
    model.set_pad(tokenizer, whole)
    return whole, tokenizer


def load(config: QLoRAConfig) -> tuple[Any, Any]:
    """(model, tokenizer), ready to answer."""
    loaded = model.load(config).eval()
    tokenizer = model.load_tokenizer(config)
    model.set_pad(tokenizer, loaded)
    return loaded, tokenizer


def unquantised(config: QLoRAConfig, dtype: str) -> QLoRAConfig:
    """The settings for the same model at full weights."""
    return config.model_copy(update={"quantization": "none", "compute_dtype": dtype})


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Raises ConfigError where what is written inside cannot be, naming the directory that was asked for."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as e:
        why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise ConfigError(
            f"-o {target}: the merged model cannot be written ({why}). Free some space, or choose another place for it."
        ) from e


def _room(shape: Any, loaded_bytes: int, out: Path) -> None:
    """Before anything is loaded: do the weights fit the GPU and the disk. Raises CUDAOutOfMemory and DiskSpaceLow."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        weights = sum(p.numel() for p in AutoModelForCausalLM.from_config(shape).parameters())
    free = shutil.disk_usage(out).free
    if free < weights * BYTES:
        raise DiskSpaceLow(
            f"The merged model takes {weights * BYTES / GB:.1f} GB, and {out.absolute().parent} has {free / GB:.1f} GB "
            "free. Free some space, or choose another place with -o."
        )
    if torch.cuda.is_available():
        has = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        wants = weights * loaded_bytes + CONTEXT_BYTES
        if wants > has:
            raise CUDAOutOfMemory(
                f"The exact base takes about {wants / GB:.1f} GB of GPU memory, and {torch.cuda.get_device_name()} has "
                f"{has / GB:.1f} GB. Merge on a larger GPU, or on the CPU with CUDA_VISIBLE_DEVICES= before the command."
            )
