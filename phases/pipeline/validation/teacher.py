"""BedrockAuth: whether the teacher's model is there to stay, and answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from phases.pipeline.validation.finding import Finding, asked, good, idle, refused, unknown, warning
from phases.pipeline.validation.needs import Needs
from phases.sagemaker_job.role import PROFILE

PROBE = "Answer with the single word: ready"
SKIPPED = "the teacher is not checked: pipeline.skip_bedrock is set"


def bedrock_auth(needs: Needs) -> Iterator[Finding]:
    """The model's life cycle (GetFoundationModel) for as long as the run may take, and one small question."""
    settings = needs.teacher
    if settings is None:
        yield idle("no teacher takes part in this configuration")
        return
    if needs.pipeline.skip_bedrock:
        yield warning(SKIPPED)
        return
    if needs.teaches_on_aws and needs.refused:
        yield unknown(f"{settings.model} is not asked: AWS does not know the caller")
        return
    from phases.teacher_generation.teachers import make_teacher

    name = settings.kind if settings.kind == "offline" else settings.model
    doubt = f"the teacher {name} does not answer"
    try:
        teacher = make_teacher(settings)
        doubts = teacher.check(timedelta(seconds=needs.job.max_runtime_seconds if needs.job else 0))
    except Exception as e:
        yield refused(f"the teacher {name} cannot be asked", e)
        return
    yield from (warning(one.rstrip(".")) for one in doubts)
    yield asked(doubt, lambda: _answers(needs))


def _answers(needs: Needs) -> Finding:
    """One token of an answer is enough, where it is paid for."""
    from phases.teacher_generation.teacher import parse_response
    from phases.teacher_generation.teachers import make_teacher

    settings = needs.teacher
    paid = settings.kind != "offline"
    teacher = make_teacher(settings.model_copy(update={"max_tokens": 1}) if paid else settings)
    response = needs.ask(lambda: teacher.invoke(PROBE))
    how = "one token" if paid else f"{len(parse_response(response).text)} characters"
    return good(f"{teacher.note.rstrip('.')}; it answers ({how})")


def models(needs: Needs) -> tuple[str, ...]:
    """The ARNs of the models that the teacher's id stands for: those behind an inference profile, or the one.

    Raises what botocore raises.
    """
    bedrock = needs.client("bedrock", region=needs.teacher.region)
    model = needs.teacher.model
    if not PROFILE.match(model):
        details: dict[str, Any] = needs.ask(lambda: bedrock.get_foundation_model(modelIdentifier=model))
        return (details["modelDetails"]["modelArn"],)
    profile = needs.ask(lambda: bedrock.get_inference_profile(inferenceProfileIdentifier=model))
    return tuple(m["modelArn"] for m in profile["models"])
