"""What goes wrong on AWS, rehearsed: every named fault, and what the loss of a spot instance costs a training.

    python -m benchmarks.rehearsing [--faults NAME ...] [--interruptions 4]

*faults*         configs/pipeline.yaml, whole, once without and once with each fault that `fsm rehearse --fault help` names: how
                 often the command was given, and whether the model's archive has the same bytes. Faults that are named alone
                 join what is there
*interruptions*  a job that trains with a checkpoint every ten steps, its instance taken back again and again at moments of a seed,
                 with notice and without: how many steps were taken again, beside those since the last checkpoint in S3

MiniStack comes with `python -m tests.needs`. Results go to benchmarks/results/rehearsing.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import yaml

from benchmarks.common import RESULTS, ROOT
from benchmarks.s3_journal import server
from fsm import config as configs
from fsm import session
from fsm.engine import Nobody
from phases.qlora_training.checkpoints import SENTINEL
from phases.rehearsal.bill import taken_again
from phases.rehearsal.faults import NAMED
from phases.rehearsal.instance import Pace
from phases.rehearsal.sagemaker import SageMaker
from phases.rehearsal.script import TINY
from tests.servers.launcher import ROLE
from tests.servers.process import Server
from tests.servers.s3 import KEYS, REGION

NOTHING = "nothing"
SAVE = 10
"""Optimizer steps between two checkpoints."""
_OF_A_CHECKPOINT = re.compile(rf"checkpoint-(\d+)/{re.escape(SENTINEL)}$")
ROWS = 160


def rehearsed(fault: str, home: Path) -> dict[str, Any]:
    """One rehearsal of the pipeline, with a fault or without: how it went."""
    home.mkdir()
    command = [
        sys.executable,
        "-m",
        "fsm.cli",
        "rehearse",
        str(ROOT / "configs" / "pipeline.yaml"),
        "--json",
        "--log",
        "none",
    ]
    plain = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    environment = plain | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    begun = time.perf_counter()
    words = [*command, *(("--fault", fault) if fault else ())]
    done = subprocess.run(words, cwd=home, env=environment, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout.splitlines()[-1])
    (model,) = home.glob("rehearsal/ministack/s3/*/rehearsal/output/distillation/*/model.tar.gz")
    return {
        "exit": told["exit"],
        "starts": told["starts"],
        "happened": len(told["faults"]),
        "jobs": len(told["jobs"]),
        "steps_again": sum(sum(job["steps_again"]) for job in told["jobs"]),
        "calls": sum(told["calls"].values()),
        "model": hashlib.sha256(model.read_bytes()).hexdigest(),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def faults(names: list[str], home: Path, found: dict[str, Any]) -> None:
    """Each of them, beside the rehearsal in which nothing goes wrong; that one is made first, where `found` has it not."""
    for name in names if NOTHING in found else [NOTHING, *names]:
        one = rehearsed("" if name == NOTHING else name, home / name)
        found[name] = one
        if name != NOTHING:
            one["same_model"] = one["model"] == found[NOTHING]["model"]
        print(f"{name:18} {one}", flush=True)


# A training that is interrupted


class Interruptions(threading.Thread):
    """Takes the instance of the one job back, each time some steps after it has gone on with its training."""

    def __init__(self, service: SageMaker, times: int, notice: bool) -> None:
        super().__init__(daemon=True)
        self.service, self.times, self.notice = service, times, notice
        self.since: list[int] = []  # steps since the last whole checkpoint in S3, when the instance was gone
        self._chance = random.Random(times + notice)

    def run(self) -> None:
        for number in range(self.times):
            target = self._step() + self._chance.randint(SAVE + 1, 2 * SAVE)
            while self._step() < target:
                time.sleep(0.005)
            ((name, job),) = self.service.jobs.items()
            self.service.interrupt(name, notice=self.notice)
            while [t["Status"] for t in job["SecondaryStatusTransitions"]].count("Interrupted") <= number:
                time.sleep(0.005)
            self.since.append(self._step() - self._saved(job["CheckpointConfig"]["S3Uri"]))

    def _step(self) -> int:
        """The step that was logged last."""
        for log in self.service.home.glob("*/algo-1.log"):
            steps = re.findall(r'"step": (\d+)', log.read_text("utf-8", "replace"))
            return int(steps[-1]) if steps else 0
        return 0

    def _saved(self, uri: str) -> int:
        """The step of the last checkpoint that is whole in S3."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        pages = (
            self.service.clients("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        )
        whole = (
            _OF_A_CHECKPOINT.search(found["Key"]) for page in pages for found in page.get("Contents", ())
        )
        return max((int(found[1]) for found in whole if found), default=0)


def interrupted(found: Server, times: int, notice: bool, home: Path) -> dict[str, Any]:
    """Steps taken again after each interruption of one job."""
    home.mkdir()
    rng = random.Random(1)
    for name, rows in (("train", ROWS), ("val", 8)):
        lines = (
            {
                "messages": [
                    {"role": "user", "content": f"Add {rng.randint(0, 99)} to x."},
                    {"role": "assistant", "content": f"x += {n};"},
                ]
            }
            for n in range(rows)
        )
        (home / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    place = f"s3://bucket/interrupted-{notice}"
    job = {
        "provider": "sagemaker",
        "machine": "qlora_training",
        "role": ROLE,
        "staging": f"{place}/staging",
        "output": f"{place}/output",
    }
    channels = {
        "train": {"train.jsonl": str(home / "train.jsonl")},
        "validation": {"val.jsonl": str(home / "val.jsonl")},
    }
    steps = {"epochs": 3, "eval_steps": SAVE, "save_steps": SAVE, "patience": 100}
    words = {
        "machine": "sagemaker_job",
        "store": f"{place}/store",
        "store_options": {"endpoint_url": found.url},
        "work": str(home / "work"),
        "run": {"name": "interrupted"},
        "sagemaker_job": {**job, "channels": channels, "poll_seconds": 0.2, "max_wait_seconds": 10**6},
        "qlora_training": {**TINY["qlora_training"], **steps},
    }
    file = home / "interrupted.yaml"
    file.write_text(yaml.safe_dump(words))

    def clients(name: str) -> Any:
        return boto3.client(name, endpoint_url=found.url, region_name=REGION, **KEYS)

    if ROLE.rpartition("/")[2] not in [role["RoleName"] for role in clients("iam").list_roles()["Roles"]]:
        clients("iam").create_role(RoleName=ROLE.rpartition("/")[2], AssumeRolePolicyDocument="{}")
    with ExitStack() as stack:
        service = stack.enter_context(SageMaker(home / "jobs", clients, pace=Pace(grace=20.0)))
        os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_ENDPOINT_URL_SAGEMAKER"] = found.url, service.url
        taking = Interruptions(service, times, notice)
        taking.start()
        outcome = session.run(configs.load(file), observer=Nobody())
        taking.join()
        (log,) = service.home.glob("*/algo-1.log")
        again = taken_again(log.read_text("utf-8", "replace").splitlines())
    return {"outcome": outcome.outcome, "steps_again": again, "since_the_last_checkpoint": taking.since}


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rehearsing", description=__doc__)
    parser.add_argument("--faults", nargs="*", default=list(NAMED), choices=list(NAMED), metavar="NAME")
    parser.add_argument("--interruptions", type=int, default=4, help="of a job, with notice and without")
    args = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"], "AWS_DEFAULT_REGION": REGION}
    os.environ["AWS_SECRET_ACCESS_KEY"] = KEYS["aws_secret_access_key"]
    path = RESULTS / "rehearsing.json"
    told: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        if args.interruptions:
            told["interruptions"] = {}
            with server() as found:
                for word, notice in (("with notice", True), ("without", False)):
                    told["interruptions"][word] = interrupted(found, args.interruptions, notice, home / word)
                    print(f"{word}: {told['interruptions'][word]}", flush=True)
        if args.faults:
            faults(args.faults, home, told.setdefault("faults", {}))
    path.write_text(json.dumps(told, indent=1) + "\n")
    return 0 if few(told.get("interruptions", {})) and whole(told.get("faults", {})) else 1


def few(taken: dict[str, Any]) -> bool:
    """Whether no more steps were taken again than promised: one with notice, and those since the last checkpoint without."""
    sudden = taken.get("without", {"steps_again": [], "since_the_last_checkpoint": []})
    pairs = zip(sudden["steps_again"], sudden["since_the_last_checkpoint"], strict=True)
    return max(taken.get("with notice", {}).get("steps_again", ()), default=0) <= 1 and all(
        again <= since for again, since in pairs
    )


def whole(found: dict[str, Any]) -> bool:
    """Whether every rehearsal ended well, with the same model."""
    return all(one["exit"] == 0 and one.get("same_model", True) for one in found.values())


if __name__ == "__main__":
    sys.exit(main())
