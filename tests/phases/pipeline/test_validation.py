"""Validation run alone, as the dry run it is: what it finds, what it has nothing to check for, how it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm import config as configs
from fsm import session
from fsm.engine import Nobody, Outcome

SOUND: dict[str, Any] = {
    "machine": "validation",
    "recovery": "error_recovery",
    "teacher_generation": {"teacher": {"kind": "offline"}},
    "sagemaker_job": {"provider": "local"},
    "qlora_training": {"model": "tiny-granite"},
    "pipeline": {},
}


@pytest.fixture
def validate(tmp_path: Path) -> Any:
    """Run Validation with some sections changed; the outcome and the durable data."""
    (tmp_path / "source").mkdir()

    def go(**sections: Any) -> tuple[Outcome, dict[str, Any]]:
        words = SOUND | {"data_preparation": {"source": str(tmp_path / "source")}} | sections
        path = tmp_path / "validation.yaml"
        path.write_text(yaml.safe_dump(words | {"store": str(tmp_path), "work": str(tmp_path / "work")}))
        seen: dict[str, Any] = {}

        class Look(Nobody):
            def record(self, record: Any) -> None:
                seen.update(record.get("data", {}).get("set", {}))

        return session.run(configs.load(path), observer=Look()), seen

    return go


def test_a_local_profile_passes_and_says_what_there_was_nothing_to_check_for(validate: Any) -> None:
    outcome, data = validate()
    assert outcome.outcome == "done"
    said = data["validation"]
    assert list(said) == [
        "AWSCredentials",
        "S3Access",
        "BedrockAuth",
        "IAMRole",
        "HFToken",
        "ConfigCheck",
        "LocalFiles",
        "ScriptSyntax",
        "ImportCheck",
    ]
    for check in ("AWSCredentials", "IAMRole", "HFToken"):
        assert said[check].startswith("nothing to check")
    assert "no model answers" in said["BedrockAuth"]


def test_a_source_that_is_not_there_fails_the_validation(validate: Any) -> None:
    outcome, data = validate(data_preparation={"source": "/no/such/place"})
    assert (outcome.outcome, outcome.last) == ("failed", "ValidationError")
    assert (
        data["validation_error"]
        == "S3Access: the source /no/such/place is not a directory; see data_preparation.source."
    )


def test_skip_bedrock_warns_and_goes_on_to_the_configuration(validate: Any) -> None:
    outcome, data = validate(pipeline={"skip_bedrock": True})
    assert outcome.outcome == "done"
    assert "pipeline.skip_bedrock" in data["validation_warning"]
    assert "IAMRole" not in data["validation"], "as drawn: the warning leads to ConfigCheck"


def test_a_hub_model_without_a_token_is_a_warning(validate: Any) -> None:
    outcome, data = validate(qlora_training={"model": "ibm-granite/granite-4.1-8b"})
    assert outcome.outcome == "done"
    assert "no Hugging Face token" in data["validation_warning"]


def test_a_job_on_sagemaker_needs_a_role_and_a_store_it_can_reach(
    validate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    outcome, data = validate(sagemaker_job={"provider": "sagemaker"})
    assert outcome.outcome == "failed"
    assert data["validation_error"].startswith(
        "AWSCredentials: AWS does not know the caller, and jobs on SageMaker needs it to"
    )
