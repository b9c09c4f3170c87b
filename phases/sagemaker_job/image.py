"""The training image by its address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_ADDRESS = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<repository>[^:@]+)"
    r"(?::(?P<tag>[^@]+)|@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Image:
    """An image in ECR by its address."""

    registry: str
    region: str
    repository: str
    tag: str = "latest"
    digest: str = ""

    @classmethod
    def read(cls, address: str) -> Self | None:
        """None for an image that is elsewhere."""
        found = _ADDRESS.fullmatch(address)
        if found is None:
            return None
        return cls(
            found["registry"],
            found["region"],
            found["repository"],
            found["tag"] or "latest",
            found["digest"] or "",
        )

    @property
    def id(self) -> dict[str, str]:
        return {"imageDigest": self.digest} if self.digest else {"imageTag": self.tag}
