"""The role that jobs run as: the one command that creates it from configs/role.yaml, for a configuration's places and model."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from phases.sagemaker_job.image import Image

SERVICE, OF_BATCHES = "sagemaker.amazonaws.com", "bedrock.amazonaws.com"
"""Who assumes the role of a job, and that of the teacher's batches."""
TEMPLATE = "configs/role.yaml"
STACK = "fsm-pipeline"
PROFILE = re.compile(r"(?:us-gov|us|eu|apac|jp|au|ca|global)\.|arn:.*:(?:application-)?inference-profile/")
"""What an inference profile of Bedrock's is called, as against a model."""


def base(model_id: str) -> str:
    """The model's own id, of an inference profile of the service's or of a model."""
    return PROFILE.sub("", model_id).rpartition("/")[2]


def deploy(sections: Mapping[str, Any], store: str, output: str = "") -> str:
    """The command. `sections` are the configuration's, by phase; `store` and `output` the run's own places."""
    job = sections.get("sagemaker_job")
    words = ["aws", "cloudformation", "deploy", "--stack-name", STACK, "--template-file", TEMPLATE]
    if job is not None and job.provider == "sagemaker":
        words += ["--region", job.region]
    words += ["--capabilities", "CAPABILITY_IAM"]
    if said := parameters(sections, store, output):
        words += ["--parameter-overrides", *(f"{k}={v}" for k, v in said.items())]
    return shlex.join(words)


def parameters(sections: Mapping[str, Any], store: str, output: str = "") -> dict[str, str]:
    """The template's parameters for a configuration. What is a directory, or asks nobody, is left to the template's own."""
    job, data, teacher = (
        sections.get(n) for n in ("sagemaker_job", "data_preparation", "teacher_generation")
    )
    places = {"Store": store.partition("?")[0], "Output": output}
    said: dict[str, str] = {}
    if job is not None and job.provider == "sagemaker":
        places |= {"Jobs": job.output, "Staging": job.staging}
        image = Image.read(job.image.format(region=job.region))
        if image is not None:
            said |= {"ImageAccount": image.registry, "ImageRepository": image.repository}
        if job.vpc is not None:
            said["Vpc"] = "yes"
        keys = {job.kms.volume, job.kms.output, job.kms.store}
        if named := ",".join(sorted(key for key in keys if key.startswith("arn:"))):
            said["Keys"] = named
    if data is not None:
        places["Source"] = data.source
    if teacher is not None and teacher.teacher.kind == "bedrock-batch":
        places["Batch"] = teacher.teacher.batch.place
    for name, place in places.items():
        if place.startswith("s3://"):
            bucket, _, prefix = place.removeprefix("s3://").partition("/")
            said |= {f"{name}Bucket": bucket, f"{name}Prefix": f"{prefix.strip('/')}/".lstrip("/")}
    if teacher is not None and teacher.teacher.kind.startswith("bedrock"):
        said |= {"Model": teacher.teacher.model, "BaseModel": base(teacher.teacher.model)}
    return dict(sorted(said.items()))
