"""QLoRA training (Diagram 5): a causal model in 4 bits, adapted by LoRA, resumed to the same weights."""

from phases.qlora_training.handlers import PHASE

__all__ = ["PHASE"]
