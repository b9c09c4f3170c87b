"""The wheel carries drawings, configurations and the small corpus, and runs where there is no checkout; with its base alone, the engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import declared
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


# The base alone

TRAINED = """from fsm.engine import Context, Phase

PHASE = Phase("trained")


@PHASE.state("Train")
def train(ctx: Context) -> None:
    import torch
"""
"""The handler of a state that has use for what an extra brings."""


def required(wanted: list[Requirement]) -> Iterator[Distribution]:
    """The distributions that pip would install for these requirements, of those that are installed here."""
    todo = [(one, "") for one in wanted]
    seen: set[tuple[str, str]] = set()
    while todo:
        one, extra = todo.pop()
        if one.marker and not one.marker.evaluate({"extra": extra}):
            continue
        found = distribution(one.name)
        extras = one.extras or {""}
        if fresh := {(canonicalize_name(one.name), extra) for extra in extras} - seen:
            seen |= fresh
            todo += [(Requirement(line), extra) for line in found.requires or () for _, extra in fresh]
            yield found


@dataclass(frozen=True)
class Base:
    """A virtual environment with the wheel and what it requires without any extra, and a directory to be in."""

    python: Path
    home: Path

    def gives(self, *words: str) -> subprocess.CompletedProcess[str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FSM_", "AWS_"))}
        command = [str(self.python), *words]
        return subprocess.run(command, cwd=self.home, env=plain, capture_output=True, text=True, check=False)

    def fsm(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.gives("-m", "fsm.cli", *words)


@pytest.fixture(scope="module")
def base(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Base:
    """What pip would install is linked from where it is installed: nothing is fetched."""
    home = tmp_path_factory.mktemp("base")
    venv.create(home / "venv", with_pip=False, symlinks=True)
    (packages,) = (home / "venv").glob("lib/python*/site-packages")
    for path in site.iterdir():
        (packages / path.name).symlink_to(path)
    for found in required(declared.BASE):
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(found.locate_file(top))))
    shutil.copytree(ROOT / "examples", home / "examples")
    shutil.copytree(ROOT / "configs", home / "configs")
    (home / "trained.mmd").write_text("stateDiagram-v2\n[*] --> Train\nTrain --> [*]\n")
    (home / "trained.yaml").write_text("plug: {drawing: trained.mmd, handlers: trained.py}\n")
    (home / "trained.py").write_text(TRAINED)
    return Base(home / "venv" / "bin" / "python", home)


def test_every_module_of_the_engine_can_be_imported_with_the_base_alone(base: Base) -> None:
    """But those of the page, of telemetry, and pytest's fixtures, which are imported by who asks for them."""
    served = {f"fsm.view.web.{name}" for name in ("app", "artifacts", "guard", "server")}
    served |= {"fsm.telemetry", "fsm.testing.fixtures"}
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "fsm").rglob("*.py")
        if "template" not in path.parts
    }
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = base.gives("-c", program, *sorted(modules - served))
    assert done.returncode == 0, done.stderr
    assert base.gives("-c", "import torch").returncode == 1
    assert base.gives("-c", "import boto3").returncode == 1


def test_a_pipeline_of_ones_own_runs_and_is_looked_at_with_the_base_alone(base: Base) -> None:
    for words in (
        ("check", "examples/mirror/mirror.yaml"),
        ("run", "examples/mirror/mirror.yaml", "--log", "none"),
        ("status", "mirror"),
        ("render", "mirror", "-o", "mirror.svg"),
        ("audit", "mirror"),
        ("--help",),
    ):
        done = base.fsm(*words)
        assert done.returncode == 0, (words, done.stderr)
        assert "Traceback" not in done.stderr
    assert (base.home / "mirror.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("watch", ("watch", "mirror", "--no-open")),
        ("watch", ("check", "examples/mirror/mirror.mmd", "--watch")),
        ("aws", ("runs", "--store", "s3://bucket/prefix")),
        ("score", ("score", "configs/corpus/tsn_data/gate.c")),
        ("data", ("run", "configs/local.yaml", "--machine", "data_preparation")),
        ("data", ("check", "configs/local.yaml")),
        ("train", ("run", "trained.yaml", "--log", "none")),
    ],
)
def test_a_missing_extra_is_one_line_that_names_it(base: Base, extra: str, words: tuple[str, ...]) -> None:
    done = base.fsm(*words)
    assert done.returncode in (2, 3), done.stderr
    line = done.stderr.splitlines()[-1]
    assert f"pip install 'fsm-pipelines[{extra}]'" in line, done.stderr
    assert "Traceback" not in done.stderr
