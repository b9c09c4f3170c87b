"""What can be known to fail before a model is loaded: disk, GPU memory, the CPU, options and layers that are not there."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsm.engine import nearest
from phases.errors import CUDAOutOfMemory, DiskSpaceLow, InvalidStructure, NotProvided
from phases.sagemaker_job import ranks
from phases.student import processor
from phases.student.config import QLoRAConfig
from phases.student.generate import SamplingConfig

if TYPE_CHECKING:
    from phases.student.memory import How

GB = 10**9
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
"""Bytes a weight: 4 bits, an 8-bit scale for 64 of them, a 32-bit scale for 256 of those (double quantisation)."""
CONTEXT_BYTES = 1.2 * GB
"""What CUDA, cuBLAS and the allocator's rounding take before anything is computed."""


def disk(path: Path, needed_gb: float) -> float:
    """CheckDiskSpace of Diagram 5: the free GB at `path`. Raises DiskSpaceLow below `needed_gb`."""
    free = shutil.disk_usage(path).free / GB
    if free < needed_gb:
        raise DiskSpaceLow(
            f"{path} has {free:.1f} GB free, and training wants {needed_gb:g} GB for its checkpoints and outputs: "
            f"{needed_gb - free:.1f} GB are missing. Free space, give the instance a larger volume, or lower min_free_gb."
        )
    return free


def cpu(config: QLoRAConfig) -> None:
    """Raises NotProvided when nf4 is to run on a CPU that bitsandbytes has no kernels for."""
    import torch

    if config.quantization == "none" or torch.cuda.is_available():
        return
    has = processor.features()
    if platform.machine() == "x86_64" and has and "avx2" not in has:
        raise NotProvided(
            "bitsandbytes computes nf4 on a CPU with AVX2, and this one has none. Take another machine, or set "
            "quantization: none, which trains in full precision."
        )


def driver() -> None:
    """Raises NotProvided where there is an NVIDIA GPU that torch cannot use: it would train on the CPU, for weeks, in silence."""
    import torch

    if (
        torch.cuda.is_available()
        or torch.version.cuda is None
        or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    ):
        return
    try:
        lines = DRIVER.read_text("utf-8", "replace").splitlines()
    except OSError:
        return  # no driver: no GPU
    raise NotProvided(
        f"This machine has an NVIDIA driver ({lines[0].strip() if lines else 'unnamed'}), and torch {torch.__version__} for CUDA "
        f"{torch.version.cuda} cannot use its GPU: the driver is too old for it, or the GPU is not given to this process. "
        "Update the driver, install a torch for an older CUDA, or set CUDA_VISIBLE_DEVICES= to train on the CPU."
    )


DRIVER = Path("/proc/driver/nvidia/version")


def alike() -> None:
    """Raises NotProvided where several processes are to train on GPUs of different kinds: each step would be as slow as the
    slowest, and the smallest memory would decide. Silent for one process, which takes one GPU.
    """
    import torch

    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or not torch.cuda.is_available():
        return
    kinds = sorted({torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())})
    if len(kinds) > 1:
        raise NotProvided(
            f"This machine's GPUs are of different kinds ({', '.join(kinds)}), and the training is to run on several. Name those "
            "of one kind in CUDA_VISIBLE_DEVICES, with as many processes."
        )


def options(config: QLoRAConfig) -> None:
    """Raises NotProvided for an option whose library or device is not here, with the reason."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    lacks = {
        "attention: flash_attention_2": (
            config.attention == "flash_attention_2" and not (gpus and _importable("flash_attn")),
            "it needs a GPU and the package flash-attn",
            "attention: sdpa",
        ),
        "liger: true": (
            config.liger and not (gpus and _importable("liger_kernel")),
            "it needs a GPU and the package liger-kernel",
            "liger: false",
        ),
        "fsdp: true": (config.fsdp, _unsharded(), "fsdp: false"),
        f"optimizer: {config.optimizer}": (
            config.optimizer.startswith("paged") and not gpus,
            "paged optimizers need a GPU",
            "optimizer: adamw_torch",
        ),
    }
    for said, (missing, why, instead) in lacks.items():
        if missing:
            raise NotProvided(f"The configuration says {said}, but {why}. Provide that, or set {instead}.")


def _unsharded() -> str:
    """Why no model is sharded here."""
    world = ranks.here().world
    if world == 1:
        return (
            "this is a single process with one GPU at most, and nobody to share the model out to; several, launched by torchrun, train "
            "together with a whole base each"
        )
    return (
        f"none of the {world} ranks is without a whole base: FSDP keeps a shard of the optimizer's state on each rank, and no "
        "checkpoint of that is resumed to the same weights here. An 8B in nf4 takes 5.8 GB of every GPU"
    )


def alone() -> str:
    """What a user is told where there are several GPUs and nobody has launched a process for each; else nothing."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus < 2 or ranks.here().world > 1:
        return ""
    return (
        f"{gpus} GPUs are visible, and this process trains on one, {torch.cuda.get_device_name()}. To train on all: "
        f"torchrun --nproc-per-node {gpus} -m phases.qlora_training.rank -- CONFIG, in place of fsm run CONFIG."
    )


@dataclass(frozen=True)
class Need:
    """An estimate of memory, in bytes: base weights, adapter with its optimizer, activations, logits at their peak, the rest."""

    weights: float
    adapter: float
    activations: float
    logits: float
    rest: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.adapter + self.activations + self.logits + self.rest


def need(shape: Any, config: QLoRAConfig, length: int | None = None, *, gpu: bool = True) -> Need:
    """What training a model of `shape` (its transformers config) will take, before it is loaded.

    A pass is `micro_batch` rows of `length` tokens, the longest that may be by default. On a CPU all is in fp32, and CUDA
    takes nothing.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from phases.student import memory

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    embeddings = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and id(m) not in embeddings]
    quantised = sum(m.weight.numel() for m in linear)
    other = sum(p.numel() for p in model.parameters()) - quantised
    per_weight = NF4_BYTES if config.quantization == "nf4" else 4.0
    lora = sum(config.lora_rank * (m.in_features + m.out_features) for m in adapted(model, config))
    rows, long = rows_at_once(config), length or config.max_length
    below = memory.footprint(shape, config, rows, long, gpu)
    logits = memory.logits(shape.vocab_size, rows * long, head(config), gpu)
    if gpu:
        logits += 2.0 * shape.vocab_size * shape.hidden_size  # the head in fp32, once more at 16 bit
    # a layer's weights at full width while it computes
    unpacked = (
        max(m.weight.numel() for m in linear) * (2.0 if gpu else 4.0) if config.quantization == "nf4" else 0.0
    )
    optimizer = 2.0 if "8bit" in config.optimizer else 8.0
    return Need(
        quantised * per_weight + other * 4.0,
        lora * (8.0 + optimizer),  # weights, gradients, and what AdamW keeps
        below.peak,
        max(0.0, below.kept + logits - below.peak),
        unpacked + (CONTEXT_BYTES if gpu else 0.0),
    )


def adapted(model: Any, config: QLoRAConfig) -> list[Any]:
    """The linear layers of a model that get an adapter."""
    import torch

    head = model.get_output_embeddings()
    found = [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head]
    if config.target_modules == "all-linear":
        return [m for _, m in found]
    return [m for name, m in found if any(name == w or name.endswith(f".{w}") for w in config.target_modules)]


def head(config: QLoRAConfig) -> How:
    """How the loss has its logits."""
    from importlib.metadata import version

    if config.micro_batch_of == "tokens":
        return "pieces"
    return "tiles" if int(version("trl").split(".")[0]) >= 1 else "whole"


def rows_at_once(config: QLoRAConfig) -> int:
    """Rows in a pass, as a number: where the configuration leaves them to be chosen, those drawn."""
    return DRAWN if config.micro_batch == "auto" else config.micro_batch


@dataclass(frozen=True)
class Chosen:
    """What `micro_batch: auto` comes to: rows in a pass, passes to a step, and whether activations are computed again."""

    micro_batch: int
    accumulation: int
    checkpointing: bool


def choose(shape: Any, config: QLoRAConfig, has: float, *, gpu: bool) -> Chosen:
    """As few passes as fit `has` bytes, activations kept where they fit too; a step has the rows drawn, DRAWN a pass.

    Keeping activations comes first: it saves a third of the arithmetic, and wider passes save less. Where nothing fits,
    one row with activations computed again, which ReduceBatchSize of Diagram 8 would come down to.
    """
    rows = DRAWN * config.gradient_accumulation_steps
    sizes = [n for n in range(min(rows, WIDEST), 0, -1) if rows % n == 0]
    for checkpointing in (False, True):
        for size in sizes:
            said = {"micro_batch": size, "gradient_checkpointing": checkpointing}
            if need(shape, config.model_copy(update=said), gpu=gpu).total <= has * ROOM:
                return Chosen(size, rows // size, checkpointing)
    return Chosen(1, rows, True)


DRAWN = 2
"""Rows in a pass where nobody says another number."""
WIDEST = 64
ROOM = 0.9
"""The share of the memory that is reckoned with: an estimate is within a tenth of what is measured."""


def here() -> tuple[float, bool]:
    """(bytes of memory that training may take on this machine, whether they are a GPU's)."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory), True
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) / 2, False


def gpu(shape: Any, config: QLoRAConfig) -> None:
    """Raises CUDAOutOfMemory when the GPU has less memory than training with one row in the micro-batch needs, the least
    that ReduceBatchSize of Diagram 8 can come down to; says by how much. Silent without a GPU.
    """
    import torch

    if not torch.cuda.is_available():
        return
    least = {"micro_batch": 1} | ({"gradient_checkpointing": True} if config.micro_batch == "auto" else {})
    needed = need(shape, config.model_copy(update=least))
    has = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    if needed.total > has:
        raise CUDAOutOfMemory(
            f"{config.model} needs about {needed.total / GB:.1f} GB of GPU memory to be trained with a single row in the micro-batch "
            f"({needed.weights / GB:.1f} weights, {needed.adapter / GB:.1f} adapter and optimizer, "
            f"{needed.activations / GB:.1f} activations, {needed.logits / GB:.1f} logits), and {torch.cuda.get_device_name()} has "
            f"{has / GB:.1f} GB: {(needed.total - has) / GB:.1f} GB are missing. Lower max_length or lora_rank, or rent a larger GPU."
        )


def answers_whole(config: QLoRAConfig, sampling: SamplingConfig) -> bool:
    """Whether the GPU has the memory to answer over the base at 16 bit, `sampling.batch` prompts at a time.

    By the GPU's whole memory, not by what is free of it: the same machine decides the same, and answers with it.
    """
    import torch

    if not torch.cuda.is_available() or config.quantization == "none":
        return False
    from phases.student import model

    shape = model.shape(config)
    has: int = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    return answering(shape, sampling) <= has


def answering(shape: Any, sampling: SamplingConfig) -> float:
    """Bytes that answering over the base at 16 bit takes: weights, the cache of all slots, logits and noise of a step."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        weights = sum(p.numel() for p in AutoModelForCausalLM.from_config(shape).parameters())
    heads = shape.num_attention_heads
    width = getattr(shape, "head_dim", None) or shape.hidden_size // heads
    kept = 4 * shape.num_hidden_layers * (getattr(shape, "num_key_value_heads", None) or heads) * width
    # prompts come in powers of two of buckets, and a layer's keys and values are repeated for its heads
    prompt = sampling.bucket << (-(-sampling.max_prompt_tokens // sampling.bucket)).bit_length()
    length = min(prompt, getattr(shape, "max_position_embeddings", None) or prompt) + sampling.max_new_tokens
    rows = sampling.batch * (length * (kept + 4 * heads * width) + 60 * shape.vocab_size)
    total: float = 2.0 * weights + rows + CONTEXT_BYTES
    return total


def packing(shape: Any, config: QLoRAConfig) -> None:
    """Raises NotProvided where rows in one sequence would see one another: masks keep them apart in attention alone."""
    kinds = set(getattr(shape.get_text_config(), "layer_types", None) or ())
    if config.packing and (other := sorted(kinds - {"full_attention", "sliding_attention", "attention"})):
        raise NotProvided(
            f"The configuration says packing: true, and {config.model} has layers of the kind {', '.join(other)}, which carry "
            "what they read from one row of a sequence into the next. Set packing: false; micro_batch_of: tokens leaves "
            "little padding without it."
        )


def modules(shape: Any, config: QLoRAConfig) -> None:
    """Raises InvalidStructure for a name in `target_modules` that no layer of the model bears which LoRA can adapt.

    PEFT takes a list of which one name fits, and passes over the others in silence. A name is a layer's own or the end of
    its path, as PEFT has it.
    """
    if isinstance(config.target_modules, str):
        return
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    adaptable = [
        name for name, m in model.named_modules() if isinstance(m, (torch.nn.Linear, torch.nn.Embedding))
    ]
    known = list(dict.fromkeys(name.rpartition(".")[2] for name in adaptable))
    lacking = [
        wanted
        for wanted in config.target_modules
        if not any(name == wanted or name.endswith(f".{wanted}") for name in adaptable)
    ]
    if lacking:
        near = nearest(lacking[0], known)
        raise InvalidStructure(
            f"target_modules names {', '.join(lacking)}, and {config.model} has no such layer to adapt{near or '.'} It has: "
            f"{', '.join(known)}. Name some of these, or set target_modules: all-linear."
        )


def _importable(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
