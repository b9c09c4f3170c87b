"""S3Access: what the run needs of its places in S3, asked of each by doing it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsm.faults import fault
from phases.errors import EmptyDataset
from phases.pipeline.output import MARK, mark
from phases.pipeline.validation.finding import (
    Finding,
    asked,
    asked_if_allowed,
    failed,
    good,
    refused,
    unknown,
    warning,
)
from phases.pipeline.validation.needs import Needs, Place

OUTPUT = "pipeline.output"
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
ENCRYPTED = "s3:x-amz-server-side-encryption"
"""The condition key by which a bucket's policy wants encryption; that of the key begins with the same."""


def s3_access(needs: Needs) -> Iterator[Finding]:
    """Each place once; a directory that stands for one must be there."""
    seen: set[str] = set()
    for place in needs.places:
        if needs.refused and needs.on_aws(place):
            yield unknown(f"{place.url} is not asked: AWS does not know the caller")
        else:
            yield from _place(needs, place, place.bucket in seen)
            if place.written:
                seen.add(place.bucket)
    if needs.data is not None and not needs.data.source.startswith("s3://"):
        directory = Path(needs.data.source)
        if directory.is_dir():
            yield good(f"the source is the directory {directory}")
        else:
            yield failed(f"the source {directory} is not a directory; see data_preparation.source")


def _place(needs: Needs, place: Place, seen: bool) -> Iterator[Finding]:
    """What is asked of a place; with `seen` another place in the bucket has told how that is kept."""
    client = needs.client("s3", place)
    listed = asked(
        f"{place.url} cannot be listed", lambda: _list(needs, client, place), _do(place, "s3:ListBucket")
    )
    yield listed
    if listed.bad:
        return
    if place.written:
        yield _written(needs, client, place)
    elif not place.by_job:
        yield asked(
            f"{place.url} cannot be read", lambda: _read(needs, client, place), _do(place, "s3:GetObject")
        )
    if place.key == OUTPUT:
        yield asked(f"{place.url} cannot be looked into", lambda: _free(needs, client, place))
    if needs.on_aws(place) and not seen:
        yield from _kept(needs, client, place)


def _free(needs: Needs, client: Any, place: Place) -> Finding:
    """Where the model will go there must be none of another run: days of a GPU would be written over."""
    below = f"{place.below}{needs.run}/"
    page = needs.ask(lambda: client.list_objects_v2(Bucket=place.bucket, Prefix=below, MaxKeys=1))
    there = [found["Key"] for found in page.get("Contents", ())]
    if not there:
        return good(f"s3://{place.bucket}/{below} is empty")
    told = needs.ask(lambda: client.head_object(Bucket=place.bucket, Key=there[0]))
    if told["Metadata"].get(MARK) == mark(needs.store, needs.run):
        return good(f"s3://{place.bucket}/{there[0]} is this run's own, of an earlier time")
    return failed(
        f"s3://{place.bucket}/{below} is not empty: {there[0]} is of another run, and would be written over",
        f"Move it away (aws s3 mv --recursive s3://{place.bucket}/{below} ...), give this run another name (--run), or set "
        f"{place.key} to another place.",
        EmptyDataset,
    )


def _do(place: Place, action: str) -> str:
    return (
        f"Allow these credentials {action} there, in the bucket's policy or in their own (configs/role.yaml has what is needed); "
        f"or correct {place.key}: a bucket of another account allows nothing by itself."
    )


def _list(needs: Needs, client: Any, place: Place) -> Finding:
    try:
        page = needs.ask(lambda: client.list_objects_v2(Bucket=place.bucket, Prefix=place.below, MaxKeys=1))
    except Exception as e:
        if fault(e).cause == "access":
            raise
        return refused(f"{place.url} cannot be listed", e)  # no right would mend it
    return good(f"{place.url} can be listed ({page['KeyCount']}+ objects)")


def _read(needs: Needs, client: Any, place: Place) -> Finding:
    """The first byte of the first object: the right to list is not the right to read."""
    page = needs.ask(lambda: client.list_objects_v2(Bucket=place.bucket, Prefix=place.below, MaxKeys=10))
    there = [o["Key"] for o in page.get("Contents", ()) if o["Size"]]
    if not there:
        return warning(f"there is nothing at {place.url}", f"Put the sources there, or correct {place.key}.")
    needs.ask(lambda: client.get_object(Bucket=place.bucket, Key=there[0], Range="bytes=0-0"))
    return good(f"{place.url} can be read")


def _written(needs: Needs, client: Any, place: Place) -> Finding:
    """Read, written, and written on condition: what the journal stands on, and the code of a job."""
    try:
        needs.opened(place).probe()
    except Exception as e:
        # the store says it in its own words, from what the bucket answered
        denied = e.__cause__ is not None and fault(e.__cause__).cause == "access"
        do = _wanted(needs, client, place) if denied else ""
        return refused(
            f"{place.url} cannot be written", e, do or (_do(place, "s3:PutObject") if denied else "")
        )
    return good(f"{place.url} can be read and written, and holds conditions")


def _wanted(needs: Needs, client: Any, place: Place) -> str:
    """What to do where the bucket's policy refuses what is not encrypted as it wants; empty where it wants nothing."""
    try:
        answer = needs.ask(lambda: client.get_bucket_policy(Bucket=place.bucket))
    except Exception:  # it is not there, or the caller may not read it: then the refusal itself must do
        return ""
    key = (
        "store_options.sse: aws:kms (and store_options.kms_key)"
        if place.key == "store"
        else "sagemaker_job.kms.store"
    )
    if not wants_encryption(json.loads(answer["Policy"])):
        return ""
    return (
        f"The policy of the bucket {place.bucket} refuses what is not encrypted as it wants ({ENCRYPTED}). Set {key}, or make KMS "
        "the bucket's default encryption and take that condition out of its policy."
    )


def wants_encryption(policy: Mapping[str, Any]) -> bool:
    """Whether a bucket's policy denies puts by how they are encrypted."""
    statements = policy.get("Statement", [])
    return any(
        s.get("Effect") == "Deny" and ENCRYPTED in json.dumps(s.get("Condition", {}))
        for s in (statements if isinstance(statements, list) else [statements])
    )


# What AWS alone can say


def _kept(needs: Needs, client: Any, place: Place) -> Iterator[Finding]:
    yield asked_if_allowed(
        f"the region of {place.bucket}",
        lambda: _region(needs, client, place),
        "A job in another region cannot read it.",
    )
    if not place.written:
        return
    yield asked_if_allowed(
        f"whether {place.bucket} is closed to the public",
        lambda: _public(needs, client, place),
        "See in the S3 console that the bucket's public access is blocked: models and code are in it.",
    )
    yield asked_if_allowed(
        f"the encryption of {place.bucket}",
        lambda: _encryption(needs, client, place),
        "Where it is a KMS key, launcher and role need kms:GenerateDataKey and kms:Decrypt on it.",
    )


def _region(needs: Needs, client: Any, place: Place) -> Finding:
    answer = needs.ask(lambda: client.get_bucket_location(Bucket=place.bucket))
    there = {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}.get(
        answer["LocationConstraint"], answer["LocationConstraint"]
    )
    if not place.by_job or there == needs.job.region:
        return good(f"{place.bucket} is in {there}")
    return failed(
        f"{place.bucket} is in {there}, and jobs run in {needs.job.region}: SageMaker reads and writes its own region only",
        f"Set sagemaker_job.region to {there}, or {place.key} to a bucket in {needs.job.region}.",
        EmptyDataset,
    )


def _public(needs: Needs, client: Any, place: Place) -> Finding:
    block = (
        f"Run: aws s3api put-public-access-block --bucket {place.bucket} --public-access-block-configuration "
        f"{','.join(f'{name}=true' for name in BLOCKS)}"
    )
    try:
        answer = needs.ask(lambda: client.get_public_access_block(Bucket=place.bucket))
    except Exception as e:
        if fault(e).code != "NoSuchPublicAccessBlockConfiguration":
            raise
        return warning(f"{place.bucket} itself does not block public access", block)
    open_ = [name for name in BLOCKS if not answer["PublicAccessBlockConfiguration"].get(name)]
    if open_:
        return warning(f"{place.bucket} does not block public access wholly ({', '.join(open_)})", block)
    return good(f"{place.bucket} is closed to the public")


def _encryption(needs: Needs, client: Any, place: Place) -> Finding:
    try:
        answer = needs.ask(lambda: client.get_bucket_encryption(Bucket=place.bucket))
    except Exception as e:
        if fault(e).code != "ServerSideEncryptionConfigurationNotFoundError":
            raise
        return good(f"{place.bucket} encrypts with keys of S3's own")
    rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
    said: dict[str, str] = next(
        (r["ApplyServerSideEncryptionByDefault"] for r in rules if "ApplyServerSideEncryptionByDefault" in r),
        {},
    )
    key = said.get("KMSMasterKeyID")
    if not key:
        return good(f"{place.bucket} encrypts by {said.get('SSEAlgorithm', 'AES256')}")
    return good(f"{place.bucket} encrypts by {said['SSEAlgorithm']} with {key}")
