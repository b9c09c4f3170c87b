"""Keeping the Hugging Face libraries quiet: said before they are imported, or they do not hear it."""

from __future__ import annotations

import logging
import os
import sys
import warnings


def quiet(offline: bool) -> None:
    """Telemetry off, and with `offline` no question to the hub at all.

    SFTTrainer's constructor looks the base model up on the hub otherwise, which on a machine without a network
    takes its time to fail. Must come before the first import of transformers, which reads these once.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")
    # Where the package `kernels` is installed, as in the container, bitsandbytes fetches machine code from the hub
    # when it is imported on a CPU with AVX512-BF16, and transformers whenever flash-attn is missing: neither needed
    # nor wanted, and other bits wherever the hub cannot be reached. None makes its import fail, as if it were not there.
    sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]
    # then "Failed to load CPU gemm_4bit_forward" is what was asked for
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # transformers 5.23 renames gradient checkpointing, which PEFT and the container's 5.3 still call by its old name
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TRANSFORMERS_OFFLINE"] = "1"
