"""The rights that a run needs on AWS: of whoever launches it, and of the role that its job runs as.

One list for whoever asks: Validation simulates them, `configs/role.yaml` grants them, and a test holds both against the
calls that a rehearsal saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LAUNCHER, CONTAINER, CHECK = "launcher", "container", "check"
"""Whose right it is; CHECK: the launcher's, for Validation to look at things. Without those it knows less, and goes on."""


@dataclass(frozen=True)
class Right:
    """An action, whose it is, and of what: bucket, objects, job, role, model, log, or * where AWS knows no smaller thing.

    `when` names what it is needed for, where not for every run.
    """

    action: str
    whose: str
    of: str
    when: str = ""


RIGHTS = (
    Right("sagemaker:CreateTrainingJob", LAUNCHER, "job"),
    Right("sagemaker:DescribeTrainingJob", LAUNCHER, "job"),
    Right("sagemaker:StopTrainingJob", LAUNCHER, "job"),
    Right("sagemaker:AddTags", LAUNCHER, "job", "tags"),
    Right("sagemaker:ListTrainingJobs", LAUNCHER, "*", "fsm jobs"),
    Right("iam:PassRole", LAUNCHER, "role"),
    Right("s3:ListBucket", LAUNCHER, "bucket"),
    Right("s3:GetObject", LAUNCHER, "objects"),
    Right("s3:PutObject", LAUNCHER, "objects"),
    Right("bedrock:InvokeModel", LAUNCHER, "model"),
    Right("logs:DescribeLogStreams", LAUNCHER, "log", "fsm logs"),
    Right("logs:GetLogEvents", LAUNCHER, "log", "fsm logs"),
    Right("iam:GetRole", CHECK, "role"),
    Right("iam:SimulatePrincipalPolicy", CHECK, "role"),
    Right("s3:GetEncryptionConfiguration", CHECK, "bucket"),
    Right("s3:GetBucketPublicAccessBlock", CHECK, "bucket"),
    Right("bedrock:GetFoundationModel", CHECK, "model"),
    Right("servicequotas:ListServiceQuotas", CHECK, "*"),
    Right("ecr:DescribeImages", CHECK, "*"),
    Right("pricing:GetProducts", CHECK, "*"),
    Right("s3:ListBucket", CONTAINER, "bucket"),
    Right("s3:GetObject", CONTAINER, "objects"),
    Right("s3:PutObject", CONTAINER, "objects"),
    Right("bedrock:InvokeModel", CONTAINER, "model"),
    Right("logs:CreateLogGroup", CONTAINER, "log"),
    Right("logs:CreateLogStream", CONTAINER, "log"),
    Right("logs:DescribeLogStreams", CONTAINER, "log"),
    Right("logs:PutLogEvents", CONTAINER, "log"),
    Right("cloudwatch:PutMetricData", CONTAINER, "*"),
    Right("ecr:GetAuthorizationToken", CONTAINER, "*"),
    Right("ecr:BatchCheckLayerAvailability", CONTAINER, "*"),
    Right("ecr:BatchGetImage", CONTAINER, "*"),
    Right("ecr:GetDownloadUrlForLayer", CONTAINER, "*"),
    Right("kms:Decrypt", CONTAINER, "key", "kms"),
    Right("kms:GenerateDataKey", CONTAINER, "key", "kms"),
    Right("kms:CreateGrant", CONTAINER, "key", "kms"),
    Right("ec2:CreateNetworkInterface", CONTAINER, "*", "vpc"),
    Right("ec2:CreateNetworkInterfacePermission", CONTAINER, "*", "vpc"),
    Right("ec2:DeleteNetworkInterface", CONTAINER, "*", "vpc"),
    Right("ec2:DeleteNetworkInterfacePermission", CONTAINER, "*", "vpc"),
    Right("ec2:DescribeNetworkInterfaces", CONTAINER, "*", "vpc"),
    Right("ec2:DescribeVpcs", CONTAINER, "*", "vpc"),
    Right("ec2:DescribeDhcpOptions", CONTAINER, "*", "vpc"),
    Right("ec2:DescribeSubnets", CONTAINER, "*", "vpc"),
    Right("ec2:DescribeSecurityGroups", CONTAINER, "*", "vpc"),
)

OPERATIONS = {
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "POST"): "s3:PutObject",  # an upload in parts
    ("s3", "GetBucketEncryption"): "s3:GetEncryptionConfiguration",
    ("s3", "GetPublicAccessBlock"): "s3:GetBucketPublicAccessBlock",
    ("bedrock", "Converse"): "bedrock:InvokeModel",
}
"""Operations whose action has another name."""
FREE = ("sts:GetCallerIdentity",)
"""Actions that everybody may do."""


def action(service: str, operation: str) -> str:
    """The action that a call needs."""
    return OPERATIONS.get((service, operation), f"{service}:{operation}")


def needed(whose: str, job: Any, teacher: Any) -> Iterator[Right]:
    """The rights of a launcher, or of a container, for this configuration's job and teacher."""
    given = {
        "kms": any((job.kms.volume, job.kms.output, job.kms.store)),
        "vpc": job.vpc is not None,
        "tags": bool(job.tags),
    }
    for right in RIGHTS:
        asks = right.of != "model" or teacher.kind == "bedrock"
        if right.whose == whose and asks and given.get(right.when, not right.when):
            yield right
