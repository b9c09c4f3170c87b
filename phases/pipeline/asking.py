"""The checks that ask AWS, and the stores that are not it. Each is a few small calls; none costs anything but the teacher's.

What the caller may not ask is not known: AWS often denies SimulatePrincipalPolicy, quotas or another account's registry to
those who may do all that the run needs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

from fsm.errors import FsmError
from fsm.faults import Fault, fault
from phases.errors import PipelineError
from phases.pipeline.finding import Finding, bad, good, not_known, nothing, warning
from phases.pipeline.rights import CONTAINER, LAUNCHER, needed
from phases.pipeline.subject import Place, Subject

SKEW = 300  # seconds that AWS lets a signature's time be off
MARK = "fsm-check.json"  # what is written to a place to see whether it can be
ECR = re.compile(r"^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+):([\w.-]+)$")
PASSED = [
    {
        "ContextKeyName": "iam:PassedToService",
        "ContextKeyValues": ["sagemaker.amazonaws.com"],
        "ContextKeyType": "string",
    }
]
"""Whom the launcher passes the role to, as a condition of its policy may ask."""
NOT_ASKED = ("access", "request")
"""Causes for which what was asked stays unknown: the caller may not ask, or the service does not know the question."""


def _refused(found: Fault) -> bool:
    return found.cause in NOT_ASKED or found.code in (
        "UnknownOperationException",
        "InvalidAction",
        "NotImplemented",
    )


def _answer(check: str, ask: Callable[[], Finding], follows: str) -> Finding:
    """What `ask` finds; not known, and what follows, where the caller may not ask; bad, with what to do, for the rest."""
    try:
        return ask()
    except Exception as e:
        found = fault(e)
        if _refused(found):
            return not_known(check, found.message, follows)
        return bad(check, found.message, found.advice)


# AWSCredentials


def credentials(subject: Subject) -> Iterator[Finding]:
    """Whether AWS knows the caller, and this machine's clock is AWS's."""
    there = subject.on_aws()
    if not there:
        yield nothing("caller", "no part of this configuration is on AWS")
        return
    try:
        told = subject.client("sts").get_caller_identity()
    except Exception as e:
        found = fault(e)
        text = f"AWS does not know the caller, and {', '.join(there)} needs it to: {found.message}"
        yield bad("caller", text, found.advice)
        return
    yield good("caller", f"AWS knows the caller as {told['Arn']}")
    date = told["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    if date is None:
        yield not_known(
            "clock", "the answer has no Date", "A clock that is off is told by AWS as a refused signature."
        )
        return
    off = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
    if off > SKEW:
        yield bad(
            "clock",
            f"this machine's clock is off by {off:.0f} seconds",
            "Set it (NTP): AWS refuses what it signs.",
        )
    else:
        yield good("clock", "this machine's clock is AWS's, to within what AWS lets pass")


# S3Access


def buckets(subject: Subject) -> Iterator[Finding]:
    """Whether every place can be listed, read and written, by a condition where a journal is kept; and its bucket."""
    asked = set()
    for place in subject.places():
        s3 = subject.client("s3", endpoint_url=place.endpoint)
        yield _listed(s3, place)
        if place.purpose == "store":
            yield _journaled(subject, place)
        elif place.written:
            yield _written(s3, place)
        if place.bucket in asked:
            continue
        asked.add(place.bucket)
        if place.endpoint:
            yield nothing(
                f"{place.bucket}: AWS",
                f"it is at {place.endpoint}, which is asked only what a run needs of it",
            )
            continue
        yield from _of_aws(s3, place, subject)


def _listed(s3: Any, place: Place) -> Finding:
    check = f"{place.purpose}: list and read"

    def ask() -> Finding:
        found = s3.list_objects_v2(Bucket=place.bucket, Prefix=place.prefix, MaxKeys=1)
        for one in found.get("Contents", ()):
            s3.get_object(Bucket=place.bucket, Key=one["Key"], Range="bytes=0-0" if one["Size"] else "")  # fmt: skip
        if not found.get("Contents") and not place.written:
            do = "See to data_preparation.source: without an object no data is extracted."
            return warning(check, f"{place.url} is empty", do)
        return good(check, f"{place.url} can be listed, and read")

    try:
        return ask()
    except Exception as e:
        found = fault(e)
        return bad(
            check, f"{place.url}: {found.message}", f"{found.advice} It takes s3:ListBucket and s3:GetObject."
        )


def _journaled(subject: Subject, place: Place) -> Finding:
    """The store's own question, which writes by a condition: what a journal stands on."""
    from fsm.store import S3Store, open_store

    check = f"{place.purpose}: conditional write"
    query = subject.store.partition("?")[2]
    store = open_store(f"{place.url}?{query}" if query else place.url, **dict(subject.store_options))
    assert isinstance(store, S3Store)
    try:
        store.probe()
    except FsmError as e:
        return bad(
            check,
            e.message,
            "It takes s3:PutObject, s3:GetObject and s3:ListBucket, and a store that holds conditions.",
        )
    except Exception as e:
        found = fault(e)
        return bad(check, f"{place.url}: {found.message}", found.advice)
    return good(check, f"{place.url} writes what is absent, and only that")


def _written(s3: Any, place: Place) -> Finding:
    check = f"{place.purpose}: write"
    key = "/".join(filter(None, (place.prefix, MARK)))
    try:
        s3.put_object(Bucket=place.bucket, Key=key, Body=b"{}\n")
        s3.get_object(Bucket=place.bucket, Key=key)
    except Exception as e:
        found = fault(e)
        return bad(
            check, f"{place.url}: {found.message}", f"{found.advice} It takes s3:PutObject and s3:GetObject."
        )
    return good(check, f"{place.url} can be written")


def _of_aws(s3: Any, place: Place, subject: Subject) -> Iterator[Finding]:
    def region() -> Finding:
        check = f"{place.bucket}: region"
        told = s3.head_bucket(Bucket=place.bucket)["ResponseMetadata"]["HTTPHeaders"].get(
            "x-amz-bucket-region"
        )
        if told and subject.rented and told != subject.job.region:
            do = "SageMaker reads and writes buckets of its own region: set sagemaker_job.region, or take a bucket there."
            return bad(check, f"the bucket is in {told}, the job in {subject.job.region}", do)
        return good(check, f"the bucket is in {told or 'the region it was asked in'}")

    def private() -> Finding:
        check = f"{place.bucket}: public access"
        try:
            found = s3.get_public_access_block(Bucket=place.bucket)["PublicAccessBlockConfiguration"]
        except Exception as e:
            if fault(e).code != "NoSuchPublicAccessBlockConfiguration":
                raise
            found = {}
        words = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        if all(found.get(word) for word in words):
            return good(check, "public access is blocked")
        do = "Block it (aws s3api put-public-access-block): journals and models are nobody else's to read."
        return warning(check, "the bucket itself does not block public access; the account may", do)

    def encrypted() -> Finding:
        check = f"{place.bucket}: encryption"
        try:
            rules = s3.get_bucket_encryption(Bucket=place.bucket)["ServerSideEncryptionConfiguration"][
                "Rules"
            ]
        except Exception as e:
            if fault(e).code != "ServerSideEncryptionConfigurationNotFoundError":
                raise
            return good(check, "no default is set, so S3 encrypts with its own keys")
        default = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
        if default.get("SSEAlgorithm", "").startswith("aws:kms"):
            key = default.get("KMSMasterKeyID", "the account's key for S3")
            do = "Launcher and role need kms:Decrypt and kms:GenerateDataKey on it."
            return good(check, f"encrypted by KMS, with {key}. {do}")
        return good(check, f"encrypted by {default.get('SSEAlgorithm', 'S3')}")

    follows = "The run does not need it; a person may."
    yield _answer(
        f"{place.bucket}: region", region, "A bucket in another region fails the job when it starts."
    )
    yield _answer(f"{place.bucket}: public access", private, follows)
    yield _answer(f"{place.bucket}: encryption", encrypted, follows)


# BedrockAuth


def teacher(subject: Subject) -> Iterator[Finding]:
    """Whether the teacher answers, at the price of a few tokens, and its model is offered for as long as the run may take."""
    from phases.teacher_generation.teachers import make_teacher

    settings = subject.teacher
    if settings.kind == "offline":
        yield nothing("teacher", make_teacher(settings).note)
        return
    try:
        one = make_teacher(settings)
        warnings = one.check(timedelta(seconds=subject.job.max_runtime_seconds))
        one.invoke("Answer with the single word: ready")
    except Exception as e:
        said = str(e) or type(e).__name__
        advice = "" if isinstance(e, FsmError | PipelineError) else fault(e).advice
        yield bad("teacher", said, f"{advice} See to what it says, or set pipeline.skip_bedrock.".strip())
        return
    yield good("teacher", f"{one.note.rstrip('.')}; it answers")
    yield from (warning("teacher's model", text) for text in warnings)


# IAMRole


def role(subject: Subject) -> Iterator[Finding]:
    """Whether the role is there, SageMaker can assume it, and it and the launcher may do what the run needs."""
    if not subject.rented:
        yield nothing("role", "the training job runs on this machine, as this user")
        return
    arn = subject.job.role
    if not arn:
        yield bad("role", "sagemaker_job.role is empty", f"Name the role that the job is to run as; {CREATE}")
        return
    iam = subject.client("iam")
    name = arn.rpartition("/")[2]
    try:
        found = iam.get_role(RoleName=name)["Role"]
    except Exception as e:
        told = fault(e)
        if told.code == "NoSuchEntity":
            yield bad(
                "role", f"there is no role {name} in this account", f"Correct sagemaker_job.role; {CREATE}"
            )
        elif _refused(told):
            yield not_known(
                "role", told.message, "SageMaker says at the launch whether it can assume the role."
            )
            found = None
        else:
            yield bad("role", told.message, told.advice)
        found = None
    if found is not None:
        yield good("role", f"the role {found['Arn']} is there")
        yield _trusted(found)
        if boundary := found.get("PermissionsBoundary"):
            do = "What it does not allow, the role cannot do, whatever its policies say."
            yield warning(
                "permissions boundary", f"the role has {boundary.get('PermissionsBoundaryArn')}", do
            )
    yield _simulated(iam, "role's rights", arn, CONTAINER, subject)
    yield _answer(
        "launcher's rights",
        lambda: _of_launcher(iam, subject),
        "A right that is missing is told when it is needed.",
    )


def _resources(subject: Subject) -> dict[str, list[str]]:
    """ARNs that stand for what the rights are of; what is not among them is asked of everything."""
    places = [p for p in subject.places() if not p.endpoint]
    _, partition, _, _, account, _ = subject.job.role.split(":", 5)
    own = f"{subject.job.region}:{account}"
    found = {
        "bucket": [f"arn:{partition}:s3:::{p.bucket}" for p in places],
        "objects": [
            f"arn:{partition}:s3:::" + "/".join(filter(None, (p.bucket, p.prefix, "x")))
            for p in places
            if p.written
        ],
        "role": [subject.job.role],
        "job": [f"arn:{partition}:sagemaker:{own}:training-job/fsm"],
        "log": [f"arn:{partition}:logs:{own}:log-group:/aws/sagemaker/TrainingJobs:log-stream:fsm"],
    }
    if subject.teacher.kind == "bedrock":
        model, region = subject.teacher.model_id, subject.teacher.region
        found["model"] = [f"arn:{partition}:bedrock:{region}::foundation-model/{_bare(model)}"]
        if _bare(model) != model:
            found["model"].append(f"arn:{partition}:bedrock:{region}:{account}:inference-profile/{model}")
    return found


def _bare(model: str) -> str:
    """A model's id without the region that its inference profile begins with."""
    return re.sub(r"^(?:us-gov|us|eu|apac|jp|au|ca|global)\.", "", model)


CREATE = (
    "`aws cloudformation deploy --template-file configs/role.yaml --stack-name fsm --capabilities CAPABILITY_NAMED_IAM "
    "--parameter-overrides Bucket=BUCKET` creates one"
)


def _trusted(found: dict[str, Any]) -> Finding:
    policy = found.get("AssumeRolePolicyDocument") or {}
    if isinstance(policy, str):
        policy = json.loads(unquote(policy))
    for statement in _several(policy.get("Statement", [])):
        services = _several(statement.get("Principal", {}).get("Service", []))
        actions = _several(statement.get("Action", []))
        allows = statement.get("Effect") == "Allow" and {"sts:AssumeRole", "sts:*", "*"} & set(actions)
        if allows and "sagemaker.amazonaws.com" in services:
            return good("role's trust", "SageMaker may assume it")
    do = "Allow sts:AssumeRole to the service sagemaker.amazonaws.com in its trust policy."
    return bad("role's trust", "its trust policy does not let sagemaker.amazonaws.com assume it", do)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _of_launcher(iam: Any, subject: Subject) -> Finding:
    arn = subject.client("sts").get_caller_identity()["Arn"]
    if assumed := re.fullmatch(r"arn:(aws[a-z-]*):sts::(\d+):assumed-role/([^/]+)/.*", arn):
        arn = f"arn:{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}"
    if arn.endswith(":root"):
        return good("launcher's rights", "the caller is the account itself")
    return _simulated(iam, "launcher's rights", arn, LAUNCHER, subject)


def _simulated(iam: Any, check: str, arn: str, whose: str, subject: Subject) -> Finding:
    rights = list(needed(whose, subject.job, subject.teacher))
    resources = _resources(subject)

    def ask() -> Finding:
        denied = []
        for of in dict.fromkeys(r.of for r in rights):
            asked = [r.action for r in rights if r.of == of]
            scope = {"ResourceArns": resources[of]} if resources.get(of) else {}
            pages = iam.get_paginator("simulate_principal_policy").paginate(
                PolicySourceArn=arn, ActionNames=asked, ContextEntries=PASSED, **scope
            )
            for page in pages:
                denied += [
                    f"{row['EvalActionName']} on {row.get('EvalResourceName', '*')}"
                    for row in page["EvaluationResults"]
                    if row["EvalDecision"] != "allowed"
                ]
        if denied:
            return bad(
                check, f"{arn} may not do: {', '.join(denied[:8])}", f"Allow it, or take another; {CREATE}"
            )
        return good(check, f"the {len(rights)} actions that the run needs are allowed")

    return _answer(check, ask, "A right that is missing is told when it is needed.")


# What the configuration asks of the account


def account(subject: Subject) -> Iterator[Finding]:
    """Whether the account may have the instances, and the image is there."""
    if not subject.rented:
        return
    job = subject.job
    quotas = subject.client("service-quotas")
    for kind in job.instance_types:
        wanted = f"{kind} for {'spot ' if job.spot else ''}training job usage"
        yield _answer(
            f"quota: {kind}",
            lambda kind=kind, wanted=wanted: _quota(quotas, kind, wanted, job),  # type: ignore[misc]
            "A quota that is too low is told at the launch.",
        )
    yield _image(subject)


def _quota(quotas: Any, kind: str, wanted: str, job: Any) -> Finding:
    check = f"quota: {kind}"
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    found = [q for page in pages for q in page["Quotas"] if q["QuotaName"] == wanted]
    if not found:
        do = "Take an instance type that is offered there, or another region."
        return bad(check, f"{job.region} has no quota named {wanted!r}, so it does not offer the type", do)
    value = found[0]["Value"]
    if value < job.instance_count:
        code = found[0].get("QuotaCode", "QUOTA")
        do = (
            f"aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code {code} --desired-value "
            f"{job.instance_count} --region {job.region}; or take another type, or spot: {str(not job.spot).lower()}."
        )
        return bad(
            check, f"the account may have {value:g} of {wanted!r}, and the job takes {job.instance_count}", do
        )
    return good(check, f"the account may have {value:g}")


def _image(subject: Subject) -> Finding:
    job = subject.job
    uri = job.image.format(region=job.region)
    if re.search(r"pytorch\S*[:-]2\.[0-5]\.", uri) and (job.spot or job.retries):
        do = "Take an image with PyTorch 2.6 or newer, or set spot: false and retries: 0."
        why = "PyTorch before 2.6 cannot load an optimizer's state with any current TRL (CVE-2025-32434), so the job could not resume"
        return bad("image", f"{uri}: {why}", do)
    match = ECR.match(uri)
    if match is None:
        return not_known(
            "image", f"{uri} is in no ECR", "An image that is not there fails the job while Downloading."
        )
    registry, region, repository, tag = match.groups()

    def ask() -> Finding:
        ecr = subject.client("ecr", region=region)
        try:
            ecr.describe_images(registryId=registry, repositoryName=repository, imageIds=[{"imageTag": tag}])
        except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException) as e:
            return bad(
                "image", str(e), "Correct sagemaker_job.image: its tag must be there, in the job's region."
            )
        if region != job.region:
            return warning(
                "image", f"{uri} is in {region}, and fetched from there", "Take that of the job's region."
            )
        return good("image", f"{uri} is there")

    return _answer("image", ask, "An image that is not there fails the job while Downloading.")


def timed(findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, each with the seconds it took."""
    from dataclasses import replace

    begun = time.monotonic()
    for found in findings:
        now = time.monotonic()
        yield replace(found, seconds=now - begun)
        begun = now
