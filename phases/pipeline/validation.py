"""The checks of Validation by the states that make them: everything that can fail early, before anything is paid for.

A check looks at what this configuration really needs. Where it needs nothing, it says so and passes.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from phases.pipeline import asking
from phases.pipeline.finding import Finding, bad, good, not_known, nothing, warning
from phases.pipeline.subject import Subject

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
TOO_OLD = "A library that is too old stops the job."
SHOWN = 3  # mistakes of a configuration that are told at once


def buckets(subject: Subject) -> Iterator[Finding]:
    """Every bucket, and every directory that stands for one."""
    yield from asking.buckets(subject)
    if not subject.sources.startswith("s3://"):
        directory = Path(subject.sources)
        if directory.is_dir():
            yield good("sources", f"the source is the directory {directory}")
        else:
            yield bad("sources", f"the source {directory} is not a directory", "See data_preparation.source.")


def hub(subject: Subject) -> Iterator[Finding]:
    """Whether the Hugging Face hub knows the token, and lets it at the model. No token is a warning."""
    model = subject.student()
    if model is None:
        yield nothing("hub", "the student is made by the run itself")
        return
    if Path(model).is_dir():
        yield nothing("hub", f"the student is the directory {model}")
        return
    token = subject.section("pipeline").hf_token.get_secret_value()
    if not token:
        text = f"no Hugging Face token (pipeline.hf_token); {model} can be had without one only if it is not gated"
        yield warning("hub", text)
        return
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    api = HfApi(token=token)
    try:
        yield good("hub", f"the hub knows the token as {api.whoami()['name']}")
    except HfHubHTTPError as e:
        text = f"the hub does not know the token in pipeline.hf_token: {e}"
        yield bad("hub", text, "Make a new one with read access.")
        return
    except Exception as e:
        yield not_known(
            "hub",
            f"{type(e).__name__}: {e}",
            "A token that the hub refuses stops the job when it loads the model.",
        )
        return
    try:
        api.auth_check(model)
    except GatedRepoError:
        yield bad(
            "model",
            f"{model} is gated, and the token has no access",
            f"Ask for it at huggingface.co/{model}.",
        )
    except RepositoryNotFoundError:
        yield bad(
            "model",
            f"the hub has no {model}, or it is private",
            "Correct qlora_training.model, or take another token.",
        )
    except Exception as e:
        yield not_known(
            "model", f"{type(e).__name__}: {e}", "A model that cannot be had stops the job when it loads it."
        )
    else:
        yield good("model", f"the token may have {model}")


def configuration(subject: Subject) -> Iterator[Finding]:
    """What no single section can tell: that the sections fit each other, the machines are sound, the account has what is asked."""
    from fsm.check import check

    errors = [str(f) for f in check(subject.program) if f.severity == "error"]
    job = subject.job
    if subject.rented:
        if not subject.store.startswith("s3://"):
            errors.append(
                f"store is {subject.store}, which a job on SageMaker cannot reach; use s3://bucket/prefix"
            )
        for key in (
            "output",
            "staging",
            *(["source"] if job.source else []),
            *(["wheels"] if job.wheels else []),
        ):
            if not getattr(job, key).startswith("s3://"):
                errors.append(f"sagemaker_job.{key} must be s3://bucket/prefix for a job on SageMaker")
        if not errors:
            errors += _request(subject)
    if errors:
        yield bad("configuration", "; ".join(errors[:SHOWN]), "Correct the configuration.")
    else:
        yield good(
            "configuration",
            f"the configuration is valid, and {len(subject.program.machines)} machines are sound",
        )
    yield from asking.account(subject)


def _request(subject: Subject) -> list[str]:
    """What the service would refuse of the request that the configuration makes."""
    from phases.sagemaker_job.job import Code, JobRefused, JobSpec
    from phases.sagemaker_job.request import problems, training_job

    if not subject.job.role:
        return []  # IAMRole tells
    spec = JobSpec("validation", {}, {"machine": subject.job.machine}, {}, Code())
    try:
        if not subject.job.source:
            list(subject.shipped())
    except JobRefused as e:
        return [str(e)]
    return problems(
        training_job(subject.job, spec, "validation", {"config": "s3://bucket/config/"}, "s3://bucket/code/")
    )


def files(subject: Subject) -> Iterator[Finding]:
    """Whether the files that the run reads from this machine are there."""
    expected = [ROOT / "diagrams", ROOT / "machines", ROOT / "phases"]
    if missing := [str(p) for p in expected if not p.is_dir()]:
        yield bad(
            "project", f"{', '.join(missing)} is missing", "Install the project whole, from its checkout."
        )
    there = subject.sources.startswith("s3://") or not Path(subject.sources).is_dir()
    count = 0 if there else sum(p.is_file() for p in Path(subject.sources).rglob("*"))
    yield good(
        "files", f"{len(list((ROOT / 'diagrams').glob('*.mmd')))} diagrams and {count} source files are there"
    )
    for channel, given in sorted(subject.job.channels.items()):
        if gone := [path for path in given.values() if not Path(path).is_file()]:
            yield bad(f"channel {channel}", f"{', '.join(gone)} is not a file", "See sagemaker_job.channels.")


def scripts(subject: Subject) -> Iterator[Finding]:
    """Whether every Python file that is shipped compiles, without running any."""
    from phases.sagemaker_job.job import JobRefused

    try:
        shipped = list(subject.shipped())
    except JobRefused as e:
        yield bad("scripts", str(e), "See `plug` and sagemaker_job.packages.")
        return
    for script in shipped:
        text = script.read_bytes() if isinstance(script, Path) else script
        try:
            compile(text, str(script), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as e:
            yield bad("scripts", f"{script} is not valid Python: {e}", "Correct it.")
            return
    yield good("scripts", f"{len(shipped)} scripts are valid Python")


def imports(subject: Subject) -> Iterator[Finding]:
    """Whether the packages that the run needs can be found, here and in the image; nothing heavy is imported for it."""
    wanted = dict(PACKAGES)
    if not subject.rented:
        wanted |= TRAINING
    if subject.on_aws():
        wanted |= {"boto3": "boto3"}
    if subject.teacher.kind == "openai":
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
        yield bad("packages", f"not installed: {', '.join(missing)}", "Install them with pip install.")
    else:
        yield good("packages", ", ".join(found))
    if subject.rented:
        yield _in_the_image(subject)


def _in_the_image(subject: Subject) -> Finding:
    """The default image's libraries, against what the project asks of them."""
    from packaging.requirements import Requirement

    from phases.sagemaker_job.config import IMAGE
    from phases.sagemaker_job.source import IN_THE_IMAGE, of_the_image

    if subject.job.image != IMAGE:
        return not_known(
            "image's packages",
            "only those of the default image are known",
            TOO_OLD,
        )
    try:
        declared = requires("fsm-pipelines") or []
    except PackageNotFoundError:
        return not_known("image's packages", "the project is not installed here", TOO_OLD)
    asked = {r.name: r for r in map(Requirement, declared) if r.marker is None}
    there = of_the_image()
    wrong = [
        f"{name} {there[name]}, and {asked[name].specifier} is asked for"
        for name in IN_THE_IMAGE
        if name in there and name in asked and name != "torch" and there[name] not in asked[name].specifier
    ]
    if wrong:
        return bad(
            "image's packages",
            "; ".join(wrong),
            "Take another image, or name versions in sagemaker_job.requirements.",
        )
    return good("image's packages", ", ".join(f"{n} {there[n]}" for n in IN_THE_IMAGE if n in there))


Check = Callable[[Subject], Iterator[Finding]]
CHECKS: Mapping[str, Check] = {
    "AWSCredentials": asking.credentials,
    "S3Access": buckets,
    "BedrockAuth": asking.teacher,
    "IAMRole": asking.role,
    "HFToken": hub,
    "ConfigCheck": configuration,
    "LocalFiles": files,
    "ScriptSyntax": scripts,
    "ImportCheck": imports,
}
"""The states of Validation in their order, and what each asks."""


def made(state: str, subject: Subject) -> list[Finding]:
    """The findings of a state."""
    return list(asking.timed(CHECKS[state](subject)))


def environment() -> Mapping[str, str]:
    """What of the environment says where services are."""
    return {k: v for k, v in os.environ.items() if k.startswith("AWS_ENDPOINT_URL")}
