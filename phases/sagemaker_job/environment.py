"""What a SageMaker training container finds: the layout below /opt/ml and the SM_ variables.

Source: the SageMaker Training Toolkit, ENVIRONMENT_VARIABLES.md, and "Amazon SageMaker training storage folders".
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAUNCHED_BY = "FSM_LAUNCHED_BY"
"""The variable that tells a job which run has launched it."""


def launched_by(own: str) -> str:
    """The run that has launched this process as its job; `own`, where nobody has."""
    return os.environ.get(LAUNCHED_BY) or own


@dataclass(frozen=True)
class Layout:
    """The directories below a root that is, or stands for, /opt/ml."""

    root: Path

    @property
    def input_config(self) -> Path:
        return self.root / "input" / "config"

    @property
    def input_data(self) -> Path:
        return self.root / "input" / "data"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def output_data(self) -> Path:
        return self.root / "output" / "data"

    @property
    def failure(self) -> Path:
        return self.root / "output" / "failure"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    def make(self) -> None:
        """Create them all; what is there stays."""
        for path in (
            self.input_config,
            self.input_data,
            self.model,
            self.output_data,
            self.checkpoints,
            self.root / "code",
        ):
            path.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Hosts:
    """The hosts of a job, and which of them this one is."""

    current: str = "algo-1"
    names: tuple[str, ...] = ("algo-1",)

    @property
    def resources(self) -> dict[str, object]:
        """What resourceconfig.json holds."""
        return {
            "current_host": self.current,
            "hosts": list(self.names),
            "network_interface_name": "eth0",
        }


ALONE = Hosts()


def variables(
    layout: Layout,
    name: str,
    channels: Iterable[str],
    hyperparameters: Mapping[str, str],
    region: str,
    hosts: Hosts = ALONE,
) -> dict[str, str]:
    """The environment that the toolkit sets for the user's program."""
    cpus, gpus = os.cpu_count() or 1, len(list(Path("/dev").glob("nvidia[0-9]*")))
    channels = sorted(channels)
    data_config = {c: {"TrainingInputMode": "File", "RecordWrapperType": "None"} for c in channels}
    flat = {
        "SM_CURRENT_HOST": hosts.current,
        "SM_HOSTS": json.dumps(hosts.names),
        "SM_NUM_CPUS": str(cpus),
        "SM_NUM_GPUS": str(gpus),
        "SM_CHANNELS": json.dumps(channels),
        "SM_HPS": json.dumps(dict(hyperparameters), sort_keys=True),
        "SM_RESOURCE_CONFIG": json.dumps(hosts.resources, sort_keys=True),
        "SM_INPUT_DATA_CONFIG": json.dumps(data_config, sort_keys=True),
        "SM_INPUT_DIR": str(layout.root / "input"),
        "SM_INPUT_CONFIG_DIR": str(layout.input_config),
        "SM_MODEL_DIR": str(layout.model),
        "SM_OUTPUT_DIR": str(layout.output),
        "SM_OUTPUT_DATA_DIR": str(layout.output_data),
        "SM_MODULE_DIR": str(layout.root / "code"),
        "TRAINING_JOB_NAME": name,
        "AWS_REGION": region,
    }
    flat |= {f"SM_CHANNEL_{c.upper()}": str(layout.input_data / c) for c in channels}
    flat |= {f"SM_HP_{k.upper()}": v for k, v in hyperparameters.items()}
    flat["SM_TRAINING_ENV"] = json.dumps(
        {
            "channel_input_dirs": {c: str(layout.input_data / c) for c in channels},
            "current_host": hosts.current,
            "hosts": list(hosts.names),
            "hyperparameters": dict(hyperparameters),
            "input_config_dir": str(layout.input_config),
            "input_dir": str(layout.root / "input"),
            "job_name": name,
            "model_dir": str(layout.model),
            "num_cpus": cpus,
            "num_gpus": gpus,
            "output_data_dir": str(layout.output_data),
            "output_dir": str(layout.output),
        },
        sort_keys=True,
    )
    return flat


def of_container(layout: Layout, name: str, region: str) -> dict[str, str]:
    """The variables of a container that was started without the toolkit: what the files below input/config say."""

    def said(file: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((layout.input_config / file).read_text("utf-8"))
        return found

    resources = said("resourceconfig.json")
    hosts = Hosts(resources["current_host"], tuple(resources["hosts"]))
    channels, words = said("inputdataconfig.json"), said("hyperparameters.json")
    return variables(layout, name, channels, words, region, hosts)


def write_input_config(
    layout: Layout, channels: Iterable[str], hyperparameters: Mapping[str, str], hosts: Hosts = ALONE
) -> None:
    """The files below input/config."""
    contents = {
        "hyperparameters.json": dict(hyperparameters),
        "inputdataconfig.json": {
            c: {"TrainingInputMode": "File", "RecordWrapperType": "None"} for c in sorted(channels)
        },
        "resourceconfig.json": hosts.resources,
    }
    for name, value in contents.items():
        (layout.input_config / name).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
