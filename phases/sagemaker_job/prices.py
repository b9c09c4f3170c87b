"""What an instance costs an hour: what the configuration says, what AWS's price list says, or what it said once.

The list is asked by the Pricing API (pricing:GetProducts), which has an endpoint in few regions; us-east-1 is one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from phases.sagemaker_job.config import SageMakerJobConfig

LISTED = {
    "ml.g4dn.xlarge": 0.7364,
    "ml.g4dn.2xlarge": 0.94,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g5.4xlarge": 2.03,
    "ml.g5.8xlarge": 3.06,
    "ml.g5.12xlarge": 7.09,
    "ml.g5.24xlarge": 10.18,
    "ml.g5.48xlarge": 20.36,
    "ml.p3.2xlarge": 3.825,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
}
"""Dollars an hour on demand in us-east-1, as the list stood in 2025: for an order of magnitude where it cannot be asked."""
HOUR = 3600.0


@dataclass(frozen=True)
class Price:
    """Dollars an hour of one instance, and who says so; None where nobody does. Spot costs less, and never more."""

    hour: float | None
    source: str


def price(config: SageMakerJobConfig, instance_type: str, pricing: Any = None) -> Price:
    """The price of an instance type. `pricing` is a client of the Pricing API, where it may be asked."""
    if config.price_per_hour is not None:
        return Price(config.price_per_hour, "sagemaker_job.price_per_hour")
    if pricing is not None and (asked := _asked(pricing, instance_type, config.region)) is not None:
        return Price(asked, "AWS's price list")
    if instance_type in LISTED:
        return Price(LISTED[instance_type], "the price list of us-east-1 as of 2025")
    return Price(None, "unknown; set sagemaker_job.price_per_hour")


@dataclass(frozen=True)
class Cost:
    """An instance type's dollars an hour for all its instances, and for as long as the job may take."""

    instance_type: str
    price: Price
    hour: float | None
    most: float | None


def costs(config: SageMakerJobConfig, pricing: Any = None) -> tuple[Cost, ...]:
    """What a job may cost, by the instance types that it may run on."""
    hours = config.max_runtime_seconds / HOUR
    found = []
    for kind in config.instance_types:
        said = price(config, kind, pricing)
        hour = said.hour * config.instance_count if said.hour is not None else None
        found.append(Cost(kind, said, hour, hour * hours if hour is not None else None))
    return tuple(found)


def bill(config: SageMakerJobConfig, pricing: Any = None) -> dict[str, Any]:
    """What a launch would rent, as JSON values: for a person who is to approve it. Dollars are None where nobody knows them."""
    if config.provider != "sagemaker":
        return {"provider": config.provider, "dollars at most": 0}
    found = costs(config, pricing)
    known = [cost.most for cost in found if cost.most is not None]
    return {
        "provider": config.provider,
        "region": config.region,
        "instances": [
            {
                "type": c.instance_type,
                "dollars an hour": c.hour,
                "dollars at most": c.most,
                "by": c.price.source,
            }
            for c in found
        ],
        "count": config.instance_count,
        "spot": config.spot,
        "hours at most": config.max_runtime_seconds / HOUR,
        "dollars at most": max(known) if len(known) == len(found) else None,
    }


def price_list() -> Any:
    """A client of the Pricing API; None where there are no credentials, or services at endpoints of their own."""
    import boto3

    session = boto3.Session()
    if session.get_credentials() is None or any(k.startswith("AWS_ENDPOINT_URL") for k in os.environ):
        return None
    from phases.services import client

    return client("pricing", region="us-east-1")


def _asked(pricing: Any, instance_type: str, region: str) -> float | None:
    """The on-demand price of training; None where the list does not say, or may not be asked."""
    from botocore.exceptions import BotoCoreError, ClientError

    wanted = {"instanceName": instance_type, "regionCode": region, "component": "Training"}
    filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in wanted.items()]
    try:
        found = pricing.get_products(ServiceCode="AmazonSageMaker", Filters=filters, MaxResults=10)[
            "PriceList"
        ]
    except (BotoCoreError, ClientError):
        return None
    dollars = [
        float(dimension["pricePerUnit"]["USD"])
        for text in found
        for term in json.loads(text).get("terms", {}).get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
    ]
    return max(dollars, default=None)
