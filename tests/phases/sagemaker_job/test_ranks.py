"""How many ranks a job has and how they are started, and what their end is to whoever started the container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from phases.sagemaker_job import container, ranks
from phases.sagemaker_job.environment import Hosts, Layout, write_input_config
from phases.sagemaker_job.ranks import Planned, planned

TWO = {"SM_HOSTS": '["algo-1", "algo-2"]', "SM_CURRENT_HOST": "algo-2", "TRAINING_JOB_NAME": "it"}


def test_a_rank_for_each_gpu_of_each_host() -> None:
    assert planned({}, {}).world == 1
    assert planned({"SM_HOSTS": '["algo-1"]', "SM_NUM_GPUS": "4"}, {}).world == 4
    found = planned({**TWO, "SM_NUM_GPUS": "8"}, {})
    assert (found.world, found.host) == (16, 1)
    assert planned({**TWO, "SM_NUM_GPUS": "8"}, {"ranks_per_host": "2"}).each == 2
    assert planned({**TWO, "FSM_HOST": "0"}, {}).host == 0, (
        "by the launcher's word, where the files are shared"
    )


def test_all_meet_on_the_first_host_and_are_found_by_their_names() -> None:
    words = planned(TWO, {}).command("module", {})
    assert words[words.index("--rdzv-endpoint") + 1] == f"algo-1:{ranks.PORT}"
    assert words[words.index("--rdzv-conf") + 1] == "is_host=0"
    assert words[words.index("--local-addr") + 1] == "algo-2"
    elsewhere = planned(TWO, {}).command("module", {"FSM_RENDEZVOUS": "node7:29500"})
    assert elsewhere[elsewhere.index("--rdzv-endpoint") + 1] == "node7:29500"
    assert "--local-addr" not in elsewhere
    alone = Planned(Hosts(), 4, "it").command("module", {})
    assert alone[alone.index("--rdzv-endpoint") + 1] == "127.0.0.1:0", "nobody else is to find it"


RANK = """
import os, pathlib, signal, sys, time
place = pathlib.Path(os.environ["FSM_OPT_ML"])
number = os.environ["LOCAL_RANK"]
if (place / "long").exists():
    signal.signal(signal.SIGTERM, lambda *_: ((place / f"stopped-{number}").touch(), sys.exit(0)))
    (place / f"up-{number}").touch()
    time.sleep(60)
attempt = place / f"attempt-{number}"
if number == "1" and not attempt.exists():
    attempt.touch()
    os.kill(os.getpid(), signal.SIGKILL)
if number == "0":
    (place / "ended").write_text("3")
"""


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """A container of two ranks that are a script."""
    layout = Layout(tmp_path / "ml")
    layout.make()
    write_input_config(layout, [], {"ranks_per_host": "2"})
    (tmp_path / "rank.py").write_text(RANK)
    monkeypatch.setenv("FSM_OPT_ML", str(layout.root))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[3]}")
    monkeypatch.delenv("SM_TRAINING_ENV", raising=False)
    with patch.dict(os.environ):  # to which a container adds its own
        yield layout


CONTAINER = "from phases.sagemaker_job import container; import sys; container.RANK = 'rank'; sys.exit(container.main())"


def test_ranks_are_started_again_when_one_dies_and_the_exit_code_is_the_runs(layout: Layout) -> None:
    done = subprocess.run([sys.executable, "-c", CONTAINER], capture_output=True, text=True, check=False)
    assert (layout.root / "attempt-1").exists(), "one was killed"
    assert done.returncode == 3, done.stderr


def test_sigterm_reaches_every_rank_and_not_torchrun_which_would_kill_them_after_thirty_seconds(
    layout: Layout,
) -> None:
    (layout.root / "long").touch()
    child = subprocess.Popen([sys.executable, "-c", CONTAINER], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(layout.root.glob("up-*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 0
    assert len(list(layout.root.glob("stopped-*"))) == 2


def test_ranks_that_keep_dying_are_the_jobs_failure(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "start", lambda *_: 1)
    assert container.main() == 1
    assert "all ranks were started again, 3 times" in layout.failure.read_text()
    assert json.loads((layout.input_config / "hyperparameters.json").read_text()) == {"ranks_per_host": "2"}
