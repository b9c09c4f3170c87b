"""The rights that a run needs: the one table that validation simulates, and that configs/role.yaml grants.

Source of the actions: the Service Authorization Reference, and what botocore's operations are called by IAM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from phases.pipeline.validation.needs import Needs, Place
from phases.sagemaker_job.image import Image
from phases.sagemaker_job.role import OF_BATCHES, base

WRITE = ("s3:GetObject", "s3:PutObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload")
LOGS = "/aws/sagemaker/TrainingJobs"  # the log group that SageMaker writes to


@dataclass(frozen=True)
class Right:
    """Some actions on some resources, for one purpose.

    why      what the run does with them
    context  the condition keys, with their values, that come with the request
    needed   False for what only validation asks, and goes without where it may not
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    why: str
    context: Mapping[str, str] = field(default_factory=dict)
    needed: bool = True


@dataclass(frozen=True)
class Account:
    """Where the rights are: the caller's account, the run's region, the job's role, the models behind the teacher."""

    partition: str
    number: str
    region: str
    role: str = ""
    models: tuple[str, ...] = ()

    def arn(self, service: str, resource: str, *, region: bool = True, number: bool = True) -> str:
        where = self.region if region else ""
        return f"arn:{self.partition}:{service}:{where}:{self.number if number else ''}:{resource}"

    def s3(self, place: Place, below: str = "*") -> str:
        """The objects of a place."""
        return self.arn(
            "s3", "/".join(filter(None, (place.bucket, place.prefix, below))), region=False, number=False
        )


def launcher(needs: Needs, account: Account) -> Iterator[Right]:
    """What whoever gives the command needs."""
    for place in filter(needs.on_aws, needs.places):
        yield _listing(account, place)
        if place.written:
            yield Right(WRITE, (account.s3(place),), f"keeping what the run makes at {place.url}")
        else:
            yield Right(("s3:GetObject",), (account.s3(place),), f"reading {place.url}")
        if place.key == "store":
            yield _uploads(account, place)
        kept = ("s3:GetBucketPublicAccessBlock", "s3:GetEncryptionConfiguration", "s3:GetBucketPolicy")
        yield Right(
            ("s3:GetBucketLocation", *(kept if place.written else ())),
            (account.arn("s3", place.bucket, region=False, number=False),),
            f"seeing how {place.bucket} is kept",
            needed=False,
        )
    yield from _keys(needs)
    yield from _teacher(needs, account)
    if account.models:
        yield Right(
            ("bedrock:GetInferenceProfile", "bedrock:GetFoundationModel"), _asked(needs, account),
            "seeing the life cycle of the teacher's model", needed=False,
        )  # fmt: skip
    if needs.batch:
        yield from _batching(needs, account)
    if needs.rents:
        yield from _renting(needs, account)


def batches(needs: Needs, account: Account) -> Iterator[Right]:
    """What the role needs that Bedrock does the teacher's batches as."""
    place = Place("teacher_generation.teacher.batch.place", needs.batch.place)
    yield _listing(account, place)
    yield Right(("s3:GetObject", "s3:PutObject"), (account.s3(place),), f"the batches at {place.url}")
    yield from _teacher(needs, account)


def container(needs: Needs, account: Account) -> Iterator[Right]:
    """What the role needs that a job runs as."""
    for place in needs.places:
        if place.by_job and needs.on_aws(place):
            yield _listing(account, place)
            yield Right(WRITE, (account.s3(place),), f"the job's work at {place.url}")
            if place.key == "store":
                yield _uploads(account, place)
    yield from _keys(needs, by_job=True)
    yield from _teacher(needs, account)
    yield Right(
        ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"),
        (account.arn("logs", f"log-group:{LOGS}:log-stream:*"),),
        "the job's log",
    )
    yield Right(
        ("cloudwatch:PutMetricData",), ("*",), "the job's metrics",
        {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"},
    )  # fmt: skip
    yield Right(("ecr:GetAuthorizationToken",), ("*",), "pulling the image")
    if repository := _repository(needs, account):
        yield Right(
            ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
            (repository,),
            "pulling the image",
        )
    if needs.vpc is not None:
        yield Right(
            ("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface",
             "ec2:DeleteNetworkInterfacePermission", "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces",
             "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"),
            ("*",),
            "joining the private network",
        )  # fmt: skip


def _listing(account: Account, place: Place) -> Right:
    bucket = account.arn("s3", place.bucket, region=False, number=False)
    return Right(("s3:ListBucket",), (bucket,), f"listing {place.url}", {"s3:prefix": place.below})


def _uploads(account: Account, place: Place) -> Right:
    """Of large artifacts, whose upload goes on where it was broken off."""
    bucket = account.arn("s3", place.bucket, region=False, number=False)
    return Right(("s3:ListBucketMultipartUploads",), (bucket,), f"going on with an upload to {place.url}")


def _keys(needs: Needs, by_job: bool = False) -> Iterator[Right]:
    """Of the keys that the configuration names by ARN; what an alias stands for is not known here."""
    keys = {p.options.get("kms_key") for p in needs.places if needs.on_aws(p)}
    if by_job:
        keys |= {needs.job.kms.output, needs.job.kms.volume}
        if needs.job.kms.volume.startswith("arn:"):
            yield Right(("kms:CreateGrant",), (needs.job.kms.volume,), "encrypting the volume")
    if named := tuple(sorted(k for k in keys if k and k.startswith("arn:") and ":key/" in k)):
        yield Right(("kms:GenerateDataKey", "kms:Decrypt"), named, "encrypting what is kept")


def _asked(needs: Needs, account: Account) -> tuple[str, ...]:
    """The resources that a question to the teacher touches: its inference profile, and every model behind it."""
    model = needs.teacher.model
    profile = () if base(model) == model else (
        model if model.startswith("arn:") else account.arn("bedrock", f"inference-profile/{model}"),
    )  # fmt: skip
    return (*profile, *account.models)


def _teacher(needs: Needs, account: Account) -> Iterator[Right]:
    if account.models:
        yield Right(("bedrock:InvokeModel",), _asked(needs, account), "asking the teacher")


def _batching(needs: Needs, account: Account) -> Iterator[Right]:
    role, job = needs.batch.role, account.arn("bedrock", "model-invocation-job/*")
    yield Right(
        ("bedrock:CreateModelInvocationJob",),
        (*_asked(needs, account), job),
        "sending a batch to the teacher",
    )
    yield Right(("bedrock:GetModelInvocationJob",), (job,), "awaiting a batch")
    yield Right(("bedrock:ListModelInvocationJobs",), ("*",), "finding a batch that was sent before")
    passed = {"iam:PassedToService": OF_BATCHES}
    yield Right(("iam:PassRole",), (role,), "giving the batch its role", passed)
    yield Right(
        ("iam:GetRole", "iam:SimulatePrincipalPolicy"), (role,), "seeing the batch's role", needed=False
    )


def _renting(needs: Needs, account: Account) -> Iterator[Right]:
    job = account.arn("sagemaker", "training-job/*")
    renting = ("sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob")
    yield Right(renting, (job,), "renting the training job")
    yield Right(("sagemaker:ListTrainingJobs",), ("*",), "listing what is rented")
    if needs.job.tags:
        yield Right(("sagemaker:AddTags",), (job,), "tagging the training job")
    yield Right(
        ("iam:PassRole",),
        (account.role,),
        "giving the job its role",
        {"iam:PassedToService": "sagemaker.amazonaws.com"},
    )
    yield Right(
        ("logs:DescribeLogStreams", "logs:GetLogEvents"),
        (account.arn("logs", f"log-group:{LOGS}:log-stream:*"),),
        "showing the job's log",
    )
    yield Right(
        ("iam:GetRole", "iam:SimulatePrincipalPolicy"), (account.role,), "seeing the role", needed=False
    )
    yield Right(
        (
            "servicequotas:ListServiceQuotas",
            "servicequotas:ListAWSDefaultServiceQuotas",
            "ec2:DescribeInstanceTypes",
            "pricing:GetProducts",
        ),
        ("*",),
        "seeing what may be rented, and for how much",
        needed=False,
    )
    if repository := _repository(needs, account):
        seen = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
        yield Right(seen, (repository,), "seeing the image", needed=False)
    if needs.vpc is not None:
        yield Right(
            ("ec2:DescribeSubnets", "ec2:DescribeRouteTables", "ec2:DescribeVpcEndpoints"),
            ("*",),
            "seeing the way to S3",
            needed=False,
        )


def _repository(needs: Needs, account: Account) -> str:
    """The ARN of the image's repository in ECR; empty where the image is elsewhere."""
    image = Image.read(needs.job.image.format(region=needs.job.region))
    if image is None:
        return ""
    return f"arn:{account.partition}:ecr:{image.region}:{image.registry}:repository/{image.repository}"
