"""Jobs through a launcher of one's own: a script that stands for slurm, four commands, and the container's own program."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from fsm.testing import Clock
from phases.errors import NotRented
from phases.sagemaker_job import command
from phases.sagemaker_job.command import CommandFailed, CommandProvider
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import JobRefused, JobSpec
from tests.phases.sagemaker_job.waiting import finished

SCHEDULER = """#!/bin/bash
# What a scheduler does, by files: submit, state, cancel, print.
cd "$(dirname "$0")" || exit 9
case $1 in
submit) echo "$2" >> submitted
  ( trap 'kill $child; wait $child; echo CANCELLED > "$2.state"; exit' TERM
    echo RUNNING > "$2.state"; "$3" > "$2.log" 2>&1 & child=$!; wait $child
    if [ $? = 0 ]; then echo COMPLETED; else echo FAILED; fi > "$2.state" ) > /dev/null 2>&1 & echo $! > "$2.pid" ;;
state) [ -e down ] && exit 1; cat "$2.state" 2>/dev/null || [ ! -e "$2.pid" ] || echo PENDING ;;
cancel) kill "$(cat "$2.pid")" ;;
print) cat "$2.log" ;;
esac
"""


@pytest.fixture
def config(tmp_path: Path) -> SageMakerJobConfig:
    script = tmp_path / "scheduler" / "queue"
    script.parent.mkdir()
    script.write_text(SCHEDULER)
    script.chmod(0o700)
    return SageMakerJobConfig.model_validate(
        {
            "provider": "command",
            "output": str(tmp_path / "out"),
            "patience_seconds": 60,
            "command": {
                "directory": str(tmp_path / "shared"),
                "create": [str(script), "submit", "{name}", "{start}"],
                "describe": [str(script), "state", "{name}"],
                "stop": [str(script), "cancel", "{name}"],
                "logs": [str(script), "print", "{name}"],
            },
        }
    )


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobSpec:
    """A job that prepares four files of C."""
    source = tmp_path / "source" / "tsn_data"
    source.mkdir(parents=True)
    for n in range(4):
        (source / f"gate{n}.c").write_text(
            f"static int gate{n}_is_open(int gate, int now) {{\n    return (now >> gate) & 1;\n}}\n"
        )
    file = tmp_path / "pipeline.yaml"
    file.write_text(f"machine: data_preparation\ndata_preparation: {{source: {tmp_path / 'source'}}}\n")
    # the Python that the launcher's machine would have
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    words = {"machine": "data_preparation", "run": "inner", "store": str(tmp_path / "store's"), "seed": "7"}
    return JobSpec("job-1", {"config": {"pipeline.yaml": file}}, words, {"WORD": "it's"})


def test_a_job_runs_through_it_and_its_model_is_packed(
    config: SageMakerJobConfig, spec: JobSpec, tmp_path: Path
) -> None:
    provider = CommandProvider(config)
    assert provider.create(spec) == provider.create(spec) == "job-1"
    assert (tmp_path / "scheduler" / "submitted").read_text() == "job-1\n", (
        "the second attempt found the first's"
    )
    job = finished(provider, "job-1", 120)
    assert (job.status, job.history[-1][0]) == ("Completed", "Completed"), provider.log("job-1", 50)
    assert Path(job.model).is_file()
    records = (tmp_path / "store's" / "runs" / "inner" / "journal.jsonl").read_text().splitlines()
    assert json.loads(records[-1])["end"]["outcome"] == "done"
    assert provider.log("job-1", 1) != []


def test_a_job_that_fails_says_why_and_the_next_one_goes_on_from_its_checkpoints(
    config: SageMakerJobConfig, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ARGUMENTS", ('echo "no rows" > "$FSM_OPT_ML/output/failure"; exit 3',))
    provider = CommandProvider(config)
    job = finished(provider, provider.create(spec), 120)
    assert (job.status, job.failure) == ("Failed", "AlgorithmError: no rows")
    again = provider.create(spec)
    assert again == "job-1-2"
    assert finished(provider, again, 120).checkpoints == job.checkpoints


def test_a_job_that_is_stopped_is_told_so(
    config: SageMakerJobConfig, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ARGUMENTS", ("exec sleep 60",))
    provider = CommandProvider(config)
    name = provider.create(spec)
    deadline = time.monotonic() + 20
    while provider.describe(name).history[-1:] != (("Training", ""),):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    provider.stop(name)
    assert finished(provider, name, 120).status == "Stopped"


def test_a_launcher_that_is_down_is_asked_again_and_one_that_knows_nothing_is_told(
    config: SageMakerJobConfig, spec: JobSpec, tmp_path: Path
) -> None:
    clock = Clock()
    provider = CommandProvider(config, clock)
    down = tmp_path / "scheduler" / "down"
    down.touch()
    told: list[Exception] = []

    def tells(error: Exception, seconds: float) -> None:
        told.append(error)
        down.unlink(missing_ok=True)

    provider._ask.tells = tells
    assert provider._word("job-1") is None
    assert isinstance(told[0], CommandFailed)
    with pytest.raises(NotRented, match="There is no job elsewhere"):
        provider.describe("elsewhere")
    (tmp_path / "scheduler" / "job-1.state").write_text("SUSPENDED\n")
    assert provider.create(spec) == "job-1", "it is there"
    with pytest.raises(JobRefused, match="'SUSPENDED' of the job job-1"):
        provider.describe("job-1")


SEVERAL = """#!/bin/bash
# What a scheduler does with a job of several hosts: starts it on each, with a number.
cd "$(dirname "$0")" || exit 9
for host in $(seq 0 $(($3 - 1))); do NODE=$host "$2" > "$host.log" 2>&1 & done
for host in $(seq 0 $(($3 - 1))); do wait -n || { kill $(jobs -p); exit 1; }; done
"""


def test_a_job_of_several_hosts_is_told_on_each_which_it_is_and_where_all_meet(
    config: SageMakerJobConfig, spec: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has its code, its model and its checkpoints on each in a place of its own, but the first's alone are kept."""
    script = (
        'cp "$FSM_OPT_ML"/input/config/resourceconfig.json "$FSM_OPT_ML"/model/; '
        'echo "$FSM_HOST $FSM_RENDEZVOUS" > "$FSM_OPT_ML"/model/where'
    )
    monkeypatch.setattr(command, "ARGUMENTS", (script,))
    launcher = tmp_path / "scheduler" / "several"
    launcher.write_text(SEVERAL)
    launcher.chmod(0o700)
    queue = config.model_dump()["command"]
    queue |= {
        "create": (str(launcher), "{name}", "{start}", "{hosts}"),
        "host": "$NODE",
        "first": "$(echo first)",
    }
    provider = CommandProvider(
        SageMakerJobConfig.model_validate(config.model_dump() | {"command": queue, "instance_count": 2})
    )
    home = tmp_path / "shared" / provider.create(spec)
    where = [
        (home / place / "opt" / "ml" / "model" / "where").read_text().split() for place in ("", "host-1")
    ]
    assert [number for number, _ in where] == ["0", "1"]
    assert where[0][1] == where[1][1]
    assert where[0][1].startswith("first:")
    told = json.loads((home / "host-1/opt/ml/model/resourceconfig.json").read_text())
    assert told["hosts"] == ["host-0", "host-1"]
    assert not (home / "host-1/opt/ml/checkpoints").is_symlink()
