"""Jobs through any launcher: slurm, Kubernetes, Ray, by four commands of the configuration, over a directory that both see.

    <directory>/<name>/opt/ml/...    what a SageMaker container finds: code, channels, configuration
    <directory>/<name>/start         starts the container's program; what the launcher is given to run, on every host
    <directory>/<name>/host-N/...    of several hosts, the own place of each that is not the first
    <directory>/<name>/job.json      what was told of the job so far

The launcher knows a job by its name, which is derived from run, place and visit: before one is created it is asked for, so
a second attempt finds the first one's.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any

from fsm.faults import Clock, Patient, Tells, silent
from phases.errors import NotRented
from phases.sagemaker_job import source
from phases.sagemaker_job.config import Commands, SageMakerJobConfig
from phases.sagemaker_job.environment import Hosts, Layout, write_input_config
from phases.sagemaker_job.job import COMPLETED, FAILED, IN_PROGRESS, STOPPED, Job, JobRefused, JobSpec
from phases.sagemaker_job.local import pack
from phases.sagemaker_job.ranks import HOST, PORT, RENDEZVOUS
from phases.sagemaker_job.request import ARGUMENTS

SECONDS = 60.0  # that one of the four commands may take


class CommandFailed(Exception):
    """One of the four commands ended with another exit code than 0; it may do better later."""


class CommandProvider:
    """Runs jobs by commands."""

    def __init__(self, config: SageMakerJobConfig, clock: Clock = time, tells: Tells = silent) -> None:
        assert config.command is not None
        self.config = config
        self.pause = config.poll_seconds
        self.commands: Commands = config.command
        self.directory = Path(self.commands.directory).absolute()
        self._ask = Patient(
            "the job's launcher",
            config.patience_seconds,
            clock,
            passing=lambda error: isinstance(error, CommandFailed),
            tells=tells,
        )

    def create(self, spec: JobSpec) -> str:
        """Create the job, or adopt it. One of that name which failed stays, and the next number is taken."""
        name, found = self._newest(spec.name)
        if found is None:
            self._prepare(spec, name)
        if self._word(name) is None:
            self._call("create", self.commands.create, name)
        return name

    def _newest(self, first: str) -> tuple[str, dict[str, Any] | None]:
        """The first of a job's names whose job has not failed, and what there is under it."""
        name, number = first, 1
        while (found := self._told(name)) is not None and found["status"] in (FAILED, STOPPED):
            number += 1
            name = f"{first}-{number}"
        return name, found

    def under_way(self, name: str) -> str | None:
        job, found = self._newest(name)
        return job if found is not None and found["status"] == IN_PROGRESS else None

    def _prepare(self, spec: JobSpec, name: str) -> None:
        layout = Layout(self.directory / name / "opt" / "ml")
        layout.make()
        code = layout.input_data / "code"
        code.mkdir(exist_ok=True)
        (code / "code.tar.gz").write_bytes(source.pack(spec.code).content)
        for channel, files in spec.channels.items():
            (layout.input_data / channel).mkdir(exist_ok=True)
            for file, path in files.items():
                if not path.is_file():
                    raise JobRefused(f"Channel {channel}: {path} (for {file}) is not a file.")
                shutil.copyfile(path, layout.input_data / channel / file)
        hosts = tuple(f"host-{n}" for n in range(self.config.instance_count))
        write_input_config(layout, ["code", *spec.channels], spec.hyperparameters, Hosts(hosts[0], hosts))
        checkpoints = self.directory / spec.name / "opt" / "ml" / "checkpoints"
        if checkpoints != layout.checkpoints:  # an earlier attempt's: of the work, not of the attempt at it
            shutil.rmtree(layout.checkpoints)
            layout.checkpoints.symlink_to(checkpoints)
        words = {
            "FSM_OPT_ML": str(layout.root),
            "TRAINING_JOB_NAME": name,
            "AWS_REGION": self.config.region,
        }
        lines = [f"export {k}={shlex.quote(v)}" for k, v in (words | dict(spec.environment)).items()]
        if self.config.instance_count > 1:
            lines += self._several(name)
        start = self.directory / name / "start"
        start.write_text("\n".join(["#!/bin/bash", *lines, *ARGUMENTS, ""]))
        start.chmod(0o700)  # its variables may be secrets
        self._keep(name, {"status": IN_PROGRESS, "history": [], "checkpoints": str(checkpoints)})

    def _several(self, name: str) -> list[str]:
        """How {start}, which the launcher runs on every host, finds which one it is on, and where all of them meet.

        A host that is not the first has its own directory, for it unpacks the code too, and writes nothing that is kept.
        """
        port = PORT + zlib.crc32(name.encode()) % 1000  # jobs of one machine do not meet one another's
        here = shlex.quote(str(self.directory / name))
        return [
            f"export {HOST}={self.commands.host}",
            f"export {RENDEZVOUS}={self.commands.first}:{port}",
            f'if [ "${HOST}" != 0 ]; then',
            f'  export FSM_OPT_ML={here}/host-"${HOST}"/opt/ml',
            '  rm -rf "$FSM_OPT_ML" && mkdir -p "$FSM_OPT_ML"/{code,model,output/data,checkpoints}',
            f'  ln -s {here}/opt/ml/input "$FSM_OPT_ML"/input',
            "fi",
        ]

    def describe(self, name: str) -> Job:
        """What the launcher says of it, and what was said before. Raises NotRented where it does not know the job."""
        job = self._told(name)
        if job is None:
            raise NotRented(
                f"There is no job {name} below {self.directory}: see to sagemaker_job.command.directory"
            )
        if job["status"] == IN_PROGRESS:
            word = self._word(name)
            if word is None:
                raise NotRented(
                    f"The launcher does not know the job {name} any more; it was created through it"
                )
            self._take(name, job, word)
        layout = Layout(self.directory / name / "opt" / "ml")
        failure = ""
        if job["status"] == FAILED:
            said = layout.failure.read_text("utf-8", "replace").strip() if layout.failure.is_file() else ""
            failure = f"AlgorithmError: {said or 'the container left no reason; see its log'}"
        return Job(
            name,
            job["status"],
            tuple((s, "") for s in job["history"]),
            failure,
            job.get("model", ""),
            job["checkpoints"],
        )

    def _take(self, name: str, job: dict[str, Any], word: str) -> None:
        """Take down what the launcher has said, if it is news."""
        status = self.commands.statuses.get(word)
        if status is None:
            raise JobRefused(
                f"The launcher says {word!r} of the job {name}, which sagemaker_job.command.statuses does not have: add it."
            )
        if job["history"][-1:] == [status]:
            return
        if status == COMPLETED:
            output = Path(self.config.output).absolute() / name
            output.mkdir(parents=True, exist_ok=True)
            pack(self.directory / name / "opt" / "ml" / "model", output / "model.tar.gz")
            job["model"] = f"{self.config.output.rstrip('/')}/{name}/model.tar.gz"
        job["history"].append(status)
        job["status"] = status if status in (COMPLETED, FAILED, STOPPED) else IN_PROGRESS
        self._keep(name, job)

    def stop(self, name: str) -> None:
        self._call("stop", self.commands.stop, name)

    def log(self, name: str, lines: int) -> list[str]:
        return self._call("logs", self.commands.logs, name).splitlines()[-lines:]

    def interrupted(self, name: str) -> None:
        """The job goes on without its follower; stopping it is a decision of its own."""

    def _word(self, name: str) -> str | None:
        """The word that the launcher has for the job's state; None where it knows no such job."""
        said = self._call("describe", self.commands.describe, name).split()
        return said[0] if said else None

    def _call(self, which: str, command: tuple[str, ...], name: str) -> str:
        home = self.directory / name
        filled = {"name": name, "home": home, "start": home / "start", "hosts": self.config.instance_count}
        words = [word.format(**filled) for word in command]

        def call() -> str:
            try:
                done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
            except (OSError, subprocess.TimeoutExpired) as e:
                raise CommandFailed(f"sagemaker_job.command.{which}: {e}") from e
            if done.returncode:
                said = done.stderr.strip()[-300:]
                raise CommandFailed(
                    f"sagemaker_job.command.{which} ended with exit code {done.returncode}: {said}"
                )
            return done.stdout

        return self._ask(call)

    def _told(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.directory / name / "job.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found

    def _keep(self, name: str, job: dict[str, Any]) -> None:
        part = self.directory / name / ".job.json"
        part.write_text(json.dumps(job, indent=1))
        part.replace(self.directory / name / "job.json")
