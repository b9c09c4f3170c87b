"""The random generators that training draws from, as one value: Python's, NumPy's, torch's, and those of the GPUs.

Imports torch; import it only in the process that trains.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Generators:
    """Where every generator stood at one moment."""

    python: Any
    numpy: Any
    torch: Any
    gpus: Any

    @classmethod
    def now(cls) -> Generators:
        """As they stand; some fifty microseconds, and no wait for the GPU."""
        gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), gpus)

    def restore(self) -> None:
        """Have them stand there again."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.torch)
        if self.gpus:
            torch.cuda.set_rng_state_all(self.gpus)
