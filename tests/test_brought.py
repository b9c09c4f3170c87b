"""A package of somebody else's (tests/brought), installed, brings a machine with its phase, a scorer, a teacher, a view and a command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.engine import Machine, Registry
from fsm.errors import ConfigError
from fsm.journal import Journal
from fsm.store import open_store
from fsm.view import RunFiles
from fsm.view.web import panels
from phases.quality_scoring import QualityScoringConfig, score
from phases.quality_scoring.brought import scorer
from phases.sagemaker_job import source
from phases.sagemaker_job.job import JobRefused

WEIGHTS = {"syntax": 0.25, "protocol": 0.25, "safety": 0.25, "style": 0.15, "licence": 0.10}
CODE = "/* SPDX-License-Identifier: MIT */\nint one(void)\n{\n    return 1;\n}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, as pip installs it."""
    home = tmp_path_factory.mktemp("brought")
    shutil.copytree(Path(__file__).with_name("brought"), home / "tree")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        "site",
    ]
    done = subprocess.run([*pip, "./tree"], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return home / "site"


@pytest.fixture
def installed(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory to be in, where the package can be imported."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    caches = (panels.installed, scorer)
    for cache in caches:
        cache.cache_clear()
    yield tmp_path
    for cache in caches:
        cache.cache_clear()
    for name in [n for n in sys.modules if n.partition(".")[0] == "laundry"]:
        del sys.modules[name]


def ran(directory: Path, *lines: str) -> int:
    (directory / "it.yaml").write_text("\n".join([*lines, ""]))
    return main(["run", "it.yaml", "--log", "none"])


def test_its_machine_runs_by_its_name_alone_and_its_view_shows_the_run(installed: Path) -> None:
    assert ran(installed, "machine: laundry", "laundry: {stains: 2}") == 0
    run = open_store(".").run("run")
    records = list(Journal(run).records())
    assert [r["label"] for r in records if r["kind"] == "transition"] == ["Still dirty", "Clean", None]
    files = {name: {**file, "seq": r["seq"]} for r in records for name, file in r.get("files", {}).items()}
    shown = [
        p for p in panels.panels(RunFiles(run, Journal(run).header(), files)) if p["id"].startswith("laundry")
    ]
    assert [p["id"] for p in shown] == ["laundry.stains"]
    assert shown[0]["lines"][0]["points"] == [[0, 2], [1, 1], [2, 0]]
    assert main(["check", "it.yaml"]) == 0
    assert main(["render", "laundry"]) == 0


def test_its_section_is_checked_like_any_other(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(installed, "machine: laundry", "laundry: {stain: 2}") == 2
    assert "stain" in capsys.readouterr().err
    assert ran(installed, "machine: landry") == 2
    assert "did you mean 'laundry'?" in capsys.readouterr().err


def test_its_teacher_is_asked_and_its_scorer_counts_where_they_are_named(installed: Path) -> None:
    (installed / "prompts.jsonl").write_text(json.dumps({"prompt": "Write a function that washes."}) + "\n")
    weights = json.dumps(WEIGHTS)
    section = "teacher_generation: {teacher: {kind: washer}, prompts: prompts.jsonl, check: code}"
    assert (
        ran(installed, "machine: teacher_generation", section, f"quality_scoring: {{weights: {weights}}}")
        == 0
    )
    run = open_store(".").run("run")
    files = {name: file for r in Journal(run).records() for name, file in r.get("files", {}).items()}
    (row,) = map(json.loads, run.artifact(files["teacher/outputs.jsonl"]["sha256"]).read_text().splitlines())
    assert row["teacher"] == "washer"
    config = QualityScoringConfig(weights=WEIGHTS)
    named, not_named = score(CODE, config=config), score(CODE.partition("\n")[2], config=config)
    assert (named.extra, not_named.extra) == ((("licence", 10.0),), (("licence", 0.0),))
    assert named.overall > not_named.overall + 0.9
    assert score(CODE).extra == (), "without a weight it is not asked"


def test_what_an_extra_of_it_would_bring_is_named_with_its_own_name(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = "pip install 'laundry-pipelines[starch]'"
    assert ran(installed, "machine: laundry", "laundry: {starched: true}") == 3
    assert how in capsys.readouterr().err.splitlines()[-1]
    errors = [r for r in Journal(open_store(".").run("run")).records() if r["kind"] == "error"]
    assert [(r["from"], r["error"], r["recovery"]) for r in errors] == [("Dry", "MissingExtra", None)]
    (installed / "own.py").write_text("import starch_that_nobody_has\n")
    assert ran(installed, "plug: {handlers: own.py}") == 2
    assert how in capsys.readouterr().err.splitlines()[-1]
    assert main(["spin", "--fast", "x"]) == 2
    assert how in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "its extra is not installed" in capsys.readouterr().out


def test_a_job_is_refused_a_machine_that_would_not_be_packed(installed: Path) -> None:
    with pytest.raises(JobRefused, match="laundry comes by an entry point"):
        source.code("machine: laundry\n", "laundry", (), ())


def test_a_machine_that_two_packages_bring_is_refused(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = installed / "other" / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fsm.machines]\nlaundry = other:MACHINE\n")
    monkeypatch.syspath_prepend(str(installed / "other"))
    with pytest.raises(ConfigError, match="Two installed packages bring a machine 'laundry'"):
        Registry("machines", Machine)["laundry"]
    assert Registry("machines", Machine)["pipeline"].name == "pipeline", "which the package has itself"
