"""The wheel carries drawings, configurations and the small corpus, and runs where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_tree import ROOT, tracked

PACKED = ("fsm", "machines", "phases", "configs", "diagrams")


def done(*words: str, cwd: Path, site: Path | None = None) -> str:
    """Give a command to Python; what it said. An installed wheel goes before the checkout."""
    environment = os.environ | ({"PYTHONPATH": str(site)} if site else {})
    ran = subprocess.run(
        [sys.executable, "-m", *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the tree as git knows it and unpacked by pip."""
    directory = tmp_path_factory.mktemp("wheel")
    for path in tracked():
        name = path.relative_to(ROOT)
        if path.is_file() and (name.parts[0] in PACKED or len(name.parts) == 1):
            (directory / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, directory / "tree" / name)
    done("pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "..", ".", cwd=directory / "tree")
    (wheel,) = directory.glob("*.whl")
    done("pip", "install", "-q", "--no-deps", "--target", "site", str(wheel), cwd=directory)
    return directory / "site"


def test_nothing_that_the_packages_read_is_left_behind(site: Path) -> None:
    def files(root: Path) -> set[str]:
        return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and p.suffix != ".pyc"}

    kept = {p.relative_to(ROOT) for p in tracked() if p.is_file()}
    for package in ("fsm", "machines", "phases"):
        wanted = {str(p.relative_to(package)) for p in kept if p.parts[0] == package}
        assert wanted <= files(site / package), package
    assert files(site / "machines/diagrams") >= {
        f"{m}.mmd" for m in ("pipeline", "data_flow", "sagemaker_job")
    }
    assert files(site / "phases/configs") == {
        str(p.relative_to("configs")) for p in kept if p.parts[0] == "configs"
    }


def test_an_example_runs_from_any_directory(site: Path, tmp_path: Path) -> None:
    done(
        "fsm.cli",
        "run",
        "--example",
        "local",
        "--machine",
        "data_preparation",
        "--log",
        "none",
        cwd=tmp_path,
        site=site,
    )
    assert (tmp_path / "configs/local.yaml").read_bytes() == (ROOT / "configs/local.yaml").read_bytes()
    (tmp_path / "configs/local.yaml").write_text((ROOT / "configs/local.yaml").read_text() + "# mine\n")
    done(
        "fsm.cli",
        "run",
        "--example",
        "local",
        "--machine",
        "validation",
        "--log",
        "none",
        cwd=tmp_path,
        site=site,
    )
    assert "stateDiagram-v2" in done("fsm.cli", "render", "pipeline", cwd=tmp_path, site=site)
    checked = done("fsm.cli", "check", "configs/local.yaml", cwd=tmp_path, site=site)
    assert "nothing to complain of" in checked
    assert (tmp_path / "configs/local.yaml").read_text().endswith("# mine\n"), (
        "what is there is left as it is"
    )
