"""CreateTrainingJob's request: made of the configuration, and held against the service's own model before it is sent.

The service's model is botocore's. Of it boto3 itself checks names, types and least lengths; the service refuses besides
what is too long, does not fit a pattern, or is none of the values it knows, but only when it is asked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import JobSpec

CODE, WHEELS = "code", "wheels"
"""The channels of what the container's program is, and of what it is installed from."""
ENTRYPOINT = ("/bin/bash", "-c")
ARGUMENTS = (
    'ml="${FSM_OPT_ML:-/opt/ml}"; mkdir -p "$ml/code" && tar -xzf "$ml"/input/data/code/*.tar.gz -C "$ml/code" '
    '&& exec bash "$ml/code/start.sh"',
)
"""How the container starts, in place of the image's own `train`: by exec, so that the service's SIGTERM reaches Python."""
NAME = "TrainingJobName"  # derived, so that a second attempt finds the first: nobody else's to choose


def training_job(
    config: SageMakerJobConfig,
    spec: JobSpec,
    name: str,
    channels: Mapping[str, str],
    code: str,
    instance_type: str | None = None,
) -> dict[str, Any]:
    """The request for the job `name`. `channels`: channel -> s3:// prefix; `code`: the s3:// address of the archive.

    `instance_type` is the one that is to be tried now; without it the first of the preferred ones, or, on demand, all of
    them for the service to choose from.
    """
    c = config
    given = {**channels, CODE: code, **({WHEELS: f"{c.wheels.rstrip('/')}/"} if c.wheels else {})}
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": c.image.format(region=c.region),
            "TrainingInputMode": "File",
            "ContainerEntrypoint": list(ENTRYPOINT),
            "ContainerArguments": list(ARGUMENTS),
        }
        | _if(MetricDefinitions=[{"Name": n, "Regex": r} for n, r in c.metrics.items()]),
        "RoleArn": c.role,
        "HyperParameters": dict(spec.hyperparameters),
        "Environment": dict(spec.environment),
        "InputDataConfig": [_channel(channel, uri) for channel, uri in sorted(given.items())],
        "OutputDataConfig": {"S3OutputPath": c.output} | _if(KmsKeyId=c.kms.output),
        # of the work, not of the attempt at it: the next attempt goes on from there
        "CheckpointConfig": {"S3Uri": f"{c.staging.rstrip('/')}/{spec.name}/checkpoints"},
        "ResourceConfig": _resources(c, instance_type),
        "StoppingCondition": _stopping(c),
        "EnableManagedSpotTraining": c.spot,
    }
    request |= _if(
        Tags=[{"Key": k, "Value": v} for k, v in sorted(c.tags.items())],
        VpcConfig=c.vpc and {"Subnets": list(c.vpc.subnets), "SecurityGroupIds": list(c.vpc.security_groups)},
        EnableInterContainerTrafficEncryption=c.encrypt_traffic,
        RetryStrategy=c.retries and {"MaximumRetryAttempts": c.retries},
        TensorBoardOutputConfig=c.tensorboard and {"S3OutputPath": c.tensorboard},
    )
    return merged(request, {k: v for k, v in c.request.items() if k != NAME})


def _resources(c: SageMakerJobConfig, instance_type: str | None) -> dict[str, Any]:
    said: dict[str, Any] = {"InstanceCount": c.instance_count, "VolumeSizeInGB": c.volume_gb}
    if instance_type is None and len(c.instance_types) > 1 and not c.spot:
        said["InstancePreferences"] = [{"InstanceType": one} for one in c.instance_types]
    else:
        said["InstanceType"] = instance_type or c.instance_types[0]
    return said | _if(
        VolumeKmsKeyId=c.kms.volume,
        KeepAlivePeriodInSeconds=c.warm_pool_seconds,
        TrainingPlanArn=c.training_plan,
    )


def _stopping(c: SageMakerJobConfig) -> dict[str, Any]:
    said: dict[str, Any] = {"MaxRuntimeInSeconds": c.max_runtime_seconds}
    if c.spot:
        said["MaxWaitTimeInSeconds"] = max(c.max_wait_seconds, c.max_runtime_seconds)
    return said | _if(MaxPendingTimeInSeconds=c.max_pending_seconds)


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _if(**members: Any) -> dict[str, Any]:
    """The members that say something."""
    return {name: value for name, value in members.items() if value}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with what `above` says instead, structures member by member. A member that is null above is taken out."""
    made = dict(below)
    for name, value in above.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(made.get(name), Mapping):
            made[name] = merged(made[name], value)
        else:
            made[name] = value
    return made


# Held against the model


def problems(request: Mapping[str, Any]) -> list[str]:
    """What the service would refuse in a request of CreateTrainingJob, each as a sentence; empty where it is sound.

    Values that botocore does not know are among it: a newer boto3 may know them.
    """
    from botocore.validate import ParamValidator

    shape = _shape()
    report = ParamValidator().validate(dict(request), shape)
    if report.has_errors():
        return [line.strip() for line in report.generate_report().splitlines()]
    return list(_held(request, shape, "")) + list(_together(request))


@cache
def _shape() -> Any:
    import botocore.session
    from botocore.model import ServiceModel

    loaded = (
        botocore.session.get_session()
        .get_component("data_loader")
        .load_service_model("sagemaker", "service-2")
    )
    return ServiceModel(loaded).operation_model("CreateTrainingJob").input_shape


def _held(value: Any, shape: Any, where: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        for name, inner in value.items():
            yield from _held(inner, shape.members[name], f"{where}.{name}".lstrip("."))
    elif kind == "list":
        yield from _short_enough(value, shape, where, "items")
        for number, inner in enumerate(value):
            yield from _held(inner, shape.member, f"{where}[{number}]")
    elif kind == "map":
        yield from _short_enough(value, shape, where, "items")
        for key, inner in value.items():
            yield from _held(key, shape.key, f"{where} (key {key!r})")
            yield from _held(inner, shape.value, f"{where}.{key}")
    elif kind == "string":
        yield from _short_enough(value, shape, where, "characters")
        yield from _fitting(value, shape, where)
    elif kind in ("integer", "long") and value > shape.metadata.get("max", value):
        yield f"{where} is {value}, and {shape.metadata['max']} at most is taken."


def _short_enough(value: Any, shape: Any, where: str, of: str) -> Iterator[str]:
    most = shape.metadata.get("max")
    if most is not None and len(value) > most:
        yield f"{where} has {len(value)} {of}, and {most} at most are taken."


def _fitting(value: str, shape: Any, where: str) -> Iterator[str]:
    from botocore import __version__

    known: Sequence[str] = shape.metadata.get("enum") or ()
    if known and value not in known:
        near = difflib.get_close_matches(value, known, 3)
        yield (
            f"{where} is {value!r}, which botocore {__version__} does not know"
            + (f" (nearest: {', '.join(near)})" if near else "")
            + ". Correct it, or upgrade boto3 where it is newer."
        )
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(_plain(pattern), value, re.DOTALL):
        yield f"{where} is {value!r}, which does not fit {pattern}."


def _plain(pattern: str) -> str:
    """A pattern as Python reads it: it has no classes of Unicode properties."""
    return pattern.replace(r"\p{L}\p{Z}\p{N}", r"\w\s")


def _together(request: Mapping[str, Any]) -> Iterator[str]:
    """What the service's documentation rules out, and its model does not say."""
    resources, stopping = request.get("ResourceConfig", {}), request.get("StoppingCondition", {})
    spot = request.get("EnableManagedSpotTraining")
    if spot and "InstancePreferences" in resources:
        yield "ResourceConfig.InstancePreferences: not together with EnableManagedSpotTraining."
    if spot and stopping.get("MaxWaitTimeInSeconds", 0) < stopping.get("MaxRuntimeInSeconds", 86400):
        yield "StoppingCondition.MaxWaitTimeInSeconds: with spot it is MaxRuntimeInSeconds at least."
    if not spot and "MaxWaitTimeInSeconds" in stopping:
        yield "StoppingCondition.MaxWaitTimeInSeconds: only with EnableManagedSpotTraining."
    if "InstancePreferences" in resources and "InstanceType" in resources:
        yield "ResourceConfig: InstancePreferences or InstanceType, not both."
