"""A bucket as the S3 store sees it: six calls, each with one of a few answers.

The answers that decide a run are told apart here and nowhere else: the number is taken (412), the outcome is not
known (409, 5xx, a timeout, a cut connection), it is not there (404), and everything that a person has to mend.
boto3's own retries are off: a hidden retry of a put that was committed reports one's own success as a conflict.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, Protocol

from fsm.errors import ConfigError, StoreError
from fsm.faults import Fault, Kind, fault

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

MIB = 1 << 20
ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")


@dataclass(frozen=True)
class S3Options:
    """How a bucket is reached: the keys of `store_options` for an s3:// store.

    endpoint_url   another S3 than Amazon's
    region         of the bucket; default: what the AWS configuration says
    profile        of the AWS configuration
    path_style     the bucket in the path instead of the host name; default: with an endpoint_url
    sse            encrypt every object: AES256, aws:kms or aws:kms:dsse; default: aws:kms with a kms_key, otherwise as the
                   bucket does
    kms_key        the KMS key to encrypt with (id, alias or ARN); default: the account's key for S3
    request_payer  pay for the requests to somebody else's bucket
    cache          where downloaded artifacts are kept, by digest; default: ~/.cache/fsm/artifacts
    patience       seconds to go on trying a request whose outcome is not known, before the run stops (resumable)
    timeout        seconds to wait for an answer to one request
    parallel       requests in flight at once, for reading records and for the parts of large artifacts
    part_size      MiB in a part of a large artifact
    multipart_from MiB from which an artifact is uploaded in parts
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    path_style: bool | None = None
    sse: str | None = None
    kms_key: str | None = None
    request_payer: bool = False
    cache: str | None = None
    patience: float = 120.0
    timeout: float = 30.0
    parallel: int = 16
    part_size: int = 32
    multipart_from: int = 64

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> S3Options:
        """The options as a configuration gives them. Raises ConfigError."""
        known = {f.name: str(f.type).split(" | ")[0] for f in fields(cls)}
        for key, value in options.items():
            if key not in known:
                raise ConfigError(
                    f"store_options: an S3 store has no option {key!r}; it has: {', '.join(known)}. Correct the configuration."
                )
            fits = {
                "str": isinstance(value, str),
                "bool": isinstance(value, bool),
                "int": isinstance(value, int) and not isinstance(value, bool) and value > 0,
                "float": isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
            }[known[key]]
            if not fits and not (value is None and getattr(cls, key, ...) is None):
                raise ConfigError(
                    f"store_options.{key}: {value!r} is not a {known[key]} as it should be. Correct the configuration."
                )
        read = cls(**options)
        if read.part_size < 5:
            raise ConfigError(
                f"store_options.part_size: {read.part_size} MiB; S3 takes parts of 5 MiB or more. Correct the configuration."
            )
        if read.sse not in (None, *ENCRYPTIONS):
            raise ConfigError(
                f"store_options.sse: {read.sse!r} is no encryption that S3 does; there are: {', '.join(ENCRYPTIONS)}. Correct the "
                "configuration."
            )
        if read.sse == "AES256" and read.kms_key:
            raise ConfigError(
                "store_options: sse AES256 encrypts with a key of S3's own, and kms_key names one of KMS. Give `sse: aws:kms` for that "
                "key, or leave kms_key out."
            )
        return read

    @property
    def encryption(self) -> dict[str, str]:
        """What a request that begins an object says of its encryption; nothing where the bucket decides."""
        sse = self.sse or ("aws:kms" if self.kms_key else None)
        said = {"ServerSideEncryption": sse} if sse else {}
        return said | ({"SSEKMSKeyId": self.kms_key} if self.kms_key else {})


class Exists(Exception):
    """412: the key already holds an object."""


class Missing(Exception):
    """404: no such key, or no such upload."""


class Unsure(Exception):
    """It may have happened, or not: 409, 5xx, a timeout, a cut connection. Only the same request again can tell."""


@dataclass(frozen=True)
class Got:
    """An object as read. `age` is in seconds by the clock of the store, so nobody else's needs to be right; so is `modified`,
    since 1970."""

    body: bytes
    age: float
    modified: float = 0.0


@dataclass(frozen=True)
class Page:
    """A part of a listing: (key, size) in order of the keys, the common prefixes, and whether there is more."""

    keys: tuple[tuple[str, int], ...]
    prefixes: tuple[str, ...]
    more: bool


@dataclass(frozen=True)
class Part:
    """A part of an upload in progress. `sha256` is base64, as S3 says it; None where the store keeps none."""

    number: int
    size: int
    etag: str
    sha256: str | None


class Bucket(Protocol):
    """One bucket. Every call raises Unsure or StoreError besides what it says."""

    name: str

    def put(self, key: str, body: bytes, *, absent: bool) -> None:
        """Write an object; with `absent` only where there is none. Raises Exists."""
        ...

    def get(self, key: str) -> Got:
        """Raises Missing."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes of the object; None where there is none."""
        ...

    def list(self, prefix: str, *, after: str = "", limit: int = 1000, folders: bool = False) -> Page:
        """The keys that begin with `prefix` and come after `after`; with `folders`, cut at the next slash."""
        ...

    def stream(self, key: str, start: int = 0) -> Iterator[bytes]:
        """The object's bytes from `start` on, in pieces. Raises Missing."""
        ...

    def delete(self, keys: tuple[str, ...]) -> None: ...

    # Uploads in parts

    def uploads(self, key: str) -> tuple[str, ...]:
        """The uploads of the key in progress, newest first."""
        ...

    def parts(self, key: str, upload: str) -> tuple[Part, ...]:
        """What has been uploaded. Raises Missing."""
        ...

    def begin(self, key: str) -> str: ...

    def put_part(self, key: str, upload: str, number: int, body: BinaryIO | bytes, sha256: str) -> Part:
        """Raises Missing where the upload is gone."""
        ...

    def complete(self, key: str, upload: str, parts: tuple[Part, ...]) -> None:
        """Make one object of the parts, where there is none. Raises Exists, Missing."""
        ...


NEEDS = {
    "put_object": "s3:PutObject",
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "list_objects_v2": "s3:ListBucket",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "list_parts": "s3:ListMultipartUploadParts",
    "create_multipart_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete_multipart_upload": "s3:PutObject",
    "delete_objects": "s3:DeleteObject",
}


def _expect_nothing(params: dict[str, Any], **_: Any) -> None:
    """botocore asks leave (`Expect: 100-continue`) before every body: a round trip more for each record."""
    params["headers"].pop("Expect", None)


class Boto:
    """A bucket over boto3. Safe to use from several threads."""

    def __init__(self, name: str, options: S3Options) -> None:
        self.name = name
        self.options = options
        self._payer = {"RequestPayer": "requester"} if options.request_payer else {}
        self._encrypted = options.encryption

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        o = self.options
        path_style = o.path_style if o.path_style is not None else o.endpoint_url is not None
        config = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=min(10.0, o.timeout),
            read_timeout=o.timeout,
            max_pool_connections=o.parallel + 4,
            s3={"addressing_style": "path" if path_style else "auto"},
            # look-alikes know nothing of trailing checksums; what must be whole carries its SHA-256 in a header
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            session = boto3.session.Session(profile_name=o.profile, region_name=o.region)
            region = o.region or session.region_name or ("us-east-1" if o.endpoint_url else None)
            client = session.client("s3", endpoint_url=o.endpoint_url, region_name=region, config=config)
        except (BotoCoreError, ValueError) as e:
            raise StoreError(
                f"s3://{self.name} cannot be reached: {e} Set store_options (region, profile, endpoint_url) or the AWS "
                "configuration right and give the same command again."
            ) from e
        client.meta.events.register_last("before-call.s3", _expect_nothing)
        return client

    def _call(self, operation: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, operation)(Bucket=self.name, **self._payer, **arguments)
        except ClientError as e:
            self._judge(operation, arguments.get("Key") or arguments.get("Prefix", ""), e)
        except Exception as e:
            found = fault(e)
            if found.kind is Kind.PASSING:
                raise Unsure(f"{operation}: {e}") from e
            if not isinstance(e, BotoCoreError | OSError):
                raise
            self._refuse(operation, e, found)

    def _judge(self, operation: str, key: str, e: ClientError) -> NoReturn:
        """Turn an answer that is an error into what it means. A head has no body, so its code is the status alone.

        What the journal stands on (412, 409, 404) is decided here; everything else by the table of faults.
        """
        error = e.response.get("Error", {})
        meta = e.response.get("ResponseMetadata", {})
        code, status = str(error.get("Code", "")), int(meta.get("HTTPStatusCode", 0))
        said = f"{code}: {error.get('Message', '')}".strip()
        if status == 412 or code == "PreconditionFailed":
            raise Exists(key) from None
        found = fault(e)
        if found.cause == "bucket":
            raise StoreError(
                f"There is no bucket {self.name} ({operation}: {said}). Create it, or correct the store's URL."
            ) from e
        if code in ("NoSuchKey", "NoSuchUpload") or (status == 404 and operation != "list_objects_v2"):
            raise Missing(key) from None
        if status == 409 or found.kind is Kind.PASSING:
            raise Unsure(f"{operation}: {status} {said}") from e
        if found.cause == "clock":
            raise StoreError(
                f"s3://{self.name} refuses requests, for this machine's clock is wrong by more than 15 minutes ({said}). Set the "
                "clock (NTP) and give the same command again; nothing is lost."
            ) from e
        if found.cause == "region":
            where = meta.get("HTTPHeaders", {}).get("x-amz-bucket-region") or error.get("Region")
            there = f" The bucket is in {where}." if where else ""
            raise StoreError(
                f"s3://{self.name} is in another region than {self._client.meta.region_name} ({said}).{there} Set "
                "store_options.region to the bucket's and give the same command again."
            ) from e
        if found.cause == "key" or code.startswith("KMS"):
            raise StoreError(
                f"{operation} on s3://{self.name}/{key} was refused by KMS ({said}). The key that encrypts the bucket"
                f"{f' ({self.options.kms_key})' if self.options.kms_key else ''} must exist, be enabled, and allow this identity "
                "kms:GenerateDataKey to write and kms:Decrypt to read. Mend that and give the same command again."
            ) from e
        if found.cause == "access":
            what = f"arn:aws:s3:::{self.name}" + ("" if "List" in NEEDS[operation] else f"/{key}")
            raise StoreError(
                f"{operation} on s3://{self.name}/{key} was refused ({said}): this identity lacks {NEEDS[operation]} on {what}. "
                "docs/s3.md has the least policy; add what is missing and give the same command again."
            ) from e
        raise StoreError(
            f"{operation} on s3://{self.name}/{key} was refused ({status} {said}). {found.advice} Then give the same command again; "
            "nothing is lost."
        ) from e

    def _refuse(self, operation: str, e: Exception, found: Fault) -> NoReturn:
        from botocore.exceptions import NoCredentialsError, PartialCredentialsError

        if isinstance(e, NoCredentialsError | PartialCredentialsError):
            raise StoreError(
                f"s3://{self.name} cannot be reached: there are no AWS credentials on this machine. Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or a profile, and give the same command again."
            ) from e
        raise StoreError(
            f"{operation} on s3://{self.name} cannot be asked: {found.message.rstrip('.')}. {found.advice} Then give the same command again; "
            "nothing is lost."
        ) from e

    # Objects

    def put(self, key: str, body: bytes, *, absent: bool) -> None:
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        condition = {"IfNoneMatch": "*"} if absent else {}
        self._call("put_object", Key=key, Body=body, ChecksumSHA256=checksum, **condition, **self._encrypted)

    def get(self, key: str) -> Got:
        answer = self._call("get_object", Key=key)
        try:
            body = answer["Body"].read()
        except Exception as e:  # the body comes after the answer, by its own reads
            raise Unsure(f"get_object: {e}") from e
        now, modified = answer["ResponseMetadata"]["HTTPHeaders"].get("date"), answer["LastModified"]
        age = (parsedate_to_datetime(now) - modified).total_seconds() if now else 0.0
        return Got(body, age, modified.timestamp())

    def size(self, key: str) -> int | None:
        try:
            return int(self._call("head_object", Key=key)["ContentLength"])
        except Missing:
            return None

    def list(self, prefix: str, *, after: str = "", limit: int = 1000, folders: bool = False) -> Page:
        more = {"StartAfter": after} if after else {}
        if folders:
            more["Delimiter"] = "/"
        answer = self._call("list_objects_v2", Prefix=prefix, MaxKeys=limit, **more)
        return Page(
            tuple((o["Key"], o["Size"]) for o in answer.get("Contents", ())),
            tuple(p["Prefix"] for p in answer.get("CommonPrefixes", ())),
            bool(answer.get("IsTruncated")),
        )

    def stream(self, key: str, start: int = 0) -> Iterator[bytes]:
        from_there = {"Range": f"bytes={start}-"} if start else {}
        answer = self._call("get_object", Key=key, **from_there)
        try:
            yield from answer["Body"].iter_chunks(MIB)
        except Exception as e:
            raise Unsure(f"get_object: {e}") from e

    def delete(self, keys: tuple[str, ...]) -> None:
        answer = self._call("delete_objects", Delete={"Objects": [{"Key": k} for k in keys], "Quiet": True})
        for error in answer.get("Errors", ()):
            raise StoreError(
                f"s3://{self.name}/{error.get('Key')} cannot be deleted ({error.get('Code')}: {error.get('Message')}). Removing a run "
                "needs s3:DeleteObject, which running one does not."
            )

    # Uploads in parts

    def uploads(self, key: str) -> tuple[str, ...]:
        answer = self._call("list_multipart_uploads", Prefix=key)
        mine = [u for u in answer.get("Uploads", ()) if u["Key"] == key]
        mine.sort(key=lambda u: (u["Initiated"], u["UploadId"]), reverse=True)
        return tuple(u["UploadId"] for u in mine)

    def parts(self, key: str, upload: str) -> tuple[Part, ...]:
        found: list[Part] = []
        marker: dict[str, Any] = {}
        while True:
            answer = self._call("list_parts", Key=key, UploadId=upload, **marker)
            found += [
                Part(p["PartNumber"], p["Size"], p["ETag"], p.get("ChecksumSHA256"))
                for p in answer.get("Parts", ())
            ]
            if not answer.get("IsTruncated"):
                return tuple(found)
            marker = {"PartNumberMarker": int(answer["NextPartNumberMarker"])}

    def begin(self, key: str) -> str:
        answer = self._call("create_multipart_upload", Key=key, ChecksumAlgorithm="SHA256", **self._encrypted)
        return str(answer["UploadId"])

    def put_part(self, key: str, upload: str, number: int, body: BinaryIO | bytes, sha256: str) -> Part:
        answer = self._call(
            "upload_part", Key=key, UploadId=upload, PartNumber=number, Body=body, ChecksumSHA256=sha256
        )
        return Part(number, 0, answer["ETag"], sha256)

    def complete(self, key: str, upload: str, parts: tuple[Part, ...]) -> None:
        said = [
            {"PartNumber": p.number, "ETag": p.etag} | ({"ChecksumSHA256": p.sha256} if p.sha256 else {})
            for p in parts
        ]
        self._call(
            "complete_multipart_upload",
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": said},
            IfNoneMatch="*",
        )
