"""What a configuration needs of the world outside, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fsm.config import Config
from fsm.engine import Context, Program
from fsm.errors import Unanswered
from fsm.faults import Patient
from fsm.store import open_store
from phases.pipeline.config import PipelineConfig
from phases.services import fresh_session

T = TypeVar("T")
PATIENCE = 5.0
"""Seconds for which a question is asked again while its failure is passing: whoever waits for a table waits for all of it."""


@dataclass(frozen=True)
class Place:
    """A place in S3 that the run reads or writes.

    key       of the configuration, for a message
    url       s3://bucket/prefix
    options   how it is reached, as store_options say it
    written   by the launcher
    by_job    a job on SageMaker reads or writes it, which it does in its own region only
    """

    key: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    written: bool = True
    by_job: bool = False

    @property
    def bucket(self) -> str:
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """Below the bucket, without slashes at its ends."""
        return self.url.removeprefix("s3://").partition("/")[2].strip("/")

    @property
    def below(self) -> str:
        """What the keys there begin with: listed by it, for a right by prefix ends with its slash."""
        return f"{self.prefix}/" if self.prefix else ""

    @property
    def endpoint(self) -> str | None:
        """Of a store that is not Amazon's: MinIO, Ceph, R2."""
        return self.options.get("endpoint_url")


@dataclass(frozen=True)
class Needs:
    """What a configuration needs. A section that takes no part in it is None.

    `refused` says that AWS did not know the caller: nothing else of AWS need be asked then.
    """

    program: Program
    config_text: str
    store: str
    store_options: Mapping[str, Any]
    pipeline: PipelineConfig
    run: str = ""
    refused: bool = False

    @classmethod
    def of(cls, ctx: Context) -> Needs:
        """Those of the run that stands in a state of Validation."""
        return cls(ctx.program, ctx.config_text, ctx.store_url, ctx.store_options, ctx.config, ctx.run_name)

    @classmethod
    def of_config(cls, config: Config) -> Needs:
        """Those of a configuration that nothing runs of yet."""
        sections = config.program.sections
        own = sections.get("pipeline") or sections.get("validation") or PipelineConfig()
        engine = config.engine
        return cls(config.program, config.text, engine.store, engine.store_options, own, engine.run.name)

    def without_aws(self) -> Needs:
        return replace(self, refused=True)

    # Sections

    @property
    def data(self) -> Any:
        return self.program.sections.get("data_preparation")

    @property
    def teacher(self) -> Any:
        section = self.program.sections.get("teacher_generation")
        return section and section.teacher

    @property
    def job(self) -> Any:
        return self.program.sections.get("sagemaker_job")

    @property
    def student(self) -> Any:
        return self.program.sections.get("qlora_training")

    @property
    def rents(self) -> bool:
        """Whether jobs run on SageMaker."""
        return self.job is not None and self.job.provider == "sagemaker"

    @property
    def instance_types(self) -> tuple[str, ...]:
        """In the order of preference."""
        return tuple(self.job.instance_types)

    @property
    def vpc(self) -> Any:
        """The private network of the jobs, with `subnets`; None where they have none."""
        return self.job.vpc

    # Places

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The places in S3, each once, in a fixed order."""
        found: list[Place] = []
        if self.data is not None:
            source = {"endpoint_url": self.data.endpoint_url} if self.data.endpoint_url else {}
            found.append(Place("data_preparation.source", self.data.source, source, written=False))
        store, _, query = self.store.partition("?")
        reached = {**self.store_options, **dict(parse_qsl(query))}
        found.append(Place("store", store, reached, by_job=self.rents))
        found.append(Place("pipeline.output", self.pipeline.output))
        if batch := self.batch:
            asked = {"endpoint_url": batch.endpoint_url} if batch.endpoint_url else {}
            found.append(Place("teacher_generation.teacher.batch.place", batch.place, asked))
        if self.rents:
            found.append(Place("sagemaker_job.output", self.job.output, written=False, by_job=True))
            found.append(Place("sagemaker_job.staging", self.job.staging, self._staging, by_job=True))
            for key in ("tensorboard", "wheels"):
                place = getattr(self.job, key)
                found.append(Place(f"sagemaker_job.{key}", place, written=False, by_job=True))
        once: dict[str, Place] = {}
        for place in found:
            if place.url.startswith("s3://") and (place.url not in once or place.written):
                once[place.url] = place
        return tuple(once.values())

    @property
    def _staging(self) -> dict[str, Any]:
        key = self.job.kms.store
        return {"region": self.job.region, **({"kms_key": key} if key else {})}

    def opened(self, place: Place) -> Any:
        """The place as a store, which can say whether it holds what is put there."""
        if place.key == "store":
            return open_store(self.store, **{**self.store_options, "patience": PATIENCE})
        return open_store(place.url, **{**place.options, "patience": PATIENCE})

    def on_aws(self, place: Place) -> bool:
        """Whether a place is Amazon's: no endpoint of its own, in the configuration or in the environment."""
        return place.endpoint is None and not self._stores_elsewhere

    @cached_property
    def _stores_elsewhere(self) -> bool:
        """Whether this machine's AWS configuration has S3 elsewhere, and the rest of AWS at Amazon's."""
        if not any(p.endpoint is None for p in self.places):
            return False
        return not _amazons(self.client("s3")) and _amazons(self.client("sts"))

    @property
    def aws(self) -> list[str]:
        """What of all this is on AWS."""
        from phases.teacher_generation.bedrock import api_key

        return [
            *(p.url for p in self.places if self.on_aws(p)),
            *(["the teacher on Bedrock"] if self.teaches_on_aws and not api_key() else []),
            *(["jobs on SageMaker"] if self.rents else []),
        ]

    @property
    def teaches_on_aws(self) -> bool:
        """Whether the teacher is on Bedrock, and not at an endpoint of its own."""
        teacher = self.teacher
        return teacher is not None and teacher.kind.startswith("bedrock") and not teacher.endpoint_url

    @property
    def batch(self) -> Any:
        """The place and the role of the teacher's batches on Bedrock; None where it is asked call by call."""
        return self.teacher.batch if self.teaches_on_aws and self.teacher.kind == "bedrock-batch" else None

    # Asking

    @property
    def region(self) -> str | None:
        """Where it all is; None for what the AWS configuration of this machine says."""
        if self.rents:
            return str(self.job.region)
        return str(self.teacher.region) if self.teaches_on_aws else None

    @cached_property
    def session(self) -> Any:
        return fresh_session()

    def client(self, service: str, place: Place | None = None, region: str | None = None) -> Any:
        """A client that asks once, and does not wait for long; with a place, one that reaches it as the run does."""
        from botocore.config import Config

        reached = place.options if place is not None else {}
        endpoint, profile = reached.get("endpoint_url"), reached.get("profile")
        own = fresh_session(profile) if profile else self.session

        once = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=10,
            read_timeout=30,
            s3={"addressing_style": "path"} if endpoint else {},
        )
        where = reached.get("region") or region or self.region or own.region_name or "us-east-1"
        return own.client(service, region_name=where, endpoint_url=endpoint, config=once)

    def ask(self, call: Callable[[], T]) -> T:
        """What a call of a client returns, asked again for some seconds while its failure is passing.

        Raises what botocore raised last.
        """
        last: list[Exception] = []
        try:
            return Patient("AWS", PATIENCE, tells=lambda error, _: last.append(error))(call)
        except Unanswered:
            raise last[-1] from None


def _amazons(client: Any) -> bool:
    return ".amazonaws.com" in str(client.meta.endpoint_url)
