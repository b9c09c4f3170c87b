"""Keeping the Hugging Face libraries quiet: said before they are imported, or they do not hear it."""

from __future__ import annotations

import os


def quiet(offline: bool) -> None:
    """Telemetry off, and with `offline` no question to the hub at all.

    SFTTrainer's constructor looks the base model up on the hub otherwise, which on a machine without a network
    takes its time to fail. Must come before the first import of transformers, which reads these once.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TRANSFORMERS_OFFLINE"] = "1"
