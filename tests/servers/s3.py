"""The S3 servers of the tests: MiniStack, which holds conditions, and two look-alikes that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phases.rehearsal.ministack import server
from tests.needs import require
from tests.needs.installers import node
from tests.needs.where import PYTHON, S3RVER
from tests.servers.process import HOST, Server, free_port

REGION = "us-east-1"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing-secret"}


def ministack(directory: Path, *, auth: bool = False) -> Server:
    """MiniStack, keeping everything below `directory`, so that a `kill -9` loses nothing; with `auth`, IAM decides."""
    require("ministack")
    return server(directory, PYTHON / "bin" / "python", auth=auth)


def rclone(directory: Path) -> Server:
    require("rclone")
    port = free_port()
    (directory / "data" / "bucket").mkdir(parents=True)
    command = [str(PYTHON / "bin" / "rclone"), "serve", "s3", "--addr", f"{HOST}:{port}", "--auth-key", ",".join(KEYS.values()), str(directory / "data")]  # fmt: skip
    return Server(command, port, directory / "rclone.log")


def s3rver(directory: Path) -> Server:
    require("s3rver")
    script = S3RVER / "node_modules" / "s3rver" / "bin" / "s3rver.js"
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    command = [str(node()), str(script), "--address", HOST, "--port", str(port), "--directory", str(directory), "--configure-bucket", "bucket"]  # fmt: skip
    return Server(command, port, directory.with_suffix(".log"))


def client(url: str, **keys: str) -> Any:
    """A plain boto3 client, for what a test does beside the store."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
    )
    return boto3.client("s3", endpoint_url=url, region_name=REGION, config=config, **(keys or KEYS))
