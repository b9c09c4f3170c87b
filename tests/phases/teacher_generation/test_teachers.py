"""Which teacher a configuration names, what each declares, and one that another package brings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fsm.errors import ConfigError
from phases.teacher_generation.config import TeacherConfig
from phases.teacher_generation.takes import FAMILIES, Takes, takes
from phases.teacher_generation.teachers import make_teacher, unconnected

MODULE = '''
from dataclasses import dataclass
from datetime import timedelta

from phases.teacher_generation.takes import Takes


@dataclass
class Parrot:
    """Says after a comment what it was asked."""

    word: str
    name: str = "parrot"
    note: str = "The teacher is a parrot."
    takes: Takes = Takes(sampling="none", context=100)
    credentials: str = "none"

    def question(self, prompt):
        return None

    def invoke(self, prompt):
        text = f"int {self.word}(int said)\\n{{\\n    return said + {len(prompt)};\\n}}\\n"
        return {
            "output": {"message": {"content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 1, "outputTokens": 2},
        }

    def check(self, lasting: timedelta):
        return []


def make(settings, workers):
    return Parrot(settings.options["word"])


'''
ENTRIES = "[fsm.teachers]\nparrot = parrot_teacher:make\nabsent = no_such_module:make\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of somebody else's, as pip leaves one."""
    site = tmp_path / "site"
    info = site / "parrot_teacher-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "parrot_teacher.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot-teacher\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "parrot_teacher", raising=False)


def test_a_package_brings_a_teacher_that_is_asked_like_any_other(
    installed: None, finish: Callable[..., Any], tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"prompt": "Write a gate."}) + "\n")
    teacher = {"kind": "parrot", "options": {"word": "polly"}}
    done = finish("teacher_generation", {"teacher": teacher, "prompts": str(prompts)})
    assert done.outcome.outcome == "done"
    [row] = done.rows("teacher/outputs.jsonl")
    assert row["messages"][-1]["content"].startswith("int polly(int said)")
    assert (row["teacher"], done.data["note"]) == ("parrot", "The teacher is a parrot.")


def test_a_kind_that_nobody_brings_is_refused_with_those_there_are(installed: None) -> None:
    with pytest.raises(ValidationError, match="bedrock, bedrock-batch, offline, openai, absent, parrot"):
        TeacherConfig(kind="bedrok")
    with pytest.raises(ConfigError, match="cannot be loaded: ModuleNotFoundError"):
        make_teacher(TeacherConfig(kind="absent"))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"options": {"word": "x"}}, "no options"),
        ({"kind": "bedrock-batch"}, "place: s3://bucket/prefix"),
        ({"model_id": "anthropic.claude-3-haiku-20240307-v1:0", "structured": True}, "not known to take"),
        ({"kind": "bedrock-batch", "batch": {"place": "/tmp", "role": "arn:x"}}, "should match pattern"),
    ],
)
def test_what_does_not_fit_a_kind_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TeacherConfig(**settings)


def test_the_same_settings_are_the_same_teacher_and_another_key_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    one = TeacherConfig(endpoint_url="http://127.0.0.1:1")
    assert make_teacher(one) is make_teacher(one.model_copy())
    before = make_teacher(one)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "k")
    assert make_teacher(one) is not before


@pytest.mark.parametrize(
    ("model", "sampling", "cache"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "one", 1024),
        ("global.anthropic.claude-opus-4-7", "none", 2048),
        ("us.anthropic.claude-opus-4-8", "none", 1024),
        ("us.anthropic.claude-sonnet-5-5", "none", 1024),
        ("us.anthropic.claude-opus-5", "none", 512),
        ("anthropic.claude-3-haiku-20240307-v1:0", "both", None),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "one", 4096),
        ("us.amazon.nova-pro-v1:0", "both", 1024),
        ("meta.llama3-3-70b-instruct-v1:0", "both", None),
    ],
)
def test_what_a_model_takes_goes_by_its_family(model: str, sampling: str, cache: int | None) -> None:
    found = takes(model)
    assert (found.sampling, found.cache_from) == (sampling, cache)


def test_a_quota_counts_the_answers_of_newer_models_five_times() -> None:
    models = ("us.anthropic.claude-sonnet-4-5-v1:0", "anthropic.claude-3-5-sonnet", "us.amazon.nova-pro-v1:0")
    assert [takes(model).burndown for model in models] == [5, 1, 1]


def test_the_configuration_knows_better_than_the_table() -> None:
    told = takes("us.anthropic.claude-opus-5", Takes(sampling="both"))
    assert (told.sampling, told.cache_from) == ("both", 512)
    assert all(of.sampling == "none" or of.output for part, of in FAMILIES if part.startswith("claude"))


@pytest.mark.parametrize(
    ("settings", "kind", "credentials", "counted", "batch"),
    [
        ({}, "bedrock", "aws", True, True),
        ({"kind": "openai", "model_id": "m", "endpoint_url": "http://x/v1"}, "openai", "none", False, False),
        ({"kind": "offline"}, None, "none", False, False),
    ],
)
def test_each_teacher_declares_what_it_takes(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    kind: str | None,
    credentials: str,
    counted: bool,
    batch: bool,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    teacher = unconnected(TeacherConfig(**settings))
    question = teacher.question("gate?")
    assert (question or {}).get("kind") == kind
    assert teacher.credentials == credentials
    assert (teacher.takes.tokens_a_minute, teacher.takes.batch) == (counted, batch)
