"""The README and docs/commands.md are true: each command works on the run that the README's first one makes, and its example runs."""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fsm import cli
from tests import readme
from tests.local_run import SECONDS, Place
from tests.pages import blocks

PROMPT = "Write a C function that tells whether a gate of the schedule is open."
WORDS = {
    "CONFIG": ["configs/local.yaml"],
    "RUN": ["local"],
    "DIAGRAM|RUN": ["pipeline", "diagrams/quality_scoring.mmd", "local"],
    "clean RUN": [
        "distillation-local-e231c2dc"
    ],  # its job's, so that the scratch of `local` stays: the job's log is in it
    "CONFIG|DRAWING": ["configs/local.yaml", "diagrams/pipeline.mmd"],
    "prove CONFIG": ["configs/local.yaml --machine data_preparation --sample 2"],
    "new NAME": ["first"],
    "X": [PROMPT],
    "parse FILE...": ["diagrams/pipeline.mmd diagrams/data_flow.mmd"],
    "score FILE...": ["configs/corpus/tsn_data/gate.c configs/corpus/avb_data/srp.c"],
}
"""What the README's words in capitals stand for; by the command before them where that decides."""
NOTHING_TO_SAY = {"check", "resume-due"}  # where there is nothing to complain of, and nothing due
ALONE = "fsm run configs/local.yaml --machine "
ENDLESS = [
    command for command in readme.shown() if command.startswith("fsm watch") and "--terminal" not in command
]
"""They serve a page until they are interrupted: tests/fsm/view/web looks at it. What options they show is looked at here."""
COMMANDS = [c for c in readme.shown() if not c.startswith(ALONE) and c not in ENDLESS]
PHASES = {
    command.removeprefix(ALONE).split()[0]: command for command in readme.shown() if command.startswith(ALONE)
}

LOOKING = [
    line.partition("  #")[0].strip()
    for block in blocks(readme.ROOT / "docs" / "live.md")
    if block.language == "sh"
    for line in block.text.splitlines()
    if line.startswith(("fsm render local", "fsm render diagrams"))
]


def given(command: str) -> Iterator[list[str]]:
    """A command of the README with words for its words in capitals, without its optional ones."""
    words = shlex.split(readme.OPTIONAL.sub("", command).replace("...", "... "))
    choices: list[list[str]] = [[]]
    for place, word in enumerate(words):
        if word.startswith("FILE.") and word != "FILE...":
            found = [f"shown{word.removeprefix('FILE')}"]
        else:
            found = WORDS.get(f"{words[place - 1]} {word}") or WORDS.get(word) or [word]
            assert found != [word] or not word.isupper(), f"the README's {command}: what is {word}?"
        if "-o" in words and word == "DIAGRAM|RUN":
            found = [
                "local"
            ]  # a drawing takes seconds; which of the two it is of makes no difference to the file
        split = word in WORDS or word.endswith("...")
        choices = [
            [*so_far, *(one.split() if split and word != "X" else [one])]
            for so_far in choices
            for one in found
        ]
    yield from choices


def works(local_run: Place, words: list[str]) -> str:
    """Give a command in the directory of the run; what it said. What it wrote there is looked at, and gone afterwards."""
    before = set(local_run.home.iterdir())
    done = local_run.give(*words)
    written = set(local_run.home.iterdir()) - before
    sizes = [path.stat().st_size for path in written]
    for path in written:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    assert (done.stdout + done.stderr).strip() or words[1] in NOTHING_TO_SAY, words
    if "-o" in words:
        assert [path.name for path in written] == [words[words.index("-o") + 1]]
        assert min(sizes) > 1000
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_works_on_the_run_of_the_first(local_run: Place, command: str) -> None:
    for words in given(command):
        works(local_run, words)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_it_in_json_too(local_run: Place, command: str) -> None:
    for words in given(command):
        told = [json.loads(line) for line in works(local_run, [*words, "--json"]).splitlines()]
        assert told or words[1] in NOTHING_TO_SAY, words
        assert all(isinstance(one, dict) and "error" not in one for one in told)


@pytest.mark.parametrize("command", [c for c, _ in readme.listed() if "[" in c])
def test_every_option_shown_is_one_of_the_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command.replace("[", " ").replace("]", " "))
    told = helped(words[1], capsys)
    assert [word for word in words if word.startswith("--") and word not in told] == []


@pytest.mark.parametrize("name", [c.removeprefix("fsm ") for c in readme.mentioned() if c.count(" ") == 1])
def test_every_command_mentioned_is_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"fsm {name}" in helped(name, capsys)


def helped(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the help of a command says."""
    with pytest.raises(SystemExit) as left:
        cli.main([command, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", LOOKING)
def test_every_picture_of_the_page_of_looking_is_made(local_run: Place, command: str) -> None:
    works(local_run, shlex.split(command))


# The phases alone


def test_every_phase_that_the_readme_runs_alone_is_looked_at_here() -> None:
    looked_at = {"validation", "data_preparation", "teacher_generation", "distillation", "qlora_training"}
    assert set(PHASES) == looked_at | {"sagemaker_job", "smoke"}


def alone(local_run: Place, machine: str) -> str:
    """Run a phase alone as the README writes it, to its end; the name of its run."""
    done = local_run.give(*shlex.split(PHASES[machine]), "--json", "--log", "none")
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = (json.loads(line) for line in done.stdout.splitlines())
    assert told["outcome"] == "done"
    audited = local_run.give("fsm", "audit", told["run"])
    assert audited.returncode == 0, audited.stdout
    return str(told["run"])


def same(local_run: Place, run: str, other: str) -> set[str]:
    """The names that both runs have put; that this one put the other's bytes under them is asserted."""
    ours, others = local_run.puts(run), local_run.puts(other)
    both = {name for name, _ in ours} & {name for name, _ in others}
    assert {(name, sha256) for name, sha256 in ours if name in both} <= others
    return both


def test_validation_alone_finds_what_the_whole_finds(local_run: Place) -> None:
    run = alone(local_run, "validation")
    walked = [r["from"] for r in local_run.records(run) if r["kind"] == "transition"]
    whole = [
        r["from"].removeprefix("Validation.") for r in local_run.records("local") if r["kind"] == "transition"
    ]
    assert walked == whole[: len(walked)]
    assert local_run.went(run) == {}


def test_data_preparation_alone_makes_as_much_of_the_same_files(local_run: Place) -> None:
    """Its templates are drawn by the place that it stands in, and alone it stands in another."""
    run = alone(local_run, "data_preparation")
    one, whole = local_run.artifacts(run), local_run.artifacts("local")
    raw = [name for name in one if name.startswith("data/raw/")]
    assert len(raw) == 7  # archive and listing of each domain, and the licences of their trees
    assert [one[name] for name in raw] == [whole[name] for name in raw]
    went = local_run.went(run)
    assert went == {a: n for a, n in local_run.went("local").items() if a in went}
    assert went[("SPLIT", "SPLITS")] == went[("SPLIT", "PROCESSED")] == 2


def test_the_teacher_alone_answers_as_many(local_run: Place) -> None:
    run = alone(local_run, "teacher_generation")
    calls, results = ("PARALLEL", "BEDROCK"), ("BEDROCK", "CHECKPOINT")
    went, corrections = local_run.went(run), local_run.went(local_run.job_of("local"))
    whole = local_run.went("local")
    assert went[calls] == went[results] == whole[calls] - corrections[calls] == 216
    assert "teacher/outputs.jsonl" in local_run.artifacts(run)


REPORT = "distillation/epoch-1/report.json"
OF_THE_FIRST = {REPORT, "distillation/train.jsonl", "distillation/epoch-1/adapter_model.safetensors"}


def until_the_first_report(local_run: Place, machine: str, there: Callable[[], Mapping[str, str]]) -> None:
    """Run a phase alone until its first report is `there`, and stop it by Ctrl-C: how it ends, the whole run shows."""
    process = local_run.start(*shlex.split(PHASES[machine]), "--log", "none", stderr=subprocess.PIPE)
    deadline = time.monotonic() + SECONDS
    while machine not in local_run.runs() or REPORT not in there():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 3, said


def test_a_distillation_after_the_run_comes_to_the_same_first_epoch(local_run: Place) -> None:
    until_the_first_report(local_run, "distillation", lambda: local_run.artifacts("distillation"))
    assert same(local_run, "distillation", local_run.job_of("local")) >= OF_THE_FIRST
    assert local_run.went("distillation")[("PROCESSED", "Container")] == 2


def test_a_training_after_the_run_learns_from_its_data(local_run: Place) -> None:
    run = alone(local_run, "qlora_training")
    loaded = [r for r in local_run.records(run) if r.get("from") == "Initialization.LoadDatasets"]
    prepared = local_run.artifacts("local")
    assert loaded[0]["reads"]["data/processed/train.jsonl"] == prepared["data/processed/train.jsonl"]
    assert local_run.went(run)[("Container", "TRAIN")] > 0


def test_a_job_after_the_run_is_given_its_data(local_run: Place) -> None:
    until_the_first_report(local_run, "sagemaker_job", lambda: _of_job(local_run))
    assert same(local_run, local_run.job_of("sagemaker_job"), local_run.job_of("local")) >= OF_THE_FIRST
    went = local_run.went("sagemaker_job")
    assert (went[("PROCESSED", "Container")], went[("CHECKPOINT", "Container")]) == (2, 1)


def _of_job(local_run: Place) -> dict[str, str]:
    launched = [r for r in local_run.records("sagemaker_job") if r["kind"] == "transition"]
    job = local_run.job_of("sagemaker_job") if launched else None
    return local_run.artifacts(job) if job in local_run.runs() else {}


def test_a_smoke_job_alone_runs_tests(local_run: Place) -> None:
    run = alone(local_run, "smoke")
    tests = [r["data"]["set"]["tests"] for r in local_run.records(run) if r.get("from") == "RunPytest"]
    assert tests[0]["exit"] == 0
    assert tests[0]["passed"] > 10


# The example


def test_the_example_is_a_pipeline_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands in the README, plugged in as the README says, under a drawing that has its states and labels."""
    (example,) = readme.blocks("python")
    package = tmp_path / "my"
    package.mkdir()
    (package / "coffee.py").write_text(example)
    (package / "machines.py").write_text('NAMES = {"coffee": "my.coffee:MACHINE"}\n')
    (package / "phases.py").write_text('NAMES = {"coffee": "my.coffee:PHASE"}\n')
    (tmp_path / "coffee.mmd").write_text(
        "stateDiagram-v2\n    [*] --> Grind\n    Grind --> Taste\n    Taste --> Grind : Too weak\n    Taste --> [*] : Good\n"
    )
    plug = "plug: {machines: my.machines, phases: my.phases}"
    assert f"{plug}`, `machine: coffee`" in readme.TEXT.replace("\n", " ")
    (tmp_path / "coffee.yaml").write_text(f"{plug}\nmachine: coffee\n")
    monkeypatch.setenv("PYTHONPATH", f"{readme.ROOT}:{tmp_path}")
    for words in (["check", "coffee.yaml"], ["run", "coffee.yaml", "--log", "none"]):
        command = [sys.executable, "-m", "fsm.cli", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    place = Place(tmp_path)
    walked = [r["from"] for r in place.records(place.runs()[0]) if r["kind"] == "transition"]
    assert walked == ["Grind", "Taste"] * 3  # 12 g and 2 more each time, until there are 18
    assert importlib.util.find_spec("my") is None
