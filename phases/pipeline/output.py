"""Saving the model: model.tar.gz of the job, to where the pipeline's outputs go."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from fsm.engine import Context


def save(ctx: Context, model: str, output: str) -> dict[str, str]:
    """Copy model.tar.gz to `output`/<run>; returns {"model": where, "sha256": its digest}.

    `model` and `output` are each a path or s3://bucket/key. A copy that is there already is left alone.
    """
    local = _fetched(ctx, model)
    with local.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    target = f"{output.rstrip('/')}/{ctx.run_name}/model.tar.gz"
    if target.startswith("s3://"):
        import boto3

        bucket, _, key = target.removeprefix("s3://").partition("/")
        boto3.client("s3").upload_file(str(local), bucket, key, ExtraArgs={"ChecksumAlgorithm": "SHA256"})
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
    import boto3

    bucket, _, key = model.removeprefix("s3://").partition("/")
    path = ctx.workdir("model") / "model.tar.gz"
    boto3.client("s3").download_file(bucket, key, str(path))
    return path
