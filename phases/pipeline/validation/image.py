"""The training image: whether its tag is in ECR, and whether it is made for the instance."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

from fsm.faults import fault
from phases.errors import ContainerError
from phases.pipeline.validation.finding import Finding, asked_if_allowed, failed, good, unknown
from phases.pipeline.validation.needs import Needs
from phases.sagemaker_job.image import Image

LISTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
OF_EC2 = {"amd64": "x86_64", "arm64": "arm64"}
"""What an image calls an architecture -> what EC2 does."""
MOST_BYTES = 1 << 20  # of an image's configuration


def image(needs: Needs, wanted: frozenset[str]) -> Iterator[Finding]:
    """The image of the jobs. `wanted` are the architectures of the instance types, as EC2 says them."""
    address = needs.job.image.format(region=needs.job.region)
    found = Image.read(address)
    if found is None:
        yield unknown(
            f"{address} is not in ECR, and is not asked for", "See that the job's role and network reach it."
        )
        return
    if found.region != needs.job.region:
        yield failed(
            f"the image is in {found.region}, and jobs run in {needs.job.region}: SageMaker pulls from its own region",
            "Write {region} in sagemaker_job.image where the region stands.",
            ContainerError,
        )
        return
    yield asked_if_allowed(
        f"whether {address} is there",
        lambda: _in_ecr(needs, found, address, wanted),
        "A tag that is not there fails the job when it starts, within some minutes.",
    )


def _in_ecr(needs: Needs, found: Image, address: str, wanted: frozenset[str]) -> Finding:
    ecr = needs.client("ecr", region=found.region)
    where = {"registryId": found.registry, "repositoryName": found.repository}
    missing = failed(
        f"{address} is not in ECR",
        "Correct sagemaker_job.image: the tags there are listed by `aws ecr list-images --registry-id "
        f"{found.registry} --repository-name {found.repository} --region {found.region}`.",
        ContainerError,
    )
    try:
        answer = needs.ask(
            lambda: ecr.batch_get_image(**where, imageIds=[found.id], acceptedMediaTypes=[*MANIFESTS, *LISTS])
        )
    except Exception as e:
        if fault(e).code == "RepositoryNotFoundException":
            return missing
        raise
    if not answer.get("images"):
        return missing
    made_for = _architectures(needs, ecr, where, json.loads(answer["images"][0]["imageManifest"]))
    if wanted and made_for and not wanted <= made_for:
        return failed(
            f"{address} is made for {_listed(made_for)}, and the instance is {_listed(wanted)}",
            "Name an image, or an instance type, of the same architecture.",
            ContainerError,
        )
    return good(f"{address} is there, for {_listed(made_for) or 'an architecture that it does not say'}")


def _architectures(needs: Needs, ecr: Any, where: dict[str, str], manifest: dict[str, Any]) -> frozenset[str]:
    """What a manifest's images are made for: a list says it, of a single one its configuration does."""
    if "manifests" in manifest:
        said = [m.get("platform", {}).get("architecture", "") for m in manifest["manifests"]]
    elif "config" in manifest:
        layer = needs.ask(
            lambda: ecr.get_download_url_for_layer(**where, layerDigest=manifest["config"]["digest"])
        )
        with urllib.request.urlopen(layer["downloadUrl"], timeout=30) as response:
            said = [json.loads(response.read(MOST_BYTES)).get("architecture", "")]
    else:
        said = []
    return frozenset(OF_EC2[name] for name in said if name in OF_EC2)


def _listed(architectures: frozenset[str]) -> str:
    return " and ".join(sorted(architectures))
