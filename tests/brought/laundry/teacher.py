"""A teacher that washes what it is asked."""

from datetime import timedelta
from typing import Any

from phases.teacher_generation.config import TeacherConfig
from phases.teacher_generation.takes import Takes


class Washer:
    name = "washer"
    note = "The teacher is a washing machine."
    takes = Takes(sampling="none", context=100)
    credentials = "none"

    def question(self, prompt: str) -> None:
        return None

    def invoke(self, prompt: str) -> dict[str, Any]:
        text = f"int washed(int stains)\n{{\n    return stains - {len(prompt)};\n}}\n"
        return {
            "output": {"message": {"content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 1, "outputTokens": 2},
        }

    def check(self, lasting: timedelta) -> list[str]:
        return []


def make(settings: TeacherConfig, workers: int) -> Washer:
    return Washer()
