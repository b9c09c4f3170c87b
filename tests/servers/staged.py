"""A fixture of the tests that ask all of a rehearsal's services; a conftest.py imports what its tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phases.rehearsal.instance import Pace
from phases.rehearsal.stage import Stage
from tests.needs import require
from tests.needs.where import PYTHON


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, aws_environment: None) -> Iterator[Stage]:
    """Every service, IAM deciding; no instance of its SageMaker ever comes up."""
    require("ministack")
    home = tmp_path_factory.mktemp("stage")
    sources = ("granite-8b-unified-automotive-data",)
    with Stage(home, PYTHON / "bin" / "python", pace=Pace(status=3600), sources=sources) as found:
        yield found
