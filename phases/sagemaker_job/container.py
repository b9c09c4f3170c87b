"""What runs in the container: the machine named by the hyperparameters, as a run with a journal of its own.

The service starts it as its container's only process, so its SIGTERM comes here. It takes the run over by a claim, and
hands it back by ending: what stopped is resumable by whoever comes next. On success it exits with 0, on failure it leaves
the reason in output/failure, of which the service keeps the first 1,024 characters.

A job of several hosts or GPUs has a rank for each (`phases.sagemaker_job.ranks`). This process then starts those of its host,
and the first rank of all is the one that runs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from phases.sagemaker_job import ranks
from phases.sagemaker_job.config import METRICS
from phases.sagemaker_job.curves import Curves
from phases.sagemaker_job.environment import Layout, of_container

RANK = "phases.qlora_training.rank"
"""The program of every rank. By name, for it stands in a room above: it is training that ranks do together."""


def main() -> int:
    """Run, or start the ranks that do; returns the exit code of the run, and 0 on hosts that have no part in it."""
    layout = _layout()
    if "SM_TRAINING_ENV" not in os.environ:  # no toolkit was before us
        name, region = os.environ.get("TRAINING_JOB_NAME", ""), os.environ.get("AWS_REGION", "")
        os.environ.update(of_container(layout, name, region))
    plan = ranks.planned(os.environ, _words(layout))
    if plan.world == 1:
        return run()
    ended = layout.root / _ENDED
    ended.unlink(missing_ok=True)
    code = ranks.start(plan, RANK, Path.cwd())
    if code == 0:
        return int(ended.read_text()) if ended.is_file() else 0
    if not layout.failure.is_file():
        layout.output.mkdir(parents=True, exist_ok=True)
        layout.failure.write_text(
            f"A rank of host {plan.hosts.current} died, and so all ranks were started again, {ranks.RESTARTS} times; what it "
            "said last stands in the log of that host. The checkpoints are kept, and the next job goes on from them."
        )
    return code


def led() -> int:
    """What the first rank of several does: run, and leave the exit code to the process that started it.

    A run that has failed or stopped is not one that died: its ranks are not to be started again.
    """
    code = run()
    (_layout().root / _ENDED).write_text(str(code))
    return 0


_ENDED = "ended"


def _layout() -> Layout:
    return Layout(Path(os.environ.get("FSM_OPT_ML", "/opt/ml")))


def _words(layout: Layout) -> dict[str, str]:
    words: dict[str, str] = json.loads((layout.input_config / "hyperparameters.json").read_text("utf-8"))
    return words


def run() -> int:
    """Run; returns the exit code of the run."""
    layout = _layout()
    words = _words(layout)
    config = layout.input_data / "config" / "pipeline.yaml"
    from fsm import run

    arguments = [str(config), "--machine", words["machine"], "--run", words["run"], "--store", words["store"]]
    arguments.append("--no-notify")  # the run that follows this one tells how it went
    arguments.append("--takeover")  # an instance that was taken back may have been seen alive a moment ago
    with _curves(layout, config) as curve, contextlib.redirect_stderr(_Kept(sys.stderr, curve)) as kept:
        code = run.main([*arguments, "--seed", words["seed"], "--log", "json"])
    if code != 0:
        layout.output.mkdir(parents=True, exist_ok=True)
        layout.failure.write_text(kept.paragraph or f"run {words['run']} ended with exit code {code}")
    return code


@contextlib.contextmanager
def _curves(layout: Layout, config: Path) -> Iterator[Callable[[str], None]]:
    """What keeps a line's numbers for TensorBoard, where the configuration wants that."""
    from fsm.config import read_values
    from fsm.speech import say

    job = read_values(config.read_text("utf-8"), str(config)).get("sagemaker_job") or {}
    if not job.get("tensorboard"):
        yield lambda line: None
        return
    try:
        curves = Curves(layout.output / "tensorboard", job.get("metrics", METRICS))
    except ModuleNotFoundError as e:
        say(f"there will be no curves for TensorBoard: the package {e.name} is not installed")
        yield lambda line: None
        return
    with curves:
        yield curves.line


class _Kept(io.TextIOBase):
    """Passes text on, each line to `told` too, and keeps the last paragraph that was said for a person."""

    def __init__(self, stream: TextIO, told: Callable[[str], None]) -> None:
        self.stream = stream
        self.told = told
        self.paragraph = ""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self.told(line)
            if line.startswith("fsm: "):
                self.paragraph = line.removeprefix("fsm: ")
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


if __name__ == "__main__":
    sys.exit(main())
