"""The rented instances of one job, as local processes that find what a SageMaker container finds.

    <home>/<attempt>/<host>/opt/ml/...    each attempt on instances of its own: nothing is left of those taken back
    <home>/job.json                       the request, and all that DescribeTrainingJob tells

Each host's process is started by the request's own entrypoint, gets the channels from S3, has its checkpoints synced
there continuously, file by file, and is ended by SIGTERM and, after the grace, SIGKILL. What differs from AWS: it runs as
this user on this machine, /opt/ml is FSM_OPT_ML, and the image is whatever Python runs this. Sources: "Amazon SageMaker
training storage folders", "How Amazon SageMaker runs your training image", "Managed spot training".
"""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from phases.rehearsal.cloudwatch import Logs
from phases.rehearsal.process import HOST, free_port
from phases.sagemaker_job import curves
from phases.sagemaker_job.environment import Hosts, Layout, write_input_config
from phases.sagemaker_job.kept import die_with
from phases.sagemaker_job.ranks import RENDEZVOUS

FAILURE_LENGTH = 1024  # characters of output/failure that FailureReason keeps
PASSED_ON = (
    "PATH",
    "LANG",
    "TMPDIR",
    "FSM_CACHE",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "OMP_NUM_THREADS",
    "LD_LIBRARY_PATH",
)
"""Of this machine's environment: what stands for the image and for the role's credentials, with whatever is AWS_."""
IN_PROGRESS, COMPLETED, FAILED, STOPPING, STOPPED = "InProgress", "Completed", "Failed", "Stopping", "Stopped"


@dataclass
class Pace:
    """How long things take, in seconds; on AWS minutes, here as little as shows the order of things."""

    status: float = 0.05  # a status that nothing is done in
    sync: float = 0.2  # between two looks at the checkpoints
    grace: float = 120.0  # from SIGTERM to SIGKILL
    poll: float = 0.02


class Ended(Exception):
    """The job is over: its status, its last secondary status, and FailureReason."""

    def __init__(self, status: str, secondary: str, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.secondary, self.reason = status, secondary, reason


class Instances(threading.Thread):
    """Takes one job from Starting to its end. `told` is called whenever what the job tells has changed."""

    def __init__(
        self,
        home: Path,
        job: dict[str, Any],
        clients: Callable[[str], Any],
        pace: Pace,
        told: Callable[[], None],
        lacking: Callable[[str], bool],
        environment: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        super().__init__(name=job["TrainingJobName"], daemon=True)
        self.home, self.job, self.pace = home, job, pace
        self._clients, self._told, self._lacking = clients, told, lacking
        self._environment = environment
        self._to_stop = threading.Event()
        self._taken = threading.Event()
        self._notice = True
        self._broken = ""
        self._gone = threading.Event()
        self._synced: dict[str, tuple[int, int]] = {}
        self._hosts: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: Logs | None = None
        self._port = 0

    # From outside

    def stop(self) -> None:
        """StopTrainingJob."""
        self.job["TrainingJobStatus"] = STOPPING
        self._say("Stopping", "Stopping the training job")
        self._to_stop.set()

    def interrupt(self, notice: bool = True) -> None:
        """The spot instances are taken back: with SIGTERM and a grace, or without a word."""
        self._notice = notice
        self._taken.set()

    def fail(self, reason: str) -> None:
        """The service fails the job."""
        self._broken = reason

    @property
    def training(self) -> bool:
        """Whether its containers run."""
        return bool(self.job["SecondaryStatus"] == "Training")

    @property
    def synced(self) -> tuple[str, ...]:
        """The names of the checkpoint files that are in S3."""
        return tuple(Path(path).name for path in list(self._synced))

    def abandon(self) -> None:
        """The service itself goes: nothing more is told."""
        self._gone.set()
        self._to_stop.set()
        self._kill()

    # The life of a job

    def run(self) -> None:
        """Until it is over, by what the thread is told meanwhile."""
        try:
            try:
                self._live()
            except Ended:
                raise
            except Exception as e:  # of the rehearsal's own
                reason = f"InternalServerError: {type(e).__name__}: {e}"
                raise Ended(FAILED, "Failed", "Training job failed", reason) from e
        except Ended as end:
            if self._gone.is_set():
                return
            self.job["FailureReason"] = end.reason
            self.job["TrainingEndTime"] = time.time()
            if end.status != FAILED and self._layouts():
                self.job["ModelArtifacts"] = {"S3ModelArtifacts": self._model_uri()}
            self.job["TrainingJobStatus"] = end.status
            self._say(end.secondary, str(end))

    def _live(self) -> None:
        self._say("Starting", "Starting the training job")
        self._wait()
        self._provision()
        while True:
            self.job["attempts"] = self.job.get("attempts", 0) + 1
            self._say("Starting", "Preparing the instances for training")
            self._wait()
            self._say("Downloading", "Downloading the training image")
            self._download()
            self._say("Training", "Training image download completed. Training in progress.")
            code = self._train()
            if code is not None:
                break
            self._say("Interrupted", "Spot instances were reclaimed")
            self._taken.clear()
            self._wait()
        self._say("Uploading", "Uploading generated training model")
        self._upload()
        if code == 0:
            raise Ended(COMPLETED, "Completed", "Training job completed")
        raise Ended(
            FAILED, "Failed", "Training job failed", f"AlgorithmError: {self._failure()}exit code: {code}"
        )

    def _provision(self) -> None:
        """Find instances of the type, or of the first preferred one that there is."""
        resources = self.job["ResourceConfig"]
        wanted = [p["InstanceType"] for p in resources.get("InstancePreferences", ())] or [
            resources["InstanceType"]
        ]
        there = next((kind for kind in wanted if not self._lacking(kind)), None)
        if there is None:
            reason = "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
            raise Ended(FAILED, "Failed", "Training job failed", reason)
        if "InstancePreferences" in resources:
            resources["SelectedInstanceType"] = there

    def _wait(self) -> None:
        if self._to_stop.wait(self.pace.status):
            raise Ended(STOPPED, "Stopped", "Training job stopped")
        limit = self.job["StoppingCondition"].get("MaxWaitTimeInSeconds")
        if limit is not None and time.time() - self.job["CreationTime"] > limit:
            raise Ended(
                STOPPED,
                "MaxWaitTimeExceeded",
                "Training job wait time exceeded MaxWaitTimeInSeconds provided",
            )

    def _layouts(self) -> dict[str, Layout]:
        place = self.home / str(self.job.get("attempts", 0))
        return {h: Layout(place / h / "opt" / "ml") for h in self._names()} if place.is_dir() else {}

    def _names(self) -> tuple[str, ...]:
        return tuple(f"algo-{n + 1}" for n in range(self.job["ResourceConfig"]["InstanceCount"]))

    def _download(self) -> None:
        s3 = self._clients("s3")
        place = self.home / str(self.job["attempts"])
        shutil.rmtree(place, ignore_errors=True)
        channels = {
            c["ChannelName"]: c["DataSource"]["S3DataSource"] for c in self.job.get("InputDataConfig", ())
        }
        for host in self._names():
            layout = Layout(place / host / "opt" / "ml")
            layout.make()
            for channel, source in channels.items():
                if not _fetch(s3, source["S3Uri"], layout.input_data / channel):
                    raise Ended(
                        FAILED, "Failed", "Training job failed",
                        f'ClientError: Data download failed:No S3 objects found under S3 URL "{source["S3Uri"]}" given in input '
                        "data source. Please ensure that the bucket exists in the selected region, that objects exist under that S3 "
                        f'prefix, and that the role "{self.job["RoleArn"]}" has "s3:ListBucket" permissions on the bucket.',
                    )  # fmt: skip
            write_input_config(
                layout, channels, self.job.get("HyperParameters", {}), Hosts(host, self._names())
            )
            if checkpoints := self.job.get("CheckpointConfig"):
                _fetch(s3, checkpoints["S3Uri"].rstrip("/") + "/", layout.checkpoints)
        self._synced = self._checkpoints()

    def _train(self) -> int | None:
        """Run the containers; the exit code, or None where the instances were taken back. Raises Ended."""
        begun = time.time()
        self.job.setdefault("TrainingStartTime", begun)
        trained = self.job.get("TrainingTimeInSeconds", 0)
        limit = self.job["StoppingCondition"].get("MaxRuntimeInSeconds", 86400)
        self._logs = self._logs or Logs(self._clients, self.job["TrainingJobName"], self.home)
        self._port = free_port()
        self._hosts = {host: self._start(host, layout) for host, layout in self._layouts().items()}
        try:
            synced = time.monotonic()
            while True:
                code = self._code()
                self.job["TrainingTimeInSeconds"] = trained + int(time.time() - begun)
                self.job["BillableTimeInSeconds"] = self.job["TrainingTimeInSeconds"]
                self._logs.pass_on()
                self._measured(self._logs.new)
                if code is not None:
                    self._sync()
                    return code
                if self._gone.is_set():
                    raise Ended(STOPPED, "Stopped", "")
                if self._broken:
                    raise Ended(FAILED, "Failed", "Training job failed", self._broken)
                if self._taken.is_set():
                    if self._notice:
                        self._terminate()
                        self._sync()
                    return None
                if self._to_stop.is_set():
                    self._terminate()
                    self._sync()
                    self._say("Uploading", "Uploading generated training model")
                    self._upload()
                    raise Ended(STOPPED, "Stopped", "Training job stopped")
                if time.time() - begun + trained > limit:
                    self._say("Stopping", "Stopping the training job")
                    self._terminate()
                    self._sync()
                    self._say("Uploading", "Uploading generated training model")
                    self._upload()
                    raise Ended(
                        STOPPED,
                        "MaxRuntimeExceeded",
                        "Training job runtime exceeded MaxRuntimeInSeconds provided",
                    )
                if time.monotonic() - synced > self.pace.sync:
                    self._sync()
                    synced = time.monotonic()
                time.sleep(self.pace.poll)
        finally:
            self._kill()
            self._logs.pass_on()

    def _start(self, host: str, layout: Layout) -> subprocess.Popen[bytes]:
        kept = {k: v for k, v in os.environ.items() if k in PASSED_ON or k.startswith("AWS_")}
        path = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", os.defpath)))
        environment = kept | {
            "PATH": path,
            "HOME": str(layout.root.parents[1]),
            "AWS_REGION": self.job["region"],
            "TRAINING_JOB_NAME": self.job["TrainingJobName"],
            "TRAINING_JOB_ARN": self.job["TrainingJobArn"],
            "FSM_OPT_ML": str(layout.root),
            RENDEZVOUS: f"{HOST}:{self._port}",  # the hosts' names are no addresses here
            **self._environment(),
            **self.job.get("Environment", {}),
        }
        algorithm = self.job["AlgorithmSpecification"]
        command = [
            *algorithm.get("ContainerEntrypoint", ("train",)),
            *algorithm.get("ContainerArguments", ()),
        ]
        with (self.home / f"{host}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=layout.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid()),
            )

    def _code(self) -> int | None:
        """The job's exit code: that of the first host that failed, or 0 when all have ended well; None while one runs."""
        codes = [child.poll() for child in self._hosts.values()]
        if bad := [c for c in codes if c]:
            self._terminate()
            return bad[0] if bad[0] > 0 else 128 - bad[0]
        return None if None in codes else 0

    def _terminate(self) -> None:
        """SIGTERM to the containers' first processes, as the service sends it, and SIGKILL after the grace."""
        for child in self._hosts.values():
            with suppress(ProcessLookupError):
                child.terminate()
        end = time.monotonic() + self.pace.grace
        while any(child.poll() is None for child in self._hosts.values()) and time.monotonic() < end:
            time.sleep(self.pace.poll)
        self._kill()

    def _kill(self) -> None:
        for child in self._hosts.values():
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    # What goes to S3

    def _checkpoints(self) -> dict[str, tuple[int, int]]:
        found = {}
        for layout in self._layouts().values():
            for path in _files(layout.checkpoints):
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    found[str(path)] = (stat.st_mtime_ns, stat.st_size)
        return found

    def _sync(self) -> None:
        """Put every checkpoint file that is new or has changed; what was removed here stays there, as on AWS."""
        self._sync_curves()
        if "CheckpointConfig" not in self.job:
            return
        now = self._checkpoints()
        for layout in self._layouts().values():
            for name, stamp in now.items():
                path = Path(name)
                if self._synced.get(name) == stamp or not path.is_relative_to(layout.checkpoints):
                    continue
                with suppress(FileNotFoundError):
                    uri = self.job["CheckpointConfig"]["S3Uri"].rstrip("/")
                    self._put(f"{uri}/{path.relative_to(layout.checkpoints)}", path)
                    self._synced[name] = stamp

    def _sync_curves(self) -> None:
        """What lies below output/tensorboard, to where TensorBoardOutputConfig says; it is small, and put whole."""
        if (wanted := self.job.get("TensorBoardOutputConfig")) is None:
            return
        place = f"{wanted['S3OutputPath'].rstrip('/')}/{self.job['TrainingJobName']}/tensorboard-output"
        for layout in self._layouts().values():
            directory = layout.output / "tensorboard"
            for path in _files(directory):
                self._put(f"{place}/{path.relative_to(directory)}", path)

    def _upload(self) -> None:
        """model.tar.gz and output.tar.gz of the first host."""
        layout = next(iter(self._layouts().values()))
        for directory, name in ((layout.model, "model.tar.gz"), (layout.output_data, "output.tar.gz")):
            packed = self.home / name
            _pack(directory, packed)
            self._put(f"{self._output()}/{name}", packed)

    def _output(self) -> str:
        return (
            f"{self.job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.job['TrainingJobName']}/output"
        )

    def _model_uri(self) -> str:
        return f"{self._output()}/model.tar.gz"

    def _put(self, uri: str, path: Path) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        with path.open("rb") as f:
            self._clients("s3").upload_fileobj(f, bucket, key)

    def _failure(self) -> str:
        for layout in self._layouts().values():
            with suppress(OSError):
                if text := layout.failure.read_text("utf-8", "replace").strip():
                    return f"{text[:FAILURE_LENGTH]}, "
        return ""

    # What is told

    def _measured(self, lines: list[str]) -> None:
        """FinalMetricDataList: the last value of each metric, as its definition finds it in the containers' lines."""
        defined = self.job["AlgorithmSpecification"].get("MetricDefinitions", ())
        last = {m["MetricName"]: m for m in self.job.get("FinalMetricDataList", ())}
        for line in lines:
            for name, value in curves.found(line, {d["Name"]: d["Regex"] for d in defined}):
                last[name] = {"MetricName": name, "Value": value, "Timestamp": time.time()}
        if last:
            self.job["FinalMetricDataList"] = list(last.values())

    def _say(self, status: str, message: str) -> None:
        now = time.time()
        told = self.job["SecondaryStatusTransitions"]
        if told and "EndTime" not in told[-1]:
            told[-1]["EndTime"] = now
        told.append({"Status": status, "StartTime": now, "StatusMessage": message})
        self.job["SecondaryStatus"] = status
        self.job["LastModifiedTime"] = now
        self._told()


def _files(directory: Path) -> list[Path]:
    """The files below a directory, sorted, while a container removes some of them: `rglob` would raise where a directory goes."""
    return sorted(Path(place, name) for place, _, names in os.walk(directory) for name in names)


def _fetch(s3: Any, uri: str, directory: Path) -> int:
    """Download what lies below an s3:// prefix; how many objects there were."""
    directory.mkdir(parents=True, exist_ok=True)
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    count = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", ()):
            key = found["Key"]
            name = key.removeprefix(prefix).lstrip("/") or key.rpartition("/")[2]
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, key, str(path))
            count += 1
    return count


def _pack(directory: Path, target: Path) -> None:
    """As the service packs: by name, with the times and modes of the files left out so that a repeat is the same."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=1) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in sorted(directory.rglob("*")):
            member = tar.gettarinfo(str(path), str(path.relative_to(directory)))
            member.mtime = member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() else 0o644
            if member.isfile():
                with path.open("rb") as f:
                    tar.addfile(member, f)
            else:
                tar.addfile(member)
