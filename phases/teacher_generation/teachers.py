"""The teacher that a configuration names: one of the project's own, or what another package brings.

A package brings one by an entry point of the group `fsm.teachers`, whose name is the kind and which loads a `Maker`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from fsm.errors import ConfigError
from phases.teacher_generation import bedrock, openai
from phases.teacher_generation.bedrock import BedrockTeacher
from phases.teacher_generation.config import BUILT_IN, TeacherConfig, brought_kinds
from phases.teacher_generation.offline import OfflineTeacher
from phases.teacher_generation.openai import OpenAITeacher
from phases.teacher_generation.teacher import Teacher

Maker = Callable[[TeacherConfig, int], Teacher]
"""Makes the teacher of these settings, for so many threads. Called once a process for the same settings."""

KEPT = 8
_made: dict[tuple[str, ...], Teacher] = {}
_lock = threading.Lock()


def make_teacher(settings: TeacherConfig, workers: int = 10) -> Teacher:
    """The teacher of these settings, for so many threads: the same for the same settings, so that clients are shared.

    Raises ConfigError where what brings it cannot be loaded.
    """
    name = (settings.model_dump_json(), openai.key(settings), bedrock.api_key() or "", str(workers))
    with _lock:
        if name not in _made:
            if len(_made) >= KEPT:
                _made.clear()
            _made[name] = maker(settings.kind)(settings, workers)
        return _made[name]


def unconnected(settings: TeacherConfig, workers: int = 10) -> Teacher:
    """The teacher of these settings for its questions alone: without a client where it is one of the project's own."""
    if settings.kind == "openai":
        return OpenAITeacher(settings)
    return (
        BedrockTeacher(settings) if settings.kind.startswith("bedrock") else make_teacher(settings, workers)
    )


def maker(kind: str) -> Maker:
    """What makes teachers of a kind that there is. Raises ConfigError where it cannot be loaded."""
    if kind in BUILT_IN:
        return _offline if kind == "offline" else _openai if kind == "openai" else _bedrock
    entry = brought_kinds()[kind]
    try:
        found: Maker = entry.load()
    except Exception as error:
        raise ConfigError(
            f"teacher_generation.teacher.kind: the teacher {entry.name!r} ({entry.value}) cannot be loaded: "
            f"{type(error).__name__}: {error}."
        ) from error
    return found


def _offline(settings: TeacherConfig, workers: int) -> Teacher:
    return OfflineTeacher()


def _openai(settings: TeacherConfig, workers: int) -> Teacher:
    return OpenAITeacher(settings, openai.client(settings, workers))


def _bedrock(settings: TeacherConfig, workers: int) -> Teacher:
    return BedrockTeacher(settings, bedrock.runtime_client(settings, workers, bedrock.api_key()))
