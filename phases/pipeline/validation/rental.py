"""What is rented: the region, the instance types, how many of them the account may have, and the way from their network to S3."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from fsm.faults import fault
from phases.errors import NoCredentials, NotProvided
from phases.pipeline.validation.finding import Finding, asked_if_allowed, failed, good, unknown, warning
from phases.pipeline.validation.image import image
from phases.pipeline.validation.needs import Needs

QUOTA = "{type} for {spot}training job usage"
"""What Service Quotas calls the number of instances of a type that jobs may have at once."""
WARM = "{type} for training warm pool usage"
"""And that of those which may be kept after a job."""


def rental(needs: Needs) -> Iterator[Finding]:
    """Of a configuration whose jobs run on SageMaker."""
    if needs.refused:
        yield unknown("instances, quota and image are not asked for: AWS does not know the caller")
        return
    here = _region(needs)
    yield here
    if here.bad:
        return
    architectures: set[str] = set()
    yield asked_if_allowed(
        "the processor of the instance",
        lambda: _types(needs, architectures),
        "It is then not held against the image's.",
    )
    yield asked_if_allowed(
        "the quota of the instance type",
        lambda: _quota(needs),
        "A job that is over it is refused (ResourceLimitExceeded) when it is created.",
    )
    if needs.job.warm_pool_seconds:
        yield asked_if_allowed(
            "the quota of the warm pool",
            lambda: _warm(needs),
            "A job that is over it is refused (ResourceLimitExceeded) when it is created.",
        )
    yield from image(needs, frozenset(architectures))
    if needs.vpc is not None:
        yield asked_if_allowed(
            "the way from the subnets to S3",
            lambda: _way(needs),
            "A job without one fails when its data are to be downloaded.",
        )


def _region(needs: Needs) -> Finding:
    """By what botocore knows of the regions: in one that is not there no answer would ever come."""
    region = needs.job.region
    session = needs.session
    known = [
        r for p in session.get_available_partitions() for r in session.get_available_regions("sagemaker", p)
    ]
    if region in known:
        return good(f"SageMaker is offered in {region}")
    near = get_close_matches(region, known)
    meant = f" Did you mean {' or '.join(near)}?" if near else " One that is new wants a newer boto3."
    return failed(
        f"there is no SageMaker in a region {region!r}",
        f"Correct sagemaker_job.region (AWS_REGION).{meant}",
        NoCredentials,
    )


def _types(needs: Needs, architectures: set[str]) -> Finding:
    """EC2 knows what an instance is, and whether the region has it; SageMaker itself has no such question."""
    ec2 = needs.client("ec2")
    names = [name.removeprefix("ml.") for name in needs.instance_types]
    try:
        answer = needs.ask(lambda: ec2.describe_instance_types(InstanceTypes=names))
    except Exception as e:
        if fault(e).code != "InvalidInstanceType":
            raise
        return failed(
            f"{needs.job.region} has no {' or '.join(needs.instance_types)}: {fault(e).message}",
            "Name an instance type of the region in sagemaker_job.instance_type, or another region.",
            NotProvided,
        )
    for one in answer["InstanceTypes"]:
        architectures |= {
            a for a in one["ProcessorInfo"]["SupportedArchitectures"] if a in ("x86_64", "arm64")
        }
    return good(
        f"{', '.join(needs.instance_types)}: {' and '.join(sorted(architectures))}, offered in {needs.job.region}"
    )


def _quota(needs: Needs) -> Finding:
    """The first type in the order of preference that the account may have enough of."""
    count = needs.job.instance_count
    spot = "spot " if needs.job.spot else ""
    wanted = {QUOTA.format(type=t, spot=spot): t for t in needs.instance_types}
    allowed = _quotas(needs, set(wanted))
    said = [f"{allowed[name]:g} of {name}" for name in wanted if name in allowed]
    if any(value >= count for value in allowed.values()):
        return good(f"the account may have {' and '.join(said)}")
    if not allowed:
        return failed(
            f"SageMaker has no {' or '.join(wanted)} in {needs.job.region}",
            "Name an instance type that training jobs may have there (ml. before its name), or another region.",
            NotProvided,
        )
    other = (
        "on demand (sagemaker_job.spot: false)"
        if needs.job.spot
        else "as a spot instance (sagemaker_job.spot: true)"
    )
    return failed(
        f"the account may have {' and '.join(said)}, and the job wants {count}",
        f"Have the quota raised in the Service Quotas console (Amazon SageMaker, {next(iter(wanted))}; it takes hours to days), or "
        f"rent {other}, which has a quota of its own.",
        NotProvided,
    )


def _warm(needs: Needs) -> Finding:
    """A quota of its own, which is 0 in an account that never asked for it; the service may choose any of the types."""
    count = needs.job.instance_count
    wanted = [WARM.format(type=kind) for kind in needs.instance_types]
    allowed = _quotas(needs, set(wanted))
    short = [f"{allowed.get(name, 0):g} of {name}" for name in wanted if allowed.get(name, 0) < count]
    if not short:
        return good(f"the account may keep {count} of {' and '.join(needs.instance_types)} warm")
    return failed(
        f"the account may have {' and '.join(short)}, and the job wants {count}",
        "Have the quota raised in the Service Quotas console (Amazon SageMaker; it takes hours to days), or set "
        "sagemaker_job.warm_pool_seconds: 0.",
        NotProvided,
    )


def _quotas(needs: Needs, names: set[str]) -> dict[str, float]:
    """Value by name: the account's own, and of what it has none, AWS's default."""
    quotas = needs.client("service-quotas")
    found: dict[str, float] = {}
    for ask in (quotas.list_service_quotas, quotas.list_aws_default_service_quotas):
        token: dict[str, str] = {}
        while names - found.keys():
            page = needs.ask(lambda: ask(ServiceCode="sagemaker", MaxResults=100, **token))  # noqa: B023 (called at once)
            for quota in page["Quotas"]:
                if quota["QuotaName"] in names:
                    found.setdefault(quota["QuotaName"], quota["Value"])
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
    return found


def _way(needs: Needs) -> Finding:
    """An endpoint for S3 in the route tables of the subnets, or a gateway to where S3 is."""
    ec2 = needs.client("ec2")
    subnets = list(needs.vpc.subnets)
    try:
        described = needs.ask(lambda: ec2.describe_subnets(SubnetIds=subnets))["Subnets"]
    except Exception as e:
        if not fault(e).code.startswith("InvalidSubnet"):
            raise
        return failed(
            f"a subnet is not there: {fault(e).message}",
            "Correct sagemaker_job.vpc.subnets: they are of one region.",
            NotProvided,
        )
    networks = sorted({s["VpcId"] for s in described})
    within = [{"Name": "vpc-id", "Values": networks}]
    tables = needs.ask(lambda: ec2.describe_route_tables(Filters=within))["RouteTables"]
    endpoints = [
        e
        for e in needs.ask(lambda: ec2.describe_vpc_endpoints(Filters=within))["VpcEndpoints"]
        if e["ServiceName"].endswith(".s3") and e.get("State", "available").lower() == "available"
    ]
    cut_off = [s["SubnetId"] for s in described if not _reaches(s, tables, endpoints)]
    if cut_off:
        return failed(
            f"{', '.join(cut_off)} has no way to S3: its route table has neither an endpoint for S3 nor a gateway",
            "Create a gateway endpoint, which costs nothing: aws ec2 create-vpc-endpoint --vpc-id "
            f"{networks[0]} --service-name com.amazonaws.{needs.job.region}.s3 --route-table-ids ...",
            NotProvided,
        )
    if not endpoints:
        return warning(
            "the subnets reach S3 through a gateway only",
            "An endpoint for S3 is free, and faster than a NAT gateway.",
        )
    return good(f"{', '.join(subnets)} {'reaches' if len(subnets) == 1 else 'reach'} S3")


def _reaches(subnet: dict[str, Any], tables: list[dict[str, Any]], endpoints: list[dict[str, Any]]) -> bool:
    own = [
        t for t in tables if any(a.get("SubnetId") == subnet["SubnetId"] for a in t.get("Associations", ()))
    ]
    main = [
        t
        for t in tables
        if t["VpcId"] == subnet["VpcId"] and any(a.get("Main") for a in t.get("Associations", ()))
    ]
    for table in own or main:
        if any(table["RouteTableId"] in e.get("RouteTableIds", ()) for e in endpoints):
            return True
        if any(_leads_out(route) for route in table.get("Routes", ())):
            return True
    # an interface endpoint serves every subnet of its network
    return any(e.get("VpcEndpointType") == "Interface" and e["VpcId"] == subnet["VpcId"] for e in endpoints)


def _leads_out(route: dict[str, Any]) -> bool:
    """Not by an internet gateway: the job's network interfaces have no public address, which that one wants."""
    gates = ("NatGatewayId", "TransitGatewayId", "InstanceId", "NetworkInterfaceId")
    gate = any(route.get(g) for g in gates) or str(route.get("GatewayId", "")).startswith("vgw-")
    return gate and route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State") != "blackhole"
