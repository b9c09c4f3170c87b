"""BedrockAuth: whether the teacher's model is there to stay, and answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phases.pipeline.validation.finding import (
    Finding,
    asked,
    asked_if_allowed,
    good,
    idle,
    unknown,
    warning,
)
from phases.pipeline.validation.needs import Needs
from phases.sagemaker_job.role import PROFILE

PROBE = "Answer with the single word: ready"
SKIPPED = "the teacher is not checked: pipeline.skip_bedrock is set"


def bedrock_auth(needs: Needs) -> Iterator[Finding]:
    """GetFoundationModel for the model's life cycle, and one small question."""
    if needs.teacher is None:
        yield idle("no teacher takes part in this configuration")
        return
    if needs.pipeline.skip_bedrock:
        yield warning(SKIPPED)
        return
    if _on_aws(needs):
        if needs.refused:
            yield unknown(f"{needs.teacher.model_id} is not asked: AWS does not know the caller")
            return
        yield asked_if_allowed(
            f"the life cycle of {needs.teacher.model_id}",
            lambda: _life_cycle(needs),
            "A model at the end of its life is seen only when it no longer answers.",
        )
    yield _answers(needs)


def _on_aws(needs: Needs) -> bool:
    return bool(needs.teacher.kind == "bedrock" and not needs.teacher.endpoint_url)


def _answers(needs: Needs) -> Finding:
    from phases.teacher_generation.teacher import parse_response
    from phases.teacher_generation.teachers import make_teacher

    settings = needs.teacher
    paid = settings.kind != "offline"
    teacher = make_teacher(settings.model_copy(update={"max_tokens": 1}) if paid else settings)

    def answer() -> Finding:
        response = needs.ask(lambda: teacher.invoke(PROBE))
        how = "one token" if paid else f"{len(parse_response(response).text)} characters"
        return good(f"{teacher.note.rstrip('.')}; it answers ({how})")

    return asked(f"the teacher {teacher.name} does not answer", answer)


def models(needs: Needs) -> tuple[str, ...]:
    """The ARNs of the models that the teacher's id stands for: those behind an inference profile, or the one.

    Raises what botocore raises.
    """
    bedrock = needs.client("bedrock", region=needs.teacher.region)
    model = needs.teacher.model_id
    if not PROFILE.match(model):
        return (_details(needs, bedrock, model)["modelArn"],)
    profile = needs.ask(lambda: bedrock.get_inference_profile(inferenceProfileIdentifier=model))
    return tuple(m["modelArn"] for m in profile["models"])


def _details(needs: Needs, bedrock: Any, model: str) -> dict[str, Any]:
    found: dict[str, Any] = needs.ask(lambda: bedrock.get_foundation_model(modelIdentifier=model))[
        "modelDetails"
    ]
    return found


def _life_cycle(needs: Needs) -> Finding:
    bedrock = needs.client("bedrock", region=needs.teacher.region)
    model = models(needs)[0].rpartition("/")[2]
    details = _details(needs, bedrock, model)
    life = details.get("modelLifecycle", {})
    if life.get("status") == "LEGACY":
        end = f" and ends on {life['endOfLifeTime']:%Y-%m-%d}" if "endOfLifeTime" in life else ""
        return warning(
            f"{model} is legacy{end}",
            "Name its successor in teacher_generation.teacher.model_id before it stops answering.",
        )
    return good(f"{details.get('modelName', model)} is {life.get('status', 'ACTIVE').lower()}")
