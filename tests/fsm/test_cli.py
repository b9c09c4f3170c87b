"""The command line as a user gives it: exit codes, JSON, messages of one paragraph."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from fsm import cli

ROOT = Path(__file__).parents[2]
LOCAL = str(ROOT / "configs" / "local.yaml")
CORPUS = str(ROOT / "configs" / "corpus")


def fsm(*words: str, cwd: Path, module: str = "fsm.cli") -> subprocess.CompletedProcess[str]:
    """Give a command; its output is text."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def lines(done: subprocess.CompletedProcess[str]) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "local.yaml").write_text(Path(LOCAL).read_text().replace("configs/corpus", CORPUS))
    return tmp_path


def test_a_phase_alone_runs_to_its_end_and_is_seen_from_every_side(home: Path) -> None:
    done = fsm("local.yaml", "--machine", "data_preparation", "--json", cwd=home, module="fsm.run")
    assert done.returncode == 0, done.stderr
    assert lines(done) == [
        {"run": "data_preparation", "outcome": "done", "label": None, "last": "Finalize.WriteValJSONL"}
    ]
    (one,) = lines(fsm("runs", "--json", cwd=home))
    assert (one["run"] if "run" in one else one["name"]) == "data_preparation"
    records = lines(fsm("history", "data_preparation", "--json", cwd=home))
    assert [r["seq"] for r in records] == list(range(len(records)))
    written = {name for r in records for name in r.get("artifacts", {})}
    assert {"data/splits/train.jsonl", "data/processed/val.jsonl"} <= written
    assert fsm("status", "data_preparation", "--json", cwd=home).returncode == 0
    assert fsm("audit", "data_preparation", "--json", cwd=home).returncode == 0
    drawn = fsm("render", "data_preparation", cwd=home)
    assert drawn.returncode == 0, drawn.stderr
    assert "WriteValJSONL" in drawn.stdout


def test_a_phase_alone_may_come_after_another_run(home: Path) -> None:
    words = ("local.yaml", "--log", "none")
    assert fsm(*words, "--machine", "data_preparation", cwd=home, module="fsm.run").returncode == 0
    config = (home / "local.yaml").read_text().replace("prompts: null", "prompts: data/splits/val.jsonl")
    (home / "local.yaml").write_text(config.replace("generated: 216", "generated: 0"))
    alone = fsm(*words, "--machine", "teacher_generation", cwd=home, module="fsm.run")
    assert alone.returncode == 3
    assert "data/splits/val.jsonl" in alone.stderr
    after = fsm(
        *words,
        "--machine",
        "teacher_generation",
        "--from",
        "data_preparation",
        "--fresh",
        cwd=home,
        module="fsm.run",
    )
    assert after.returncode == 0, after.stderr
    records = lines(fsm("history", "teacher_generation", "--json", cwd=home))
    assert any("data/splits/val.jsonl" in r.get("reads", {}) for r in records)


def test_a_failure_edge_is_exit_code_1(home: Path) -> None:
    (home / "local.yaml").write_text((home / "local.yaml").read_text().replace(CORPUS, "/no/such/place"))
    done = fsm("run", "local.yaml", "--machine", "validation", "--json", "--log", "none", cwd=home)
    assert done.returncode == 1
    assert lines(done)[0]["outcome"] == "failed"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "missing.yaml"), 2, "missing.yaml: the configuration cannot be read"),
        (("run", "local.yaml", "--machine", "nonesuch"), 2, "there is no machine 'nonesuch'"),
        (("run", "local.yaml", "--run", "a/b"), 2, "cannot name a run"),
        (("status", "nobody"), 2, "There is no run nobody"),
        (("history", "nobody"), 2, "There is no run nobody"),
        (("check", "missing.yaml"), 2, "cannot be read"),
        (("render", "nonesuch"), 2, "nonesuch"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_paragraph(
    home: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = fsm(*words, cwd=home)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_another_configuration_under_the_same_name_is_refused_with_what_changed(home: Path) -> None:
    words = ("run", "local.yaml", "--machine", "data_preparation", "--log", "none")
    assert fsm(*words, cwd=home).returncode == 0
    changed = fsm(*words, "--seed", "7", cwd=home)
    assert changed.returncode == 2
    assert "run.seed: 42 then, 7 now" in changed.stderr
    assert fsm(*words, "--seed", "7", "--fresh", cwd=home).returncode == 0


def test_check_finds_the_shipped_configurations_sound(tmp_path: Path) -> None:
    done = fsm("check", LOCAL, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert fsm("check", LOCAL, "--json", cwd=tmp_path).stdout == ""


def test_parse_prints_a_line_a_file_and_refuses_with_a_place(tmp_path: Path) -> None:
    (tmp_path / "good.mmd").write_text("stateDiagram-v2\n    [*] --> A : go\n")
    (tmp_path / "bad.mmd").write_text("stateDiagram-v2\n    [*] --> \n    state {\n")
    done = fsm("parse", "good.mmd", "bad.mmd", "gone.mmd", "--json", cwd=tmp_path)
    assert done.returncode == 2
    good, bad, gone = lines(done)
    assert good["transitions"][0]["label"] == "go"
    assert bad.keys() == {"file", "error", "line", "column"}
    assert bad["line"] >= 2
    assert "No such file" in gone["error"]


def test_check_asks_further_what_an_installed_package_brings(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, bool]] = []

    def weather(config: Any, as_json: bool) -> int:
        """see whether it rains"""
        asked.append((config.engine.machine, as_json))
        return 2

    monkeypatch.setattr(
        metadata, "entry_points", lambda group: [Entry("weather", weather)] if group == "fsm.checks" else []
    )
    assert cli.main(["check", str(home / "local.yaml")]) == 0
    assert not asked
    assert cli.main(["check", "--weather", "--json", str(home / "local.yaml")]) == 2
    assert asked == [("pipeline", True)]
    with pytest.raises(SystemExit):
        cli.main(["check", "--help"])
    assert "see whether it rains" in capsys.readouterr().out


@dataclass(frozen=True)
class Entry:
    """An entry point, as installed packages have them."""

    name: str
    load_: Any

    def load(self) -> Any:
        return self.load_


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "Give the path of a configuration, or --example NAME, and not both."),
        (["run", "x.yaml", "--example", "local"], "and not both."),
        (["run", "--example", "lokal"], "there is none 'lokal'; did you mean 'local'? There are: local."),
    ],
)
def test_what_is_to_be_run_is_said_once(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err
