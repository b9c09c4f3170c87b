from __future__ import annotations

from pathlib import Path

import pytest

from tests.phases.qlora_training.micro import C_TEXTS, RECIPE


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a micro Granite: one layer, width 32."""
    from phases.student import hub

    hub.quiet(offline=True)
    import bitsandbytes  # noqa: F401 - imported here, not in every child
    import torch

    from phases.qlora_training import trainer  # noqa: F401
    from phases.student import tiny

    torch.set_num_threads(1)
    return tiny.build(RECIPE, C_TEXTS, tmp_path_factory.mktemp("micro"))
