"""What Validation is about: a configuration, and what it needs of the world outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from fsm.config import Config
from fsm.engine import Context, Program
from phases.services import client

ANY = "AWS_ENDPOINT_URL"


@dataclass(frozen=True)
class Place:
    """An s3:// place: where it is, what for, and the endpoint it is reached at, where that is not Amazon's."""

    url: str
    purpose: str
    written: bool
    endpoint: str | None = None

    @property
    def bucket(self) -> str:
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        return self.url.removeprefix("s3://").partition("/")[2].strip("/")


@dataclass(frozen=True)
class Subject:
    """A configuration as Validation sees it, in a run or before one."""

    store: str
    store_options: Mapping[str, Any]
    text: str
    program: Program
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, ctx: Context, variables: Mapping[str, str]) -> Subject:
        return cls(ctx.store_url, ctx.store_options, ctx.config_text, ctx.program, variables)

    @classmethod
    def of_config(cls, config: Config, variables: Mapping[str, str]) -> Subject:
        engine = config.engine
        return cls(engine.store, engine.store_options, config.text, config.program, variables)

    def section(self, name: str) -> Any:
        """A phase's section; its defaults where the configuration has none."""
        found = self.program.sections.get(name)
        if found is not None:
            return found
        from phases import NAMES

        module, _, attribute = NAMES[name].partition(":")
        import importlib

        return getattr(importlib.import_module(module), attribute).section({})

    @cached_property
    def _session(self) -> Any:
        import boto3

        return boto3.Session()

    def client(self, service: str, *, region: str | None = None, endpoint_url: str | None = None) -> Any:
        """A client that asks once, in the job's region if no other is given."""
        where = region or self.job.region
        return client(service, region=where, endpoint_url=endpoint_url, session=self._session)

    @cached_property
    def job(self) -> Any:
        return self.section("sagemaker_job")

    @cached_property
    def teacher(self) -> Any:
        return self.section("teacher_generation").teacher

    @property
    def sources(self) -> str:
        return str(self.section("data_preparation").source)

    @property
    def rented(self) -> bool:
        """Whether its job runs on SageMaker."""
        return bool(self.job.provider == "sagemaker")

    def places(self) -> list[Place]:
        """The s3:// places that are read or written, once each, in a fixed order."""
        store, _, query = self.store.partition("?")
        own = dict(parse_qsl(query)).get("endpoint_url") or self.store_options.get("endpoint_url")
        shared = self.variables.get("AWS_ENDPOINT_URL_S3")
        named = (
            Place(self.sources, "sources", False, self.section("data_preparation").endpoint_url or shared),
            Place(store, "store", True, own or shared),
            Place(self.section("pipeline").output, "output", True, shared),
            Place(self.job.output, "jobs' output", True, shared),
            Place(self.job.staging, "staging", True, shared),
        )
        seen: dict[str, Place] = {}
        for place in named:
            if place.url.startswith("s3://"):
                seen.setdefault(place.url, place)
        return list(seen.values())

    def on_aws(self) -> list[str]:
        """What of it is on AWS: a store at an endpoint of its own (MinIO, Ceph, R2) is not."""
        return [
            *(place.url for place in self.places() if not place.endpoint),
            *(["the teacher on Bedrock"] if self.teacher.kind.startswith("bedrock") else []),
            *(["jobs on SageMaker"] if self.rented else []),
        ]

    def student(self) -> str | None:
        """The model id or path of the student; None where the run makes it."""
        from phases.student.config import TINY

        student: str = self.section("qlora_training").model
        return None if student == TINY else student

    def shipped(self) -> Iterator[Any]:
        """The Python files that the job is sent, or, on this machine, that its code is made of. Raises JobRefused."""
        from phases.sagemaker_job import source

        code = source.code(self.text, self.job.machine, self.job.packages, ())
        for name, content in sorted(source.files(code).items()):
            if name.endswith(".py"):
                yield content
