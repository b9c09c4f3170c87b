"""The rehearsed Bedrock, asked by the unmodified boto3."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EventStreamError,
    ReadTimeoutError,
)

from phases.rehearsal.bedrock import SONNET, Bedrock, Model
from phases.rehearsal.model import Lognormal, Quota, Said, tokens
from phases.rehearsal.wire import Reply, refusal
from tests.servers.rehearsed import ServedBedrock

MODEL = f"us.{SONNET}"
ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=5)


def client(service: ServedBedrock, name: str = "bedrock-runtime", config: Config = ONCE) -> Any:
    return boto3.Session().client(name, region_name="us-east-1", endpoint_url=service.url, config=config)


def converse(service: ServedBedrock, text: str = "gate?", config: Config = ONCE, **more: Any) -> Any:
    asked = {
        "messages": [{"role": "user", "content": [{"text": text}]}],
        "inferenceConfig": {"maxTokens": 100},
    }
    return client(service, config=config).converse(modelId=MODEL, **{**asked, **more})


def refused(service: ServedBedrock, **more: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        converse(service, **more)
    said = caught.value.response
    return said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Code"], said["Error"]["Message"]


def test_an_answer_is_that_of_the_offline_teacher_with_its_usage_and_its_price(
    bedrock: ServedBedrock,
) -> None:
    answer = converse(bedrock, "Write a token bucket.", inferenceConfig={"maxTokens": 900})
    text = answer["output"]["message"]["content"][0]["text"]
    assert "{" in text
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"] == {
        "inputTokens": 10,
        "outputTokens": tokens(text),
        "totalTokens": 10 + tokens(text),
    }
    assert bedrock.bill.dollars == Decimal("1.1") * (10 * 3 + tokens(text) * 15) / 1_000_000
    with urlopen(f"{bedrock.url}/-/bill") as bill:
        assert json.load(bill)["answers"] == 1


def test_what_is_longer_than_max_tokens_is_cut_there(bedrock: ServedBedrock) -> None:
    bedrock.answer = lambda asked: "int x; " * 100
    answer = converse(bedrock, inferenceConfig={"maxTokens": 5})
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("max_tokens", 5)


def test_a_stream_comes_in_events_and_may_break_off(bedrock: ServedBedrock) -> None:
    asked: dict[str, Any] = {
        "modelId": MODEL,
        "messages": [{"role": "user", "content": [{"text": "gate?"}]}],
    }
    events = list(client(bedrock).converse_stream(**asked)["stream"])
    text = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
    assert (
        text
        == converse(bedrock, inferenceConfig={"maxTokens": 900})["output"]["message"]["content"][0]["text"]
    )
    assert events[-1]["metadata"]["usage"]["outputTokens"] == tokens(text)
    bedrock.answer = lambda asked: Said("int x; " * 100, broken="modelStreamErrorException")
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        list(client(bedrock).converse_stream(**asked)["stream"])


def test_tokens_are_counted_as_they_will_be_charged(bedrock: ServedBedrock) -> None:
    said: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "Write a gate."}]}]}
    counted = client(bedrock).count_tokens(modelId=MODEL, input={"converse": said})["inputTokens"]
    assert counted == converse(bedrock, **said)["usage"]["inputTokens"]


def test_a_system_turn_before_a_cache_point_is_written_once_and_then_read(bedrock: ServedBedrock) -> None:
    system = [{"text": "C only. " * 1000}, {"cachePoint": {"type": "default"}}]
    first, second = (converse(bedrock, system=system)["usage"] for _ in range(2))
    assert first["cacheWriteInputTokens"] == second["cacheReadInputTokens"] == 2000
    assert first["inputTokens"] == second["inputTokens"] < 20


def test_what_is_on_offer_and_until_when(bedrock: ServedBedrock) -> None:
    end = datetime(2027, 1, 1, tzinfo=UTC)
    bedrock.models[SONNET] = Model(ends=end)
    control = client(bedrock, "bedrock")
    [named] = control.get_inference_profile(inferenceProfileIdentifier=MODEL)["models"]
    life = control.get_foundation_model(modelIdentifier=named["modelArn"].rpartition("/")[2])["modelDetails"][
        "modelLifecycle"
    ]
    assert life == {"status": "LEGACY", "endOfLifeTime": end}
    bedrock.models[SONNET] = Model(ends=datetime.now(UTC) - timedelta(days=1))
    assert refused(bedrock)[:2] == (404, "ResourceNotFoundException")
    with pytest.raises(ClientError, match="identifier is invalid"):
        client(bedrock).converse(modelId="us.nobody.nothing", messages=[])
    bedrock.models[SONNET] = Model()
    with pytest.raises(ClientError, match="on-demand throughput"):
        client(bedrock).converse(modelId=SONNET, messages=[])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"messages": []}, "must start with a user message"),
        ({"text": " "}, "is blank"),
        ({"inferenceConfig": {"temperature": 0.1, "topP": 0.9}}, "cannot both be specified"),
        ({"text": "long " * 200_000}, "Input is too long"),
    ],
)
def test_what_cannot_be_asked_is_refused(bedrock: ServedBedrock, asked: dict[str, Any], words: str) -> None:
    status, code, message = refused(bedrock, **asked)
    assert (status, code) == (400, "ValidationException")
    assert words in message
    assert bedrock.bill.paid.total() == 0


def test_a_model_without_sampling_takes_no_temperature(bedrock: ServedBedrock) -> None:
    bedrock.models[SONNET] = Model(sampling=False)
    assert "`temperature` is deprecated" in refused(bedrock, inferenceConfig={"temperature": 0.2})[2]
    converse(bedrock)


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "ThrottlingException"), (408, "ModelTimeoutException"), (424, "ModelErrorException"), (503, "ServiceUnavailableException")],
)  # fmt: skip
def test_an_error_is_read_by_the_client_as_one(bedrock: ServedBedrock, status: int, code: str) -> None:
    bedrock.answer = lambda asked: refusal(status, code, "So it is.")
    assert refused(bedrock) == (status, code, "So it is.")
    assert bedrock.bill.paid.total() == 0


def test_a_connection_may_be_closed_before_or_in_the_middle_of_an_answer_that_is_paid_for(
    bedrock: ServedBedrock,
) -> None:
    bedrock.answer = lambda asked: Said("int x;", cut=0)
    with pytest.raises(ConnectionClosedError):
        converse(bedrock)
    bedrock.answer = lambda asked: Said("int x;", cut=150)
    assert "output" not in converse(bedrock)  # botocore takes half a body for an empty one
    assert bedrock.bill.paid.total() == 2


def test_an_answer_may_be_slow_or_garbage(bedrock: ServedBedrock) -> None:
    bedrock.answer = lambda asked: Said("int x;", after=1)
    with pytest.raises(ReadTimeoutError):
        converse(bedrock, config=ONCE.merge(Config(read_timeout=0.1)))
    bedrock.answer = lambda asked: Reply(body=b"<html>gateway</html>", kind="text/html")
    assert "output" not in converse(bedrock)  # nor does it mind a body that is no JSON


def test_who_asks_is_known_by_a_signature_of_this_hour(bedrock: ServedBedrock) -> None:
    bedrock.offset = 3600
    assert refused(bedrock)[1] == "InvalidSignatureException"
    bedrock.offset = -3600
    assert "not yet current" in refused(bedrock)[2]
    bedrock.offset, bedrock.expired = 0, True
    assert refused(bedrock)[:2] == (403, "ExpiredTokenException")


def test_or_by_an_api_key_that_goes_by_https_alone(bedrock_with_key: ServedBedrock) -> None:
    converse(bedrock_with_key)
    assert bedrock_with_key.asked[-1].headers["authorization"] == "Bearer bedrock-api-key-1"
    bedrock_with_key.keys = frozenset()
    assert "API Key is valid" in refused(bedrock_with_key)[2]


def test_a_call_takes_its_input_and_max_tokens_at_its_start_and_gives_back_at_its_end() -> None:
    now = [0.0]
    quota = Quota(tokens=1000, burndown=5, clock=lambda: now[0])
    assert quota.take(600) == ""
    assert quota.take(600) == "tokens"
    quota.settle(600, 100 + 5 * 20)
    assert quota.take(800) == ""
    assert quota.take(1) == "tokens"
    now[0] += 30
    assert quota.take(501) == "tokens"
    assert quota.take(500) == ""


def test_requests_are_counted_too(bedrock: ServedBedrock) -> None:
    bedrock.quota = Quota(requests=2)
    converse(bedrock)
    converse(bedrock)
    assert refused(bedrock) == (
        429,
        "ThrottlingException",
        "Too many requests, please wait before trying again.",
    )
    assert (bedrock.bill.calls, bedrock.bill.throttled) == (3, 1)


def test_latencies_are_lognormal_and_each_prompt_has_its_own(bedrock: ServedBedrock) -> None:
    latency = Lognormal(0.2)
    converse(bedrock)
    [asked] = bedrock.asked
    draws = sorted(Lognormal(0.2, seed=n)(asked) for n in range(4000))
    assert draws[2000] == pytest.approx(0.2, rel=0.1)
    assert draws[3960] == pytest.approx(2.0, rel=0.25)
    assert latency(asked) == Lognormal(0.2)(asked)


class Objects:
    """As much of an S3 client as a batch job needs."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.kept[f"{Bucket}/{Key}"])}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:
        self.kept[f"{Bucket}/{Key}"] = Body


def job(service: Bedrock, control: Any, records: int) -> Any:
    service.s3 = objects = Objects()
    texts = ["bad" if n == 7 else f"gate {n}" for n in range(records)]
    rows = [{"messages": [{"role": "user", "content": [{"text": text}]}]} for text in texts]
    lines = "".join(json.dumps({"recordId": f"r{n}", "modelInput": row}) + "\n" for n, row in enumerate(rows))
    objects.put_object("b", "in/asked.jsonl", lines.encode())
    asked = {
        "jobName": "one",
        "roleArn": "arn:aws:iam::000000000000:role/batch",
        "modelId": MODEL,
        "clientRequestToken": "one",
        "modelInvocationType": "Converse",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://b/in/asked.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://b/out/"}},
    }
    arn = control.create_model_invocation_job(**asked)["jobArn"]
    assert control.create_model_invocation_job(**asked)["jobArn"] == arn
    for _ in range(4):
        found = control.get_model_invocation_job(jobIdentifier=arn)
    return found


def test_a_batch_job_answers_at_half_the_price_and_rejects_by_record(bedrock: ServedBedrock) -> None:
    bedrock.answer = lambda asked: (
        refusal(400, "ValidationException", "no") if asked.prompt == "bad" else "int x;"
    )
    control = client(bedrock, "bedrock")
    found = job(bedrock, control, 120)
    assert (found["status"], found["successRecordCount"], found["errorRecordCount"]) == ("Completed", 119, 1)
    lines = bedrock.s3.kept[f"b/out/{found['jobArn'].rpartition('/')[2]}/asked.jsonl.out"].splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows[7]["error"] == {"errorCode": 400, "errorMessage": "no"}
    assert rows[8]["modelOutput"]["output"]["message"]["content"] == [{"text": "int x;"}]
    entered, left = bedrock.bill.input_tokens, bedrock.bill.output_tokens
    assert bedrock.bill.dollars == Decimal("1.1") * (3 * entered + 15 * left) / 2_000_000
    [listed] = control.list_model_invocation_jobs(nameContains="one")["invocationJobSummaries"]
    assert listed["jobArn"] == found["jobArn"]


def test_a_batch_job_of_too_few_records_fails_and_the_quota_says_how_many(bedrock: ServedBedrock) -> None:
    assert "required minimum of: 100" in job(bedrock, client(bedrock, "bedrock"), 20)["message"]
    quotas = client(bedrock, "service-quotas").list_service_quotas(ServiceCode="bedrock")["Quotas"]
    assert [q["Value"] for q in quotas if q["QuotaName"].startswith("Minimum number of records")] == [100]
