"""The code of a job: packed alike, whole, and started from an empty directory as the container starts it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from phases.sagemaker_job import source, versions
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.environment import Layout, write_input_config
from phases.sagemaker_job.job import OWN, Code, JobRefused
from phases.sagemaker_job.request import ARGUMENTS, ENTRYPOINT
from tests import declared

ROOT = Path(source.__file__).parents[2]
DRAWING = "stateDiagram-v2\n    [*] --> Grind\n    Grind --> Taste\n    Taste --> Grind : Too weak\n    Taste --> [*] : Good\n"
COFFEE = """
from pathlib import Path
import beans
from fsm.engine import Machine
from fsm.engine import Phase
MACHINE = Machine("coffee", Path(__file__).parents[1] / "drawn" / "coffee.mmd",
                  bounds={("Taste", "Too weak"): "the beans in the bag"})
PHASE = Phase("coffee")
@PHASE.state("Grind")
def grind(ctx):
    ctx.data["grams"] = ctx.data.get("grams", 12) + beans.GRAMS
@PHASE.state("Taste")
def taste(ctx):
    return "Too weak" if ctx.data["grams"] < 18 else "Good"
"""
CONFIG = "machine: coffee\nplug: {machines: kitchen.machines, phases: kitchen.phases}\n"


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A pipeline of a user's own: a package, a module that it imports, and a drawing beside both."""
    home = tmp_path / "user"
    (home / "kitchen" / "__pycache__").mkdir(parents=True)
    (home / "kitchen" / "__pycache__" / "coffee.pyc").write_text("")
    (home / "kitchen" / "__init__.py").write_text("")
    (home / "kitchen" / "machines.py").write_text('NAMES = {"coffee": "kitchen.coffee:MACHINE"}\n')
    (home / "kitchen" / "phases.py").write_text('NAMES = {"coffee": "kitchen.coffee:PHASE"}\n')
    (home / "kitchen" / "coffee.py").write_text(COFFEE)
    (home / "beans.py").write_text("GRAMS = 2\n")
    (home / "drawn").mkdir()
    (home / "drawn" / "coffee.mmd").write_text(DRAWING)
    monkeypatch.syspath_prepend(home)
    yield home
    for name in [n for n in sys.modules if n.partition(".")[0] in ("kitchen", "beans")]:
        del sys.modules[name]


def site(directory: Path, requirements: str) -> Path:
    """A directory in which only these requirements can be imported, and what they require themselves."""
    directory.mkdir()
    todo = [Requirement(line) for line in requirements.splitlines() if not line.startswith("#")]
    todo.append(Requirement("packaging"))  # which the image has
    seen = set()
    while todo:
        wanted = todo.pop()
        if (name := canonicalize_name(wanted.name)) in seen or (
            wanted.marker and not wanted.marker.evaluate({"extra": ""})
        ):
            continue
        seen.add(name)
        found = distribution(name)
        assert found.version in wanted.specifier
        todo += map(Requirement, found.requires or ())
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            (directory / top).symlink_to(Path(str(found.locate_file(top))))
    return directory


def start(
    code: Code, layout: Layout, words: dict[str, str], packages: Path
) -> subprocess.CompletedProcess[str]:
    """Start it in the layout of a container, by the request's own entrypoint; its Python knows `packages` alone."""
    (layout.input_data / "code").mkdir()
    (layout.input_data / "code" / "code.tar.gz").write_bytes(source.pack(code).content)
    write_input_config(layout, ["code", "config"], words)
    python = layout.root / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/bash\n[ "$1" = -m ] && exec {sys.executable} "$@"\nPYTHONPATH={packages} exec {sys.executable} -S "$@"\n'
    )
    python.chmod(0o755)
    environment = {"PATH": f"{python.parent}:{os.environ['PATH']}", "HOME": str(layout.root)}
    environment |= {"FSM_OPT_ML": str(layout.root), "TRAINING_JOB_NAME": "job", "AWS_REGION": "us-east-1"}
    command = [*ENTRYPOINT, *ARGUMENTS]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def layout(root: Path, config: str) -> Layout:
    made = Layout(root)
    made.make()
    (made.input_data / "config").mkdir()
    (made.input_data / "config" / "pipeline.yaml").write_text(config)
    return made


def ended(store: Path, run: str) -> dict[str, object]:
    last = (store / "runs" / run / "journal.jsonl").read_text().splitlines()[-1]
    found: dict[str, object] = json.loads(last)["end"]
    return found


def test_a_job_starts_from_the_archive_with_only_its_requirements(tmp_path: Path) -> None:
    text = f"machine: data_preparation\ndata_preparation: {{source: {ROOT / 'configs' / 'corpus'}}}\n"
    code = source.code(text, "data_preparation", (), ())
    packages = site(tmp_path / "site", source.requirements(code))
    store = tmp_path / "a store & its runs"
    words = {"machine": "data_preparation", "run": "inner", "store": str(store), "seed": "7"}
    done = start(code, layout(tmp_path / "ml", text), words, packages)
    assert done.returncode == 0, done.stderr
    assert ended(store, "inner")["outcome"] == "done"


def test_a_pipeline_of_ones_own_is_packed_and_starts(kitchen: Path, tmp_path: Path) -> None:
    code = source.code(CONFIG, "coffee", ["beans"], ["roasting==1.0"])
    assert code.names == ("beans", "fsm", "kitchen", "machines", "phases")
    packed = source.files(code)
    assert {"beans.py", "kitchen/coffee.py", "drawn/coffee.mmd", "fsm/run.py"} <= packed.keys()
    assert not any("__pycache__" in name for name in packed)
    assert source.requirements(code).endswith("roasting==1.0\n")
    packages = site(tmp_path / "site", source.requirements(Code()))
    words = {"machine": "coffee", "run": "inner", "store": str(tmp_path / "store"), "seed": "7"}
    code = source.code(CONFIG, "coffee", ["beans"], ())
    done = start(code, layout(tmp_path / "ml", CONFIG), words, packages)
    assert done.returncode == 0, done.stderr
    assert ended(tmp_path / "store", "inner")["outcome"] == "done"


def test_what_pip_cannot_install_is_the_jobs_failure(tmp_path: Path) -> None:
    code = Code(requirements=("no-such-package==1.0",))
    home = layout(tmp_path / "ml", CONFIG)
    (home.input_data / "wheels").mkdir()  # so that no index is asked
    done = start(code, home, {}, site(tmp_path / "site", source.requirements(Code())))
    assert done.returncode == 1
    assert home.failure.read_text().startswith("What the image lacks could not be installed: ")
    assert "no-such-package==1.0" in home.failure.read_text()


def test_the_same_files_make_the_same_bytes(kitchen: Path) -> None:
    code = source.code(CONFIG, "coffee", ["beans"], ())
    first = source.pack(code)
    os.utime(kitchen / "beans.py", (1, 1))
    (kitchen / "beans.py").chmod(0o600)
    assert source.pack(code) == first
    (kitchen / "beans.py").write_text("GRAMS = 3\n")
    assert source.pack(code).digest != first.digest


def test_what_cannot_be_packed_is_refused(kitchen: Path, tmp_path: Path) -> None:
    with pytest.raises(JobRefused, match="'no_such_package', whose files cannot be found"):
        source.pack(Code(names=("fsm", "no_such_package")))
    (tmp_path / "coffee.mmd").write_text(DRAWING)
    with pytest.raises(JobRefused, match="Put it into the package of its machine"):
        source.pack(Code(drawings=(tmp_path / "coffee.mmd",)))


def test_the_smoke_job_brings_the_tests_along() -> None:
    text = (ROOT / "configs" / "smoke.yaml").read_text()
    smoke, distillation = (source.files(source.code(text, m, (), ())) for m in ("smoke", "distillation"))
    assert {"tests/fsm/engine/test_kernel.py", "tests/golden/smoke.jsonl", "pyproject.toml"} <= smoke.keys()
    assert "benchmarks/crash_matrix.py" in smoke
    assert not any(name.startswith("tests/") for name in distillation)
    assert {"diagrams/distillation.mmd", "phases/quality_scoring/prelude.h"} <= distillation.keys()


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ("teacher_generation: {teacher: {kind: openai, model_id: m}}", ("openai",)),
        ("teacher_generation: {teacher: {kind: bedrock, model_id: m}}", ()),
        ("sagemaker_job: {tensorboard: s3://bucket/curves}", ("tensorboardx",)),
    ],
)
def test_a_job_whose_configuration_has_use_for_a_package_of_its_own_requires_it(
    config: str, wanted: tuple[str, ...]
) -> None:
    assert source.code(f"machine: distillation\n{config}\n", "distillation", (), ()).requirements == wanted


def test_every_dependency_of_the_project_is_in_the_image_or_required_or_for_whoever_looks_on() -> None:
    named = {canonicalize_name(one.name) for one in declared.NEEDED}
    assert named == {*source.LACKING, *source.IN_THE_IMAGE, *source.LOOKING_ON}


def test_everything_that_is_imported_is_in_the_image_or_required_or_for_whoever_looks_on_or_wants_it() -> (
    None
):
    own = (ROOT / "tests" / "versions" / "container.txt").read_text().splitlines()
    brought = (line.partition("#")[0].strip() for line in own)
    there = {
        canonicalize_name(name)
        for name in (
            *(Requirement(line).name for line in brought if line),
            *versions.of_image(SageMakerJobConfig().image),
            *source.LACKING,
            *source.IN_THE_IMAGE,
            *source.LOOKING_ON,
            *source.WHERE_WANTED,
            *source.TESTED_WITH,  # by whoever tests a pipeline with fsm.testing
        )
    }
    providers = packages_distributions()
    imported: set[str] = set()
    for path in (p for name in OWN for p in sorted((ROOT / name).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).partition(".")[0])
    foreign = sorted(imported - sys.stdlib_module_names - {*OWN, "IPython"})  # a notebook is where that is
    lacking = [n for n in foreign if not there & {canonicalize_name(d) for d in providers.get(n, [n])}]
    assert {"torch", "matplotlib", "yaml"} <= set(foreign)
    assert lacking == []
