"""What a job needs of a bucket before it is created: its code by content, once; its channels by the job's name."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any

from fsm.faults import Clock, Patient, Tells, silent
from phases.sagemaker_job import source
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import Code, JobSpec
from phases.services import asked, client

# the same bytes are there, or another launcher is putting them at this moment
THERE = ("PreconditionFailed", "ConditionalRequestConflict")


class Staging:
    """The prefix `sagemaker_job.staging`."""

    def __init__(self, config: SageMakerJobConfig, clock: Clock = time, tells: Tells = silent) -> None:
        self.config = config
        self.ask = Patient(config.staging, config.patience_seconds, clock, tells=tells)

    @cached_property
    def _s3(self) -> Any:
        return client("s3", region=self.config.region)

    def code(self, code: Code) -> str:
        """Pack the code and put it under its digest, once; the s3:// prefix it lies below."""
        archive = source.pack(code)
        bucket, prefix = self._place("source", archive.digest)
        key = f"{prefix}/code.tar.gz"

        def put() -> None:
            try:
                self._s3.put_object(
                    Bucket=bucket, Key=key, Body=archive.content, IfNoneMatch="*", **self._encrypted
                )
            except self._s3.exceptions.ClientError as e:
                if e.response["Error"]["Code"] not in THERE:
                    raise

        asked(self.ask, put, f"putting the code to s3://{bucket}/{key}")
        return f"s3://{bucket}/{prefix}/"

    def channels(self, spec: JobSpec) -> dict[str, str]:
        """Put the files of the channels; channel -> s3:// prefix."""
        put = {}
        for channel, files in sorted(spec.channels.items()):
            bucket, key = self._place(spec.name, "channels", channel)
            for file, path in sorted(files.items()):
                self._put(path, bucket, f"{key}/{file}")
            put[channel] = f"s3://{bucket}/{key}/"  # with the slash: or `train` would take `train2` along
        return put

    def planned(self, spec: JobSpec) -> tuple[dict[str, str], str]:
        """(the channels, the code) as they would be put; nothing is."""
        places = {
            c: "s3://{}/{}/".format(*self._place(spec.name, "channels", c)) for c in sorted(spec.channels)
        }
        code = self.config.source or "s3://{}/{}/".format(
            *self._place("source", source.pack(spec.code).digest)
        )
        return places, code

    def _put(self, path: Path, bucket: str, key: str) -> None:
        def put() -> None:
            with path.open("rb") as f:  # not upload_file, whose error does not say what it was raised for
                self._s3.upload_fileobj(
                    f, bucket, key, **({"ExtraArgs": e} if (e := self._encrypted) else {})
                )

        asked(self.ask, put, f"putting {path.name} to s3://{bucket}/{key}")

    @property
    def _encrypted(self) -> dict[str, str]:
        key = self.config.kms.store
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}

    def _place(self, *names: str) -> tuple[str, str]:
        """(bucket, key) of something under `staging`."""
        bucket, _, prefix = self.config.staging.removeprefix("s3://").partition("/")
        return bucket, "/".join(filter(None, (prefix.rstrip("/"), *names)))
