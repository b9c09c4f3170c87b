"""What an account is told of itself: quotas, the images of a registry, the price list. Shapes are those of botocore's models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from phases.rehearsal.json_service import JsonService, Refused
from phases.sagemaker_job.prices import LISTED

PAGE = 100
SERVICES = {"ListServiceQuotas": "servicequotas", "DescribeImages": "ecr", "GetProducts": "pricing"}
"""Operation -> the service that it is of, as its rights are named."""


@dataclass
class Account:
    """Service Quotas, ECR and the Pricing API in one, by their JSON operations.

    instances   how many instances of a type it may have, for training, on demand and spot alike
    missing     tags of images that are not there
    """

    instances: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LISTED, 4.0))
    missing: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.http = JsonService(
            {
                "ListServiceQuotas": self.quotas,
                "DescribeImages": self.images,
                "GetProducts": self.products,
            }
        )

    def quotas(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """ListServiceQuotas."""
        rows = [
            {
                "ServiceCode": "sagemaker",
                "QuotaCode": f"L-{number:08X}",
                "QuotaName": f"{kind} for {spot}training job usage",
                "Value": value,
                "Adjustable": True,
            }
            for number, (kind, spot, value) in enumerate(_each(self.instances))
        ]
        begin = int(request.get("NextToken") or 0)
        more = {"NextToken": str(begin + PAGE)} if begin + PAGE < len(rows) else {}
        return {"Quotas": rows[begin : begin + PAGE], **more}

    def images(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeImages."""
        tags = [one.get("imageTag", "") for one in request.get("imageIds", ())]
        if gone := sorted(self.missing & set(tags)):
            text = f"The image with imageId {{imageDigest:'null', imageTag:'{gone[0]}'}} does not exist within the repository"
            raise Refused("ImageNotFoundException", text)
        name = request["repositoryName"]
        return {"imageDetails": [{"repositoryName": name, "imageTags": [tag]} for tag in tags]}

    def products(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """GetProducts: the on-demand price of the instance that the filters name."""
        wanted = {f["Field"]: f["Value"] for f in request.get("Filters", ())}
        dollars = LISTED.get(wanted.get("instanceName", ""))
        if dollars is None:
            return {"FormatVersion": "aws_v1", "PriceList": []}
        price = {"unit": "Hrs", "pricePerUnit": {"USD": f"{dollars:.10f}"}}
        term = {"sku.1": {"priceDimensions": {"sku.1.1": price}}}
        return {"FormatVersion": "aws_v1", "PriceList": [json.dumps({"terms": {"OnDemand": term}})]}


def _each(instances: Mapping[str, float]) -> Iterable[tuple[str, str, float]]:
    for kind, value in sorted(instances.items()):
        yield kind, "", value
        yield kind, "spot ", value
