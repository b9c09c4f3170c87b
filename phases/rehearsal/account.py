"""An AWS account on the loopback: what is asked of it before anything is rented.

STS, IAM, Service Quotas, ECR, EC2 and Bedrock's catalogue, for the unmodified boto3 by `endpoint_url`, or by AWS_ENDPOINT_URL and
AWS_ENDPOINT_URL_<SERVICE>. What is in the account is plain data, to be set before or while it is served. What it was asked is in
`calls`. Shapes are held against the services' models (modelled.py); SimulatePrincipalPolicy evaluates the policies that are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import quote

from phases.rehearsal import policy
from phases.rehearsal.modelled import Call, Refusal, answered, read, refused, scope
from phases.rehearsal.wire import Reply, Request
from phases.sagemaker_job.prices import LISTED

SERVICES = {
    "sts": "sts", "iam": "iam", "servicequotas": "service-quotas", "ecr": "ecr", "ec2": "ec2", "bedrock": "bedrock",
    "pricing": "pricing",
}  # fmt: skip
"""Name in a signature -> name in boto3."""
SKEW = timedelta(minutes=5)
PAGE = 100
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
T = TypeVar("T")


@dataclass
class Role:
    """A role: who may assume it, its policies, and what bounds them."""

    trust: Mapping[str, Any] = field(
        default_factory=lambda: {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sagemaker.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    )
    policies: list[Mapping[str, Any]] = field(default_factory=list)
    boundary: Mapping[str, Any] | None = None


@dataclass
class Network:
    """A private network of one subnet. `endpoint`: one for S3 is in its route table; `gateway`: the id of a way out of it."""

    subnet: str = "subnet-0123456789abcdef0"
    vpc: str = "vpc-0123456789abcdef0"
    endpoint: bool = True
    gateway: str = ""


@dataclass
class Account:
    """What is in the account, and who asks.

    caller     the user's name in it;  policies, boundary  what it may do, for SimulatePrincipalPolicy
    keys       access key -> what is wrong with it: "" nothing, or `expired`; another key is not known
    clock      how far the account's clock is ahead of this machine's
    denied     actions (`iam:GetRole`) that the caller is not let to
    quotas     name -> value, of SageMaker;  defaults  those that the account has no value of its own for
    types      instance type of EC2 -> its architecture, of those that the region has
    images     `repository:tag` -> its architecture, as images say it (`amd64`); under `*` that of any other
    prices     instance type -> dollars an hour on demand
    models     id of a model -> (status, end of life or None)
    profiles   id of an inference profile -> (id of its model, the regions it leads to)
    calls      (service, operation) in order
    """

    number: str = "111122223333"
    caller: str = "launcher"
    policies: list[Mapping[str, Any]] = field(default_factory=list)
    boundary: Mapping[str, Any] | None = None
    keys: dict[str, str] = field(default_factory=lambda: {"testing": ""})
    clock: timedelta = timedelta(0)
    denied: set[str] = field(default_factory=set)
    roles: dict[str, Role] = field(default_factory=dict)
    quotas: dict[str, float] = field(default_factory=dict)
    defaults: dict[str, float] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=lambda: {"g5.2xlarge": "x86_64", "g5g.2xlarge": "arm64"})
    images: dict[str, str] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=lambda: dict(LISTED))
    models: dict[str, tuple[str, datetime | None]] = field(default_factory=lambda: {SONNET: ("ACTIVE", None)})
    profiles: dict[str, tuple[str, tuple[str, ...]]] = field(
        default_factory=lambda: {f"us.{SONNET}": (SONNET, ("us-east-1", "us-east-2", "us-west-2"))}
    )
    network: Network | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        """Answer a request, as the service that it is signed for."""
        if request.path.startswith("/-/layer/"):
            return Reply(body=json.dumps({"architecture": request.steps[-1], "os": "linux"}).encode())
        _, _, signed = scope(request)
        service = SERVICES.get(signed, "sts")
        try:
            call = read(request, SERVICES)
            self.calls.append((call.service, call.operation))
            self._let_in(call, request)
            reply = answered(call, ANSWERS[call.operation](self, call, f"http://{request.headers['host']}"))
        except Refusal as e:
            reply = refused(service, e)
        except KeyError as e:
            reply = refused(service, Refusal("InvalidAction", f"{e} is not rehearsed"))
        now = format_datetime(datetime.now(UTC) + self.clock, usegmt=True)
        return Reply(reply.status, reply.body, {**reply.headers, "Date": now}, reply.kind)

    def _let_in(self, call: Call, request: Request) -> None:
        """By the key, the time of the signature, and what the caller may do: the signature itself is not held against anything."""
        state = self.keys.get(call.key) if call.key else ""
        json_ = call.service in ("service-quotas", "ecr", "bedrock", "pricing")
        if state is None:
            code = "UnrecognizedClientException" if json_ else "InvalidClientTokenId"
            raise Refusal(code, "The security token included in the request is invalid.", 403)
        if state == "expired":
            code = "ExpiredTokenException" if json_ else "ExpiredToken"
            raise Refusal(code, "The security token included in the request is expired", 403)
        if stamp := request.headers.get("x-amz-date"):
            now = datetime.now(UTC) + self.clock
            signed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            if abs(now - signed) > SKEW:
                raise Refusal("SignatureDoesNotMatch", _out_of_date(signed, now), 403)
        action = f"{scope(request)[2]}:{call.operation}"
        if action in self.denied:
            code = (
                "UnauthorizedOperation"
                if call.service == "ec2"
                else "AccessDeniedException"
                if json_
                else "AccessDenied"
            )
            raise Refusal(code, f"User: {self.arn} is not authorized to perform: {action}", 403)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.number}:user/{self.caller}"

    def role_arn(self, name: str) -> str:
        return f"arn:aws:iam::{self.number}:role/{name}"


def _out_of_date(signed: datetime, now: datetime) -> str:
    form = "%Y%m%dT%H%M%SZ"
    if signed < now:
        return f"Signature expired: {signed:{form}} is now earlier than {now - SKEW:{form}} ({now:{form}} - 5 min.)"
    return f"Signature not yet current: {signed:{form}} is still later than {now + SKEW:{form}} ({now:{form}} + 5 min.)"


# Who is there


def _caller(account: Account, call: Call, here: str) -> dict[str, Any]:
    return {"UserId": "AIDAEXAMPLE000000", "Account": account.number, "Arn": account.arn}


def _role(account: Account, call: Call, here: str) -> dict[str, Any]:
    name = call.asked["RoleName"]
    role = _found(account.roles.get(name), "NoSuchEntity", f"The role with name {name} cannot be found.", 404)
    return {
        "Role": {
            "Path": "/",
            "RoleName": name,
            "RoleId": "AROAEXAMPLE000000",
            "Arn": account.role_arn(name),
            "CreateDate": _BEGAN,
            "AssumeRolePolicyDocument": quote(json.dumps(role.trust)),
        }
    }


def _simulated(account: Account, call: Call, here: str) -> dict[str, Any]:
    arn = call.asked["PolicySourceArn"]
    if arn == account.arn:
        policies, boundary = account.policies, account.boundary
    else:
        role = account.roles.get(arn.rpartition("/")[2])
        role = _found(role, "NoSuchEntity", f"The entity {arn} cannot be found.", 404)
        policies, boundary = role.policies, role.boundary
    context = {e["ContextKeyName"]: e["ContextKeyValues"][0] for e in call.asked.get("ContextEntries", ())}
    results = []
    for action in call.asked["ActionNames"]:
        for resource in call.asked.get("ResourceArns", ["*"]):
            said = policy.decision(policies, action, resource, context)
            one: dict[str, Any] = {"EvalActionName": action, "EvalResourceName": resource}
            if boundary is not None:
                within = policy.decision([boundary], action, resource, context) == policy.ALLOWED
                one["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": within}
                said = said if within else policy.UNSAID
            results.append({**one, "EvalDecision": said, "MatchedStatements": [], "MissingContextValues": []})
    return {"EvaluationResults": results, "IsTruncated": False}


# What may be rented


def _quotas(values: Mapping[str, float], call: Call) -> dict[str, Any]:
    """A page of them, among as many others as a region has."""
    names = sorted({**values, **{f"ml.m5.{n}xlarge for endpoint usage": 0.0 for n in range(250)}})
    start = int(call.asked.get("NextToken", 0))
    most = call.asked.get("MaxResults", PAGE)
    page = [
        {
            "ServiceCode": "sagemaker",
            "ServiceName": "Amazon SageMaker",
            "QuotaName": name,
            "QuotaCode": f"L-{sha256(name.encode()).hexdigest()[:8].upper()}",
            "Value": values.get(name, 0.0),
            "Adjustable": True,
        }
        for name in names[start : start + most]
    ]
    more = {"NextToken": str(start + most)} if start + most < len(names) else {}
    return {"Quotas": page, **more}


def _types(account: Account, call: Call, here: str) -> dict[str, Any]:
    names = call.asked["InstanceTypes"]
    if missing := [n for n in names if n not in account.types]:
        message = f"The following supplied instance types do not exist: [{', '.join(missing)}]"
        raise Refusal("InvalidInstanceType", message)
    return {
        "InstanceTypes": [
            {"InstanceType": n, "ProcessorInfo": {"SupportedArchitectures": [account.types[n]]}}
            for n in names
        ]
    }


def _image(account: Account, call: Call, here: str) -> dict[str, Any]:
    repository, registry = call.asked["repositoryName"], call.asked["registryId"]
    if not any(name == "*" or name.startswith(f"{repository}:") for name in account.images):
        message = (
            f"The repository with name '{repository}' does not exist in the registry with id '{registry}'"
        )
        raise Refusal("RepositoryNotFoundException", message)
    found, failures = [], []
    for one in call.asked["imageIds"]:
        made_for = account.images.get(f"{repository}:{one.get('imageTag')}", account.images.get("*"))
        if made_for is None:
            failures.append(
                {"imageId": one, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
            )
            continue
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": 1,
                "digest": f"sha256:{made_for}",
            },
            "layers": [],
        }
        found.append(
            {
                "registryId": registry,
                "repositoryName": repository,
                "imageId": one,
                "imageManifest": json.dumps(manifest),
            }
        )
    return {"images": found, "failures": failures}


def _layer(account: Account, call: Call, here: str) -> dict[str, Any]:
    digest = call.asked["layerDigest"]
    return {"downloadUrl": f"{here}/-/layer/{digest.removeprefix('sha256:')}", "layerDigest": digest}


def _products(account: Account, call: Call, here: str) -> dict[str, Any]:
    """The on-demand price of the instance that the filters name."""
    wanted = {f["Field"]: f["Value"] for f in call.asked.get("Filters", ())}
    dollars = account.prices.get(wanted.get("instanceName", ""))
    if dollars is None:
        return {"FormatVersion": "aws_v1", "PriceList": []}
    price = {"unit": "Hrs", "pricePerUnit": {"USD": f"{dollars:.10f}"}}
    term = {"sku.1": {"priceDimensions": {"sku.1.1": price}}}
    return {"FormatVersion": "aws_v1", "PriceList": [json.dumps({"terms": {"OnDemand": term}})]}


# The network


def _subnets(account: Account, call: Call, here: str) -> dict[str, Any]:
    own = account.network
    for name in call.asked["SubnetIds"]:
        if own is None or name != own.subnet:
            raise Refusal("InvalidSubnetID.NotFound", f"The subnet ID '{name}' does not exist")
    return {"Subnets": [{"SubnetId": own.subnet, "VpcId": own.vpc}]} if own else {"Subnets": []}


def _tables(account: Account, call: Call, here: str) -> dict[str, Any]:
    own = _found(account.network, "InvalidVpcID.NotFound", "There is no network")
    routes = [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}]
    if own.gateway:
        kind = "NatGatewayId" if own.gateway.startswith("nat-") else "GatewayId"
        routes.append({"DestinationCidrBlock": "0.0.0.0/0", kind: own.gateway, "State": "active"})
    table = {"RouteTableId": "rtb-1", "VpcId": own.vpc, "Associations": [{"Main": True}], "Routes": routes}
    return {"RouteTables": [table]}


def _endpoints(account: Account, call: Call, here: str) -> dict[str, Any]:
    own = _found(account.network, "InvalidVpcID.NotFound", "There is no network")
    one = {
        "VpcEndpointId": "vpce-1",
        "VpcEndpointType": "Gateway",
        "VpcId": own.vpc,
        "ServiceName": f"com.amazonaws.{call.region}.s3",
        "State": "available",
        "RouteTableIds": ["rtb-1"],
    }
    return {"VpcEndpoints": [one] if own.endpoint else []}


# Bedrock's catalogue


def _model(account: Account, call: Call, here: str) -> dict[str, Any]:
    name = call.asked["modelIdentifier"].rpartition("/")[2]
    missing = f"Could not resolve the foundation model from the model identifier: {name}"
    status, end = _found(account.models.get(name), "ResourceNotFoundException", missing, 404)
    life: dict[str, Any] = {"status": status, **({"endOfLifeTime": end} if end else {})}
    return {
        "modelDetails": {
            "modelArn": f"arn:aws:bedrock:{call.region}::foundation-model/{name}",
            "modelId": name,
            "modelName": name.partition(".")[2],
            "providerName": name.partition(".")[0].title(),
            "modelLifecycle": life,
        }
    }


def _profile(account: Account, call: Call, here: str) -> dict[str, Any]:
    name = call.asked["inferenceProfileIdentifier"]
    model, regions = _found(
        account.profiles.get(name), "ResourceNotFoundException", f"There is no {name}", 404
    )
    return {
        "inferenceProfileName": name,
        "inferenceProfileArn": f"arn:aws:bedrock:{call.region}:{account.number}:inference-profile/{name}",
        "inferenceProfileId": name,
        "models": [{"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model}"} for region in regions],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def _found(value: T | None, code: str, message: str, status: int = 400) -> T:
    if value is None:
        raise Refusal(code, message, status)
    return value


ANSWERS: Mapping[str, Callable[[Account, Call, str], Mapping[str, Any]]] = {
    "GetCallerIdentity": _caller,
    "GetRole": _role,
    "SimulatePrincipalPolicy": _simulated,
    "ListServiceQuotas": lambda account, call, here: _quotas(account.quotas, call),
    "ListAWSDefaultServiceQuotas": lambda account, call, here: _quotas(
        {**account.defaults, **account.quotas}, call
    ),
    "DescribeInstanceTypes": _types,
    "BatchGetImage": _image,
    "GetDownloadUrlForLayer": _layer,
    "GetProducts": _products,
    "DescribeSubnets": _subnets,
    "DescribeRouteTables": _tables,
    "DescribeVpcEndpoints": _endpoints,
    "GetFoundationModel": _model,
    "GetInferenceProfile": _profile,
}
"""By operation: (the account, the call, the address it came to) -> the answer."""
