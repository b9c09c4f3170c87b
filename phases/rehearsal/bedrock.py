"""Amazon Bedrock on the loopback, for the unmodified boto3 through `endpoint_url`.

It speaks Converse, ConverseStream, CountTokens, GetFoundationModel, GetInferenceProfile, and what Service Quotas says of
Bedrock; batch inference stands in batch.py. Shapes and errors are those of the service models in botocore, limits and
words those of https://docs.aws.amazon.com/bedrock/latest/userguide/. What it has asked for is at /-/bill.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from phases.rehearsal import stream
from phases.rehearsal.batch import Batches
from phases.rehearsal.model import (
    MILLION,
    Answerer,
    Asked,
    Bill,
    Quota,
    Said,
    Speaking,
    cut_at,
    offline,
    tokens,
)
from phases.rehearsal.wire import Reply, Request, refusal, said

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
_REGION = re.compile(r"^(?:us-gov|us|eu|apac|jp|au|ca|global)\.(?=\w+\.)")
_TOO_FAR = 300  # seconds that a signature's time may be off


@dataclass(frozen=True)
class Model:
    """A model that is on offer. Prices are dollars for a million tokens."""

    sampling: bool = True
    """Whether it takes temperature and top_p at all; where it does, one of them."""
    profile_only: bool = True
    ends: datetime | None = None
    caches_from: int = 1024
    """Tokens from which on a cachePoint keeps what stands before it."""
    window: int = 200_000
    input_price: Decimal = Decimal(3)
    output_price: Decimal = Decimal(15)
    regional: Decimal = Decimal("1.1")
    """Times as much through the inference profile of one geography as through `global.`."""

    def price(self, name: str, usage: Mapping[str, int]) -> Decimal:
        """What an answer costs by the name that was asked; read from a cache a tenth, written to it a quarter more."""
        read, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
        weighed = usage["inputTokens"] + Decimal("0.1") * read + Decimal("1.25") * written
        times = self.regional if _REGION.match(name) and not name.startswith("global.") else 1
        return times * (weighed * self.input_price + usage["outputTokens"] * self.output_price) / MILLION


class Refused(Exception):
    """A request gets an error; `reply` is it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def _invalid(message: str) -> Refused:
    return Refused(refusal(400, "ValidationException", message))


@dataclass
class Bedrock(Speaking):
    """The service.

    answer     who answers
    latency    seconds that an answer takes
    quota      what is let through
    models     what is on offer, by id
    keys       the API keys that are known; empty for none
    expired    whether the callers' credentials have run out
    offset     seconds that its clock is ahead of this machine's
    s3         the client by which batch jobs read and write
    minimum    records that a batch job has to have
    """

    answer: Answerer = offline
    latency: Callable[[Asked], float] = lambda asked: 0.0
    quota: Quota = field(default_factory=Quota)
    models: dict[str, Model] = field(default_factory=lambda: {SONNET: Model()})
    keys: frozenset[str] = frozenset()
    expired: bool = False
    offset: float = 0.0
    s3: Any = None
    minimum: int = 100
    bill: Bill = field(default_factory=Bill)
    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=10_000))
    """The newest requests for answers."""
    _times: Counter[str] = field(default_factory=Counter)
    _cached: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.batches = Batches(self._of_batch, lambda: self.s3, lambda: self.minimum)

    @property
    def prompts(self) -> list[str]:
        """The prompts that were asked, in order."""
        return [asked.prompt for asked in self.asked]

    def __call__(self, request: Request) -> Reply:
        try:
            return self._routed(request)
        except Refused as error:
            return error.reply

    def _routed(self, request: Request) -> Reply:
        if request.path == "/-/bill":
            return said(self.bill.to_json())
        self._let_in(request)
        match request.method, request.steps:
            case "POST", ["model", model, ("converse" | "converse-stream") as operation]:
                return self._converse(model, operation, request)
            case "POST", ["model", model, "count-tokens"]:
                self._offered(model)
                return said({"inputTokens": _input(request.json()["input"]["converse"])})
            case "GET", ["foundation-models", model]:
                return self._foundation_model(model)
            case "GET", ["inference-profiles", profile]:
                return self._profile(profile)
            case _, ["model-invocation-job" | "model-invocation-jobs", *_]:
                return self.batches(request)
            case "POST", [""] if (
                request.headers.get("x-amz-target", "") == "ServiceQuotasV20190624.ListServiceQuotas"
            ):
                return self._quotas()
        return refusal(404, "UnknownOperationException", f"{request.method} {request.path}")

    # Who asks

    def _let_in(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if given.startswith("Bearer "):
            if given.removeprefix("Bearer ") not in self.keys:
                words = "Authentication failed: Please make sure your API Key is valid."
                raise Refused(refusal(403, "AccessDeniedException", words))
        elif not given.startswith("AWS4-HMAC-SHA256 "):
            raise Refused(refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token"))
        else:
            signed = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            now = datetime.fromtimestamp(time.time() + self.offset, UTC)
            if abs((now - signed).total_seconds()) > _TOO_FAR:
                word, side = ("expired", "earlier") if now > signed else ("not yet current", "later")
                words = f"Signature {word}: {signed:%Y%m%dT%H%M%SZ} is now {side} than {now:%Y%m%dT%H%M%SZ} (+/- 5 min.)"
                raise Refused(refusal(403, "InvalidSignatureException", words))
        if self.expired:
            words = "The security token included in the request is expired"
            raise Refused(refusal(403, "ExpiredTokenException", words))

    def _offered(self, model: str) -> Model:
        bare = _REGION.sub("", model.rpartition("/")[2])
        if bare not in self.models:
            raise _invalid("The provided model identifier is invalid.")
        found = self.models[bare]
        if found.ends and found.ends <= datetime.fromtimestamp(time.time() + self.offset, UTC):
            words = "This model version has reached the end of its life. Please refer to the AWS documentation for more details."
            raise Refused(refusal(404, "ResourceNotFoundException", words))
        return found

    # Answers

    def _converse(self, model: str, operation: str, request: Request) -> Reply:
        found = self._offered(model)
        bare = model in self.models
        if bare and found.profile_only:
            raise _invalid(
                f"Invocation of model ID {model} with on-demand throughput isn’t supported. Retry your request with the "
                "ID or ARN of an inference profile that contains this model."
            )
        body = request.json()
        _check(body, found)
        asked = self._taken_down(operation, model, body, request)
        entered = _input(body)
        most = int((body.get("inferenceConfig") or {}).get("maxTokens") or 64_000)
        spoken = self.spoken(asked, entered, most, _throttled)
        if isinstance(spoken, Reply):
            return spoken
        text, stop, seconds = spoken.text, spoken.stop, spoken.seconds
        usage = self._usage(body, found, entered, text)
        self.quota.settle(entered + most, usage["inputTokens"] + self.quota.burndown * usage["outputTokens"])
        self.bill.pay(asked.prompt, entered, usage["outputTokens"], found.price(model, usage), seconds)
        metrics = {"latencyMs": round(1000 * seconds)}
        if operation == "converse-stream":
            return _streamed(text, stop, usage, metrics, spoken.answer)
        message = {"role": "assistant", "content": [{"text": text}] if text else []}
        return said(
            {"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": metrics},
            cut=spoken.answer.cut,
        )

    def _taken_down(self, operation: str, model: str, body: Mapping[str, Any], request: Request) -> Asked:
        with self._lock:
            seen = hashlib.sha256(request.body).hexdigest()
            asked = Asked(operation, model, _prompt(body), self._times[seen], body, request.headers)
            self._times[seen] += 1
            self.asked.append(asked)
        return asked

    def _usage(self, body: Mapping[str, Any], model: Model, entered: int, text: str) -> dict[str, int]:
        """Tokens as they are counted; what stands before a cachePoint is written to the cache once, and read from then on."""
        usage = {"inputTokens": entered, "outputTokens": tokens(text)}
        system = body.get("system") or []
        before = [part.get("text", "") for part in system]
        if any("cachePoint" in part for part in system) and sum(map(tokens, before)) >= model.caches_from:
            kept = sum(map(tokens, before))
            usage["inputTokens"] -= kept
            with self._lock:
                name = "cacheReadInputTokens" if "".join(before) in self._cached else "cacheWriteInputTokens"
                self._cached.add("".join(before))
            usage[name] = kept
        usage["totalTokens"] = sum(usage.values())
        return usage

    def _of_batch(self, model: str, record: Mapping[str, Any]) -> Reply | dict[str, Any]:
        """The answer to a record of a batch job, at half the price; an error's reply where there is none."""
        found = self._offered(model)
        try:
            _check(record, found)
        except Refused as error:
            return error.reply
        answer = self.answer(Asked("batch", model, _prompt(record), 0, record, {}))
        if isinstance(answer, Reply):
            return answer
        answer = Said(answer) if isinstance(answer, str) else answer
        text, stop = cut_at(answer, int((record.get("inferenceConfig") or {}).get("maxTokens") or 64_000))
        usage = self._usage(record, found, _input(record), text)
        self.bill.pay(
            _prompt(record), _input(record), usage["outputTokens"], found.price(model, usage) / 2, 0.0
        )
        message = {"role": "assistant", "content": [{"text": text}] if text else []}
        return {
            "output": {"message": message},
            "stopReason": stop,
            "usage": usage,
            "metrics": {"latencyMs": 0},
        }

    # What is on offer

    def _foundation_model(self, model: str) -> Reply:
        if model not in self.models:
            return refusal(404, "ResourceNotFoundException", "The provided model identifier is invalid.")
        found = self.models[model]
        life: dict[str, Any] = {"status": "ACTIVE"}
        if found.ends:
            life = {"status": "LEGACY", "endOfLifeTime": found.ends.isoformat()}
        return said(
            {
                "modelDetails": {
                    "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}",
                    "modelId": model,
                    "inferenceTypesSupported": ["INFERENCE_PROFILE" if found.profile_only else "ON_DEMAND"],
                    "responseStreamingSupported": True,
                    "modelLifecycle": life,
                }
            }
        )

    def _profile(self, profile: str) -> Reply:
        bare = _REGION.sub("", profile.rpartition("/")[2])
        if bare not in self.models or bare == profile:
            return refusal(404, "ResourceNotFoundException", "The provided inference profile is invalid.")
        return said(
            {
                "inferenceProfileName": profile,
                "inferenceProfileId": profile,
                "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:000000000000:inference-profile/{profile}",
                "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{bare}"}],
                "status": "ACTIVE",
                "type": "SYSTEM_DEFINED",
            }
        )

    def _quotas(self) -> Reply:
        named: dict[str, float] = {
            "Minimum number of records per batch inference job for Claude Sonnet 4.5": self.minimum,
            "Cross-region model inference tokens per minute for Anthropic Claude Sonnet 4.5 V1": self.quota.tokens,
            "Cross-region model inference requests per minute for Anthropic Claude Sonnet 4.5 V1": self.quota.requests,
        }
        rows = [
            {"ServiceCode": "bedrock", "QuotaName": name, "QuotaCode": f"L-{n:08X}", "Value": float(value)}
            for n, (name, value) in enumerate(named.items())
            if value != float("inf")
        ]
        return said({"Quotas": rows}, kind="application/x-amz-json-1.1")


def _check(body: Mapping[str, Any], model: Model) -> None:
    """What Bedrock looks at before the model does. Raises Refused."""
    said = body.get("messages") or []
    if not said or said[0].get("role") != "user":
        raise _invalid(
            "A conversation must start with a user message. Try again with a conversation that starts with a user message."
        )
    for number, message in enumerate(said):
        if message["role"] != ("user", "assistant")[number % 2]:
            raise _invalid(
                f"A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again. (messages.{number})"
            )
        for part, content in enumerate(message["content"]):
            if "text" in content and not content["text"].strip():
                raise _invalid(
                    f"The text field in the ContentBlock object at messages.{number}.content.{part} is blank. Add text to the text field, and try again."
                )
    if _input(body) > model.window:
        raise _invalid("The model returned the following errors: Input is too long for requested model.")
    config = body.get("inferenceConfig") or {}
    for name, word in (("temperature", "temperature"), ("topP", "top_p")):
        if name in config and not model.sampling:
            raise _invalid(f"The model returned the following errors: `{word}` is deprecated for this model.")
    if "temperature" in config and "topP" in config:
        raise _invalid(
            "The model returned the following errors: `temperature` and `top_p` cannot both be specified for this model. Please use only one."
        )


def _prompt(body: Mapping[str, Any]) -> str:
    """The last text of the user."""
    texts = [
        part.get("text", "")
        for message in body["messages"]
        if message["role"] == "user"
        for part in message["content"]
    ]
    return str(texts[-1])


def _input(body: Mapping[str, Any]) -> int:
    """The tokens of all that is sent: four for each turn besides its text."""
    turns = [*([{"content": body["system"]}] if body.get("system") else []), *(body.get("messages") or [])]
    return sum(4 + sum(tokens(part.get("text", "")) for part in turn["content"]) for turn in turns)


def _streamed(
    text: str, stop: str, usage: Mapping[str, int], metrics: Mapping[str, int], answer: Said
) -> Reply:
    pieces = [text[start : start + 64] for start in range(0, len(text), 64)]
    events = [stream.event("messageStart", {"role": "assistant"})]
    for piece in pieces[: len(pieces) // 2] if answer.broken else pieces:
        events.append(stream.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}}))
    if answer.broken:
        events.append(stream.exception(answer.broken, "The model broke off."))
    else:
        events += [
            stream.event("contentBlockStop", {"contentBlockIndex": 0}),
            stream.event("messageStop", {"stopReason": stop}),
            stream.event("metadata", {"usage": usage, "metrics": metrics}),
        ]
    return Reply(body=b"".join(events), kind=stream.KIND, cut=answer.cut)


def _throttled(much: str) -> Reply:
    return refusal(429, "ThrottlingException", f"Too many {much}, please wait before trying again.")
