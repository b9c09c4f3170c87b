"""What runs in the container: the machine named by the hyperparameters, as a run with a journal of its own.

The service starts it as its container's only process, so its SIGTERM comes here. It takes the run over by a claim, and
hands it back by ending: what stopped is resumable by whoever comes next. On success it exits with 0, on failure it leaves
the reason in output/failure, of which the service keeps the first 1,024 characters.
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

from phases.sagemaker_job.config import METRICS
from phases.sagemaker_job.curves import Curves
from phases.sagemaker_job.environment import Layout, of_container


def main() -> int:
    """Run; returns the exit code of the run."""
    layout = Layout(Path(os.environ.get("FSM_OPT_ML", "/opt/ml")))
    if "SM_TRAINING_ENV" not in os.environ:  # no toolkit was before us
        name, region = os.environ.get("TRAINING_JOB_NAME", ""), os.environ.get("AWS_REGION", "")
        os.environ.update(of_container(layout, name, region))
    words: dict[str, str] = json.loads((layout.input_config / "hyperparameters.json").read_text("utf-8"))
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
