"""TRL's DPOTrainer, followed by Diagram 5 and resumed to the same weights, as the trainer of rows is.

Imports torch and TRL; import it only in the process that trains.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer

from phases.qlora_training import dealing
from phases.qlora_training.together import Alone
from phases.qlora_training.trainer import WalkingTrainer, common_arguments, release
from phases.student.config import QLoRAConfig

REFERENCE = "ref"
"""What DPOTrainer calls the copy of the adapter that it begins with."""


class FollowedPreferences(WalkingTrainer, DPOTrainer):  # type: ignore[misc]
    """DPOTrainer that takes every step in Diagram 5 as well."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """As it is: in tokens already (`pairs.dataset`), with no end of a template that nothing asks for."""
        return dataset


def create(
    config: QLoRAConfig,
    model: Any,
    tokenizer: Any,
    train: Any,
    validation: Any,
    directory: Path,
    seed: int,
    micro_batch: int,
    accumulation: int,
    *,
    beta: float,
) -> FollowedPreferences:
    """CreateSFTTrainer for pairs: a trainer over the present adapter of `model`, which is also what it is held against.

    The reference's log-probabilities are computed here, once, by a copy of the adapter that then goes: it would be written into
    every checkpoint. A resumed training begins here too, with the adapter that the first attempt began with, so they are the
    same. What the trainer does to the model (another forward, dropout off) stays: load the model anew afterwards.
    """
    release()
    with _silent():
        trainer = FollowedPreferences(
            model=model,
            args=dealing.one_device(
                DPOConfig(
                    **common_arguments(config, directory, seed, micro_batch, accumulation),
                    beta=beta,
                    max_length=None,  # pairs too long are dropped before, not cut
                    precompute_ref_log_probs=True,
                )
            ),
            train_dataset=train,
            eval_dataset=validation,
            processing_class=tokenizer,
            together=Alone(),
        )
    model.delete_adapter(REFERENCE)
    trainer.remove_callback(PrinterCallback)
    trainer.root = directory
    return trainer


@contextmanager
def _silent() -> Iterator[None]:
    """No progress bar of the reference's pass: this is the only way to tell DPOTrainer (1.16)."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before
