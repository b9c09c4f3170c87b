"""The teacher that a configuration names."""

from __future__ import annotations

from functools import lru_cache

from phases.teacher_generation.config import TeacherConfig
from phases.teacher_generation.offline import OfflineTeacher
from phases.teacher_generation.teacher import Teacher


def make_teacher(settings: TeacherConfig, workers: int = 10) -> Teacher:
    """The teacher of these settings, for so many threads. A Bedrock client is made once and shared.

    An API key of the environment is sent as a header; without one, requests are signed by IAM credentials.
    """
    if settings.kind == "offline":
        return OfflineTeacher()
    from phases.teacher_generation.bedrock import api_key

    return _bedrock(settings, workers, api_key())


@lru_cache(maxsize=4)
def _bedrock(settings: TeacherConfig, workers: int, key: str | None) -> Teacher:
    from phases.teacher_generation.bedrock import BedrockTeacher, runtime_client

    return BedrockTeacher(settings, runtime_client(settings, workers, key))
