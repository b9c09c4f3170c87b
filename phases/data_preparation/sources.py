"""Where raw code comes from: a directory, or a prefix of an S3 bucket. Both are read in key order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from phases.errors import AccessDenied, EmptyDataset, NoCredentials


@dataclass(frozen=True, order=True)
class Object:
    """One file of a source: its key below the root, with forward slashes, and its size in bytes."""

    key: str
    size: int


class Source(Protocol):
    """A root with folders of files."""

    @property
    def url(self) -> str:
        """The root, as a message names it."""

    def list(self, folder: str) -> list[Object]:
        """All files below a folder, by key; none if there is no such folder."""

    def read(self, key: str) -> bytes:
        """The bytes of one file."""


@dataclass(frozen=True)
class LocalSource:
    """A directory on this machine."""

    root: Path

    @property
    def url(self) -> str:
        return str(self.root)

    def list(self, folder: str) -> list[Object]:
        base = self.root / folder
        files = [path for path in base.rglob("*") if path.is_file()] if base.is_dir() else []
        # by key, not by path: a path sorts by its parts, and S3 knows no parts
        return sorted(Object(path.relative_to(self.root).as_posix(), path.stat().st_size) for path in files)

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()


@dataclass(frozen=True)
class S3Source:
    """A prefix of a bucket, by a boto3 S3 client."""

    bucket: str
    prefix: str
    client: Any

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def list(self, folder: str) -> list[Object]:
        start = self._full(folder.rstrip("/") + "/")
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start)
        cut = len(start) - len(folder.rstrip("/") + "/")
        with _aws_errors(f"listing s3://{self.bucket}/{start}"):
            return sorted(
                Object(entry["Key"][cut:], entry["Size"])
                for page in pages
                for entry in page.get("Contents", [])
                if not entry["Key"].endswith("/")  # consoles leave such markers for folders
            )

    def read(self, key: str) -> bytes:
        with _aws_errors(f"reading s3://{self.bucket}/{self._full(key)}"):
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=self._full(key))["Body"].read()
            return body

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


def open_source(url: str, *, endpoint_url: str | None = None, region: str | None = None) -> Source:
    """The source that a URL names: s3://bucket/prefix, or a directory.

    Raises:
        EmptyDataset: the directory is not there, or the URL names no bucket.
    """
    if not url.startswith("s3://"):
        root = Path(url)
        if not root.is_dir():
            raise EmptyDataset(
                f"data_preparation.source names the directory {url!r}, which does not exist below {Path.cwd()}. "
                "Name a directory that holds the raw code, or s3://bucket/prefix."
            )
        return LocalSource(root)
    parts = urlsplit(url)
    if not parts.netloc:
        raise EmptyDataset(
            f"data_preparation.source is {url!r}, which names no bucket. Write s3://bucket/prefix."
        )
    import boto3  # half a second: only where S3 is read

    # a session of its own: boto3's default one keeps the credentials of whoever asked first
    client = boto3.Session().client("s3", endpoint_url=endpoint_url, region_name=region)
    return S3Source(parts.netloc, parts.path.strip("/"), client)


@contextmanager
def _aws_errors(doing: str) -> Iterator[None]:
    """Turn what botocore raises for credentials and permissions into the entry states of Diagram 8."""
    from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise NoCredentials(
            f"No AWS credentials for {doing}: {error}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile."
        ) from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("NoSuchBucket", "NoSuchKey"):
            raise EmptyDataset(
                f"{doing}: {code}. Check the bucket and prefix in data_preparation.source."
            ) from error
        if code in ("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"):
            raise NoCredentials(f"AWS refuses the credentials for {doing}: {code}. Renew them.") from error
        if code in ("AccessDenied", "403"):
            raise AccessDenied(
                f"AWS denies {doing}. Allow s3:ListBucket and s3:GetObject there to these credentials."
            ) from error
        raise
