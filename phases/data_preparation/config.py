"""The configuration of data preparation; defaults are what Diagram 2 and Diagram 7 draw."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from fsm.faults import PATIENCE

DOMAINS = ("TSN", "AVB", "CARLA")
"""The three sources in the order of Diagram 2, by the name that prompts use."""


class Folders(BaseModel):
    """Where each source lies below the root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tsn: str = "tsn_data"
    avb: str = "avb_data"
    carla: str = "carla"

    def of(self, domain: str) -> str:
        """The folder of a domain (one of DOMAINS)."""
        return {"TSN": self.tsn, "AVB": self.avb, "CARLA": self.carla}[domain]


class DataPreparationConfig(BaseModel):
    """The section `data_preparation`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = "s3://granite-8b-unified-automotive-data"
    """A directory, or s3://bucket/prefix."""
    endpoint_url: str | None = None
    """Another S3 than AWS's, such as MinIO."""
    region: str | None = None
    patience_seconds: float = Field(default=PATIENCE, gt=0, le=7 * 24 * 3600)
    """Seconds without any answer of a bucket, before the run stops, resumable."""
    folders: Folders = Folders()
    suffixes: tuple[str, ...] = (".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh")
    max_file_bytes: int = Field(default=1_000_000, ge=1, le=2**31)
    """A longer file is generated or data, not somebody's code; it is skipped and said so."""
    min_completion_chars: int = Field(default=200, ge=0, le=10**9)
    """A file without functions must be longer than this to become a completion example."""
    shuffle_seed: int = Field(default=42, ge=0, lt=2**64)
    train_percent: int = Field(default=90, ge=1, le=99)
