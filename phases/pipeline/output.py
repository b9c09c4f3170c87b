"""Saving the model: model.tar.gz of the job, to where the pipeline's outputs go."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from fsm.engine import Context
from fsm.faults import Patient
from phases.services import asked, fresh_session

MARK = "fsm-run"
"""The metadata of a saved model that says which run it is of."""


def mark(store: str, run: str) -> str:
    """Which run: of that name, in that store, whatever generation."""
    return hashlib.sha256(f"{store.partition('?')[0].rstrip('/')} {run}".encode()).hexdigest()[:32]


def save(ctx: Context, model: str, output: str) -> dict[str, str]:
    """Copy model.tar.gz to `output`/<run>; returns {"model": where, "sha256": its digest}.

    `model` and `output` are each a path or s3://bucket/key. In a bucket it is marked with whose it is (`mark`).
    """
    local = _fetched(ctx, model)
    with local.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    target = f"{output.rstrip('/')}/{ctx.run_name}/model.tar.gz"
    if target.startswith("s3://"):
        bucket, _, key = target.removeprefix("s3://").partition("/")
        said = {"ChecksumAlgorithm": "SHA256", "Metadata": {MARK: mark(ctx.store_url, ctx.run_name)}}

        def upload() -> None:
            with local.open("rb") as f:  # not upload_file, whose error does not say what it was raised for
                _s3().upload_fileobj(f, bucket, key, ExtraArgs=said)

        asked(_patient(ctx, bucket), upload, f"saving the model to {target}")
    else:
        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}")
        shutil.copyfile(local, part)
        part.replace(path)
    ctx.put("output/distillation/model.tar.gz", local)
    return {"model": target, "sha256": digest}


def _fetched(ctx: Context, model: str) -> Path:
    if not model.startswith("s3://"):
        return Path(model)
    bucket, _, key = model.removeprefix("s3://").partition("/")
    path = ctx.workdir("model") / "model.tar.gz"

    def download() -> None:
        with path.open("wb") as f:
            _s3().download_fileobj(bucket, key, f)

    asked(_patient(ctx, bucket), download, f"fetching the model from {model}")
    return path


def _s3() -> Any:
    """A client that retries by itself: what it retries is one part of gigabytes, what a Patient does is all of them."""
    return fresh_session().client("s3")


def _patient(ctx: Context, bucket: str) -> Patient:
    return Patient(f"s3://{bucket}", ctx.section("sagemaker_job").patience_seconds)
