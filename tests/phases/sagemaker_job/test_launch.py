"""A launch that is not made: its request as it would be sent, and what it may cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm import cli
from phases.rehearsal.json_service import JsonService
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.prices import price
from phases.services import client

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`fsm launch --dry-run` of configs/pipeline.yaml with keys of sagemaker_job changed: (exit code, stdout, stderr)."""
    monkeypatch.setenv("PIPELINE_BUCKET", "my-bucket")
    monkeypatch.setenv("SAGEMAKER_ROLE", "arn:aws:iam::123456789012:role/fsm-training")
    monkeypatch.setenv("HF_TOKEN", "hf_notToBeTold")
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:1")  # so that nobody is asked

    def go(*words: str, **job: Any) -> tuple[int, str, str]:
        said = yaml.safe_load((CONFIGS / "pipeline.yaml").read_text())
        said["sagemaker_job"] |= job
        path = tmp_path / "pipeline.yaml"
        path.write_text(yaml.safe_dump(said))
        code = cli.main(["launch", str(path), "--dry-run", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return go


def test_a_dry_run_says_the_request_and_the_cost_and_no_secret(launched: Any) -> None:
    code, out, _ = launched("--json", instance_type=["ml.g5.2xlarge", "ml.g9.huge"], max_runtime_seconds=7200)
    told = json.loads(out)
    request = told["request"]
    assert request["HyperParameters"]["store"] == "s3://my-bucket/fsm"
    assert request["Environment"]["HF_TOKEN"] == "**********"
    assert "hf_notToBeTold" not in out
    assert [c["ChannelName"] for c in request["InputDataConfig"]] == ["code", "config", "train", "validation"]
    known, unknown = told["costs"]
    assert known["most"] == pytest.approx(2 * known["hour"])
    assert (unknown["hour"], unknown["most"]) == (None, None)
    assert code == 0
    assert "ml.g5.2xlarge: $1.515 an hour on demand" in launched(max_runtime_seconds=7200)[1]


def test_a_dry_run_of_what_the_service_would_refuse_says_so(launched: Any) -> None:
    code, _, err = launched(instance_type="ml.g9.huge")
    assert code == 2
    assert "ResourceConfig.InstanceType is 'ml.g9.huge'" in err


def test_a_job_on_this_machine_rents_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["launch", str(CONFIGS / "local.yaml"), "--dry-run"]) == 0
    assert "nothing is rented by AWS" in capsys.readouterr().out


def test_a_price_is_ones_own_or_the_price_lists_or_an_old_one() -> None:
    kind = "ml.g5.2xlarge"
    term = {
        "sku.1": {"priceDimensions": {"sku.1.1": {"unit": "Hrs", "pricePerUnit": {"USD": "1.6000000000"}}}}
    }
    listed = {"FormatVersion": "aws_v1", "PriceList": [json.dumps({"terms": {"OnDemand": term}})]}
    with JsonService({"GetProducts": lambda request: listed}) as http:
        pricing = client("pricing", region="us-east-1", endpoint_url=http.url)
        asked = price(SageMakerJobConfig(), kind, pricing)
        assert (asked.hour, asked.source) == (1.6, "AWS's price list")
    assert price(SageMakerJobConfig(price_per_hour=0.5), kind).hour == 0.5
    assert "2025" in price(SageMakerJobConfig(), kind).source
    assert price(SageMakerJobConfig(), "ml.g9.huge").hour is None
