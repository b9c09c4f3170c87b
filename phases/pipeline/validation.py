"""The checks of Validation: everything that can fail early, before anything is paid for.

A check looks at what this configuration really needs. Where it needs nothing, it says so and passes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fsm.engine import Context

ROOT = Path(__file__).parents[2]
PACKAGES = {  # import name -> distribution, of what every run needs
    "transitions": "transitions",
    "pydantic": "pydantic",
    "yaml": "PyYAML",
    "structlog": "structlog",
    "tree_sitter": "tree-sitter",
    "tree_sitter_c": "tree-sitter-c",
}
TRAINING = {
    "torch": "torch",
    "transformers": "transformers",
    "trl": "trl",
    "peft": "peft",
    "bitsandbytes": "bitsandbytes",
    "datasets": "datasets",
}
PROBE = "Answer with the single word: ready"


@dataclass(frozen=True)
class Finding:
    """What a check found, in a sentence."""

    good: bool
    text: str


@dataclass(frozen=True)
class Needs:
    """What a configuration needs of the world outside."""

    store: str
    sources: str
    sources_endpoint: str | None
    teacher: Any
    job: Any
    output: str

    @classmethod
    def of(cls, ctx: Context) -> Needs:
        data, teacher = ctx.section("data_preparation"), ctx.section("teacher_generation")
        job = ctx.section("sagemaker_job")
        return cls(ctx.store_url, data.source, data.endpoint_url, teacher.teacher, job, ctx.config.output)

    @property
    def buckets(self) -> list[str]:
        """The S3 places that are read or written, once each, in a fixed order."""
        places = (self.sources, self.store, self.output, self.job.output, self.job.staging)
        return list(dict.fromkeys(p for p in places if p.startswith("s3://")))

    @property
    def aws(self) -> list[str]:
        """What of it is on AWS."""
        return [
            *self.buckets,
            *(["the teacher on Bedrock"] if self.teacher.kind.startswith("bedrock") else []),
            *(["jobs on SageMaker"] if self.job.provider == "sagemaker" else []),
        ]


def aws_credentials(needs: Needs) -> Finding:
    """Whether AWS knows the caller (STS GetCallerIdentity)."""
    if not needs.aws:
        return Finding(True, "nothing to check: no part of this configuration is on AWS")
    import boto3

    return _asked(
        lambda: f"AWS knows the caller as {boto3.client('sts').get_caller_identity()['Arn']}",
        f"AWS does not know the caller, and {', '.join(needs.aws)} needs it to",
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    )


def s3_access(needs: Needs) -> Finding:
    """Whether every bucket can be listed, and every directory that stands for one is there."""
    said = []
    for place in needs.buckets:
        found = _bucket(place, needs.sources_endpoint if place == needs.sources else None)
        if not found.good:
            return found
        said.append(found.text)
    if not needs.sources.startswith("s3://"):
        directory = Path(needs.sources)
        if not directory.is_dir():
            return Finding(False, f"the source {directory} is not a directory; see data_preparation.source")
        said.append(f"the source is the directory {directory}")
    return Finding(True, "; ".join(said))


def _bucket(place: str, endpoint: str | None) -> Finding:
    import boto3

    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    client = boto3.client("s3", endpoint_url=endpoint)
    return _asked(
        lambda: (
            f"{place} can be listed ({client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)['KeyCount']}+ objects)"
        ),
        f"{place} cannot be listed",
        "Allow s3:ListBucket on the bucket, or correct its name",
    )


def teacher_answers(ctx: Context) -> Finding:
    """Whether the teacher answers one small prompt, and will for as long as the run may take."""
    from phases.teacher_generation.teacher import parse_response
    from phases.teacher_generation.teachers import make_teacher

    settings = ctx.section("teacher_generation").teacher
    longest = timedelta(seconds=ctx.section("sagemaker_job").max_runtime_seconds)

    def answers() -> str:
        teacher = make_teacher(settings)
        warnings = teacher.check(longest)
        text = parse_response(teacher.invoke(PROBE)).text
        return " ".join([f"{teacher.note.rstrip('.')}; it answers ({len(text)} characters)", *warnings])

    return _asked(
        answers,
        f"the teacher {settings.model if settings.kind != 'offline' else settings.kind} does not answer",
        "See to what the message says, or set pipeline.skip_bedrock",
    )


def iam_role(needs: Needs) -> Finding:
    """Whether the role that a SageMaker job runs as is there."""
    if needs.job.provider != "sagemaker":
        return Finding(True, "nothing to check: the training job runs on this machine, as this user")
    if not needs.job.role:
        return Finding(False, "sagemaker_job.role is empty; name the role that the job is to run as")
    import boto3

    name = needs.job.role.rpartition("/")[2]
    return _asked(
        lambda: f"the role {boto3.client('iam').get_role(RoleName=name)['Role']['Arn']} is there",
        f"the role {name} cannot be found",
        "Create it, trusted by sagemaker.amazonaws.com, or correct sagemaker_job.role",
    )


def hf_token(ctx: Context) -> Finding:
    """Whether the Hugging Face hub knows the token, where a model comes from the hub. No token is a warning."""
    model = _student(ctx)
    if model is None:
        return Finding(True, "nothing to check: the student is made by the run itself")
    if Path(model).is_dir():
        return Finding(True, f"nothing to check: the student is the directory {model}")
    token = ctx.config.hf_token.get_secret_value()
    if not token:
        return Finding(
            False,
            f"no Hugging Face token (pipeline.hf_token); {model} can be had without one only if it is not gated",
        )
    from huggingface_hub import HfApi

    return _asked(
        lambda: f"the hub knows the token as {HfApi(token=token).whoami()['name']}",
        "the hub does not know the token in pipeline.hf_token",
        "Make a new one with read access",
    )


def config_check(ctx: Context) -> Finding:
    """What no single section can tell: that the sections fit each other, and the machines are sound."""
    from fsm.check import check
    from phases.sagemaker_job import source
    from phases.sagemaker_job.job import JobRefused

    errors = [str(f) for f in check(ctx.program) if f.severity == "error"]
    needs = Needs.of(ctx)
    if needs.job.provider == "sagemaker":
        if not needs.store.startswith("s3://"):
            errors.append(
                f"store is {needs.store}, which a job on SageMaker cannot reach; use s3://bucket/prefix"
            )
        for key in ("output", "staging", *(["source"] if needs.job.source else [])):
            if not getattr(needs.job, key).startswith("s3://"):
                errors.append(f"sagemaker_job.{key} must be s3://bucket/prefix for a job on SageMaker")
        if not needs.job.source:
            try:
                source.files(source.code(ctx.config_text, needs.job.machine, needs.job.packages, ()))
            except JobRefused as e:
                errors.append(str(e))
    if errors:
        return Finding(False, "; ".join(errors[:3]))
    return Finding(True, f"the configuration is valid, and {len(ctx.program.machines)} machines are sound")


def local_files(needs: Needs) -> Finding:
    """Whether the files that the run reads from this machine are there."""
    expected = [ROOT / "diagrams", ROOT / "machines", ROOT / "phases"]
    if missing := [str(p) for p in expected if not p.is_dir()]:
        return Finding(
            False, f"{', '.join(missing)} is missing; install the project whole, from its checkout"
        )
    files = (
        0 if needs.sources.startswith("s3://") else sum(p.is_file() for p in Path(needs.sources).rglob("*"))
    )
    return Finding(
        True, f"{len(list((ROOT / 'diagrams').glob('*.mmd')))} diagrams and {files} source files are there"
    )


def script_syntax() -> Finding:
    """Whether every Python file of the project compiles, without running any."""
    scripts = [p for package in ("fsm", "machines", "phases") for p in sorted((ROOT / package).rglob("*.py"))]
    for path in scripts:
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as e:
            return Finding(False, f"{path} is not valid Python: {e}")
    return Finding(True, f"{len(scripts)} scripts are valid Python")


def import_check(needs: Needs) -> Finding:
    """Whether the packages that the run needs can be found; nothing heavy is imported for it."""
    wanted = dict(PACKAGES)
    if needs.job.provider == "local":
        wanted |= TRAINING
    if needs.aws:
        wanted |= {"boto3": "boto3"}
    if needs.teacher.kind == "openai":
        wanted |= {"openai": "openai"}
    found, missing = [], []
    for name, distribution in wanted.items():
        try:
            if importlib.util.find_spec(name) is None:
                raise PackageNotFoundError
            found.append(f"{distribution} {version(distribution)}")
        except PackageNotFoundError:
            missing.append(distribution)
    if missing:
        return Finding(False, f"not installed: {', '.join(missing)}; install them with pip install")
    return Finding(True, ", ".join(found))


def _student(ctx: Context) -> str | None:
    """The model id or path of the student; None where the run makes it."""
    from phases.student.config import TINY

    student: str = ctx.section("qlora_training").model
    return None if student == TINY else student


def _asked(ask: Callable[[], str], bad: str, do: str) -> Finding:
    try:
        return Finding(True, ask())
    except Exception as e:  # whatever it is, the check's answer is no, with the reason
        return Finding(False, f"{bad}: {type(e).__name__}: {e}. {do}.")
