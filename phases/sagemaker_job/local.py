"""Jobs on this machine: a child process that gets exactly what a SageMaker container gets.

A supervisor process of its own stands for the service. It outlives whoever follows the job, fetches the channels,
runs the container's program, packs the model and writes what DescribeTrainingJob would tell into `job.json`. It holds
the lock on `job.lock` while it lives: a job in progress whose lock is free was killed with the machine, and is started
again as managed spot training would, in the same directory, with its checkpoints.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from fsm.store import held as holding_scratch
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.environment import Layout, variables, write_input_config
from phases.sagemaker_job.job import COMPLETED, FAILED, IN_PROGRESS, STOPPED, Job, JobRefused, JobSpec
from phases.sagemaker_job.kept import die_with, keep, read

FAILURE_LENGTH = 1024  # characters of FailureReason, as the service keeps
MOST_KILLS = 20  # after which a job that is killed from outside, as by want of memory, is not started again
RESTART_SECONDS = 10.0  # how long a supervisor may take to take its lock


class LocalProvider:
    """Runs jobs below a directory, one subdirectory a job."""

    def __init__(self, directory: Path, config: SageMakerJobConfig) -> None:
        self.directory = directory.absolute()
        self.config = config
        self.pause = config.poll_seconds

    def create(self, spec: JobSpec) -> str:
        """Start the job, or adopt it. One of that name which failed stays as it is, and the next number is taken."""
        name, number, found = self._newest(spec.name)
        home = self.directory / name
        if found:
            self._supervise(home)
            return name
        for channel, files in spec.channels.items():
            for file, path in files.items():
                if not path.is_file():
                    raise JobRefused(f"Channel {channel}: {path} (for {file}) is not a file.")
        home.mkdir(parents=True, exist_ok=True)
        previous = self.directory / (spec.name if number == 2 else f"{spec.name}-{number - 1}")
        job = {
            "name": name,
            "status": IN_PROGRESS,
            "history": [["Pending", "Waiting for the machine"]],
            "failure": "",
            "model": "",
            "channels": {
                c: {f: str(p.absolute()) for f, p in files.items()} for c, files in spec.channels.items()
            },
            "hyperparameters": dict(spec.hyperparameters),
            "environment": dict(spec.environment),
            "output": f"{self.config.output.rstrip('/')}/{name}",  # as it is configured: it goes into the journal
            # checkpoints belong to the work, not to the attempt at it
            "checkpoints": str(
                (read(previous) or {}).get("checkpoints") or home / "opt" / "ml" / "checkpoints"
            ),
            "grace": self.config.grace_seconds,
            "max_runtime": self.config.max_runtime_seconds,
            "region": self.config.region,
        }
        keep(home, job)
        self._supervise(home)
        return name

    def _newest(self, first: str) -> tuple[str, int, dict[str, Any] | None]:
        """The first of a job's names whose job has not failed, its number, and what there is under it."""
        name, number = first, 1
        while (found := read(self.directory / name)) and found["status"] in (FAILED, STOPPED):
            number += 1
            name = f"{first}-{number}"
        return name, number, found

    def under_way(self, name: str) -> str | None:
        job, _, found = self._newest(name)
        return job if found and found["status"] == IN_PROGRESS else None

    def describe(self, name: str) -> Job:
        home = self.directory / name
        job = read(home)
        if job is None:
            raise FileNotFoundError(f"There is no job {name} below {self.directory}.")
        self._supervise(home)
        return Job(
            name,
            job["status"],
            tuple((s, m) for s, m in job["history"]),
            job["failure"],
            job["model"],
            job["checkpoints"],
        )

    def stop(self, name: str) -> None:
        (self.directory / name / "stop").touch()
        self._terminate(self.directory / name)

    def log(self, name: str, lines: int) -> list[str]:
        try:
            text = (self.directory / name / "container.log").read_text("utf-8", "replace")
        except OSError:
            return []
        return text.splitlines()[-lines:]

    def interrupted(self, name: str) -> None:
        """Have the supervisor end with its follower; the job stays in progress and is started again by the next one."""
        home = self.directory / name
        self._terminate(home)
        deadline = time.monotonic() + self.config.grace_seconds + RESTART_SECONDS
        while _locked(home) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _supervise(self, home: Path) -> None:
        """Have a supervisor at the job, if it is in progress and has none."""
        job = read(home)
        if job is None or job["status"] != IN_PROGRESS or _locked(home):
            return
        with (home / "supervisor.log").open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", "phases.sagemaker_job.local", str(home)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the follower's terminal is the follower's to pass on
                env=os.environ | {"PYTHONPATH": _python_path()},
            )
        deadline = time.monotonic() + RESTART_SECONDS
        while not _locked(home) and time.monotonic() < deadline:
            current = read(home)
            if current and current["status"] != IN_PROGRESS:
                return
            time.sleep(0.02)

    def _terminate(self, home: Path) -> None:
        with suppress(OSError, ValueError):
            pid = int((home / "job.lock").read_text())
            if _locked(home):
                os.kill(pid, signal.SIGTERM)


class Supervisor:
    """Takes one job to its end."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.layout = Layout(home / "opt" / "ml")
        job = read(home)
        assert job is not None, home
        self.job = job
        self.child: subprocess.Popen[bytes] | None = None
        self.stopping = False

    def run(self) -> None:
        """Go on from the last status told."""
        signal.signal(signal.SIGTERM, self._on_stop)
        try:
            last = self.job["history"][-1][0]
            if last in ("Pending", "Starting"):
                self._say("Starting", "Preparing the directories")
                self.layout.make()
                self._say("Downloading", "Downloading the channels")
            if self.job["history"][-1][0] == "Downloading":
                self._download()
                self._say("Training", "The container is running")
            if self.job["history"][-1][0] == "Training":
                self._train()
            if self.job["history"][-1][0] == "Uploading":
                self._upload()
        except OSError as e:
            self._end(FAILED, f"InternalServerError: {e}")

    def _download(self) -> None:
        for channel, files in sorted(self.job["channels"].items()):
            directory = self.layout.input_data / channel
            directory.mkdir(parents=True, exist_ok=True)
            for file, path in sorted(files.items()):
                shutil.copyfile(path, directory / file)
        write_input_config(self.layout, list(self.job["channels"]), self.job["hyperparameters"])
        checkpoints = Path(self.job["checkpoints"])
        if checkpoints != self.layout.checkpoints:  # an earlier attempt's, as SageMaker syncs them from S3
            checkpoints.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.layout.checkpoints, ignore_errors=True)
            self.layout.checkpoints.symlink_to(checkpoints)

    def _train(self) -> None:
        if (self.home / "stop").exists():
            self._stopped()
            return
        hyperparameters = self.job["hyperparameters"]
        environment = (
            os.environ
            | self.job["environment"]
            | variables(
                self.layout, self.job["name"], list(self.job["channels"]), hyperparameters, self.job["region"]
            )
            | {"FSM_OPT_ML": str(self.layout.root), "PYTHONPATH": _python_path()}
        )
        self.layout.failure.unlink(missing_ok=True)
        with (self.home / "container.log").open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "phases.sagemaker_job.container"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid()),
                env=environment,
            )
            try:
                code = self.child.wait(timeout=self.job["max_runtime"])
            except subprocess.TimeoutExpired:
                self._end_child()
                self._end(FAILED, "MaxRuntimeExceeded: the job ran longer than max_runtime_seconds")
                return
        if self.stopping:
            if (self.home / "stop").exists():
                self._stopped()
            return  # suspended: in progress still, to be taken up by the next supervisor
        if code < 0:  # killed from outside, as the machine's loss would: likewise
            self.job["kills"] = self.job.get("kills", 0) + 1
            if self.job["kills"] < MOST_KILLS:
                keep(self.home, self.job)
            else:
                self._end(
                    FAILED,
                    f"ClientError: the container was killed {MOST_KILLS} times, the last by signal {-code}",
                )
        elif code == 0:
            self._say("Uploading", "Packing the model")
        else:
            self._end(FAILED, self._failure(code))

    def _failure(self, code: int) -> str:
        with suppress(OSError):
            if text := self.layout.failure.read_text("utf-8", "replace").strip():
                return f"AlgorithmError: {text[: FAILURE_LENGTH - 80]} (exit code {code})"
        return f"AlgorithmError: the container ended with exit code {code}; its log is {self.home / 'container.log'}"

    def _upload(self) -> None:
        output = Path(self.job["output"])
        output.mkdir(parents=True, exist_ok=True)
        model = output / "model.tar.gz"
        pack(self.layout.model, model)
        self.job["model"] = str(model)
        self._end(COMPLETED, "")

    def _stopped(self) -> None:
        self._say("Stopping", "Stopped at the user's request")
        self._end(STOPPED, "")

    def _on_stop(self, number: int, frame: Any) -> None:
        self.stopping = True
        self._end_child(wait=False)

    def _end_child(self, wait: bool = True) -> None:
        if self.child is None or self.child.poll() is not None:
            return
        os.killpg(self.child.pid, signal.SIGTERM)
        if not wait:  # in the signal handler: the wait that it interrupted goes on, bounded from here
            signal.signal(signal.SIGALRM, lambda *_: self._kill_child())
            signal.setitimer(signal.ITIMER_REAL, max(self.job["grace"], 0.01))
            return
        try:
            self.child.wait(timeout=self.job["grace"])
        except subprocess.TimeoutExpired:
            self._kill_child()
            self.child.wait()

    def _kill_child(self) -> None:
        if self.child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)

    def _say(self, status: str, message: str) -> None:
        if self.job["history"][-1][0] != status:
            self.job["history"].append([status, message])
        keep(self.home, self.job)

    def _end(self, status: str, failure: str) -> None:
        self.job["status"] = status
        self.job["failure"] = failure
        self.job["history"].append([status, failure])
        keep(self.home, self.job)


def pack(directory: Path, target: Path) -> None:
    """A .tar.gz of a directory that depends on the files' names and contents alone."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = 0
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    part = target.with_name(f".{target.name}")
    with part.open("wb") as raw:
        with (
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=1) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            for path in sorted(directory.rglob("*")):
                tar.add(path, arcname=str(path.relative_to(directory)), recursive=False, filter=plain)
        raw.flush()
        os.fsync(raw.fileno())
    part.replace(target)


def _python_path() -> str:
    here = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))


def _lock(home: Path) -> IO[str] | None:
    f = (home / "job.lock").open("a+")
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        f.close()
        return None
    return f


def _locked(home: Path) -> bool:
    held = _lock(home)
    if held is None:
        return True
    held.close()
    return False


def main(home: Path) -> int:
    """The supervisor's process."""
    held = _lock(home)
    if held is None:
        return 0  # another supervisor is at it
    with held, holding_scratch(home):  # which outlives the run that follows the job, and its name
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        Supervisor(home).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
