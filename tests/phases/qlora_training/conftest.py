from __future__ import annotations

from pathlib import Path

import pytest

from tests.phases.qlora_training.micro import C_TEXTS, RECIPE


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a micro Granite: one layer, width 32."""
    from phases.qlora_training import hub

    hub.quiet(offline=True)
    import bitsandbytes  # noqa: F401 - imported here, not in every child
    import torch

    from phases.distillation import tiny_student
    from phases.qlora_training import trainer  # noqa: F401

    torch.set_num_threads(1)
    return tiny_student.build(RECIPE, C_TEXTS, tmp_path_factory.mktemp("micro"))
