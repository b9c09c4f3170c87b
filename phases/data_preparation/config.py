"""The configuration of data preparation; defaults are what Diagram 2 and Diagram 7 draw."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fsm.faults import PATIENCE
from phases.data_preparation.licences import Licences

DOMAINS = ("TSN", "AVB", "CARLA")
"""The three sources in the order of Diagram 2, by the name that prompts use."""

NearDedup = Literal["keep-one", "split-by-cluster", "off"]


class Folders(BaseModel):
    """Where each source lies below the root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tsn: str = "tsn_data"
    avb: str = "avb_data"
    carla: str = "carla"

    def of(self, domain: str) -> str:
        """The folder of a domain (one of DOMAINS)."""
        return {"TSN": self.tsn, "AVB": self.avb, "CARLA": self.carla}[domain].rstrip("/")


class DataPreparationConfig(BaseModel):
    """The section `data_preparation`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = "s3://granite-8b-unified-automotive-data"
    """A directory, of a git checkout the tracked files, a .tar.gz or .zip, or s3://bucket/prefix."""
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
    max_example_tokens: int | None = Field(default=None, ge=16, le=10**9)
    """A completion longer than this, prompt and answer together, is left out. Counted with `tokenizer`."""
    tokenizer: str | None = None
    """The student's own: a directory or file with its tokenizer.json, or a model's id on the Hub."""
    licences: Licences = Licences()
    """Which licences may be trained on: SPDX ids, `GPL-*` for all that begin so, NOASSERTION for none known."""
    redact: bool | Literal["on", "off"] = True
    """Replace e-mail addresses, names of authors, keys and tokens in comments and strings; `off` keeps them."""
    shuffle_seed: int = Field(default=42, ge=0, lt=2**64)
    train_percent: int = Field(default=90, ge=1, le=99)
    near_dedup: NearDedup = "keep-one"
    """Of rows that are near-duplicates one stays, or all do on one side of the split; `off` knows exact ones alone, as drawn."""
    decontaminate: tuple[str, ...] = ()
    """Files whose texts nothing is trained on: JSON lines of rows, or one text each. The file of the frozen prompts, where
    `distillation.held_out_file` names one, is held out besides."""
    max_prompts: int | None = Field(default=None, ge=1, le=10**9)
    """At most so many rows for training, each of which a teacher may be asked: of each domain and quarter by length its share."""
    workers: int = Field(default=0, ge=0, le=1024)
    """Processes that read the sources; 0 for one a core, as far as there is work for them."""
    engine: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    """A Ray cluster, `ray://host:10001`; none for one on this machine alone, of `workers`."""
    output: str | None = None
    """A directory or s3://bucket/prefix that gets the splits, the report and a dataset card besides."""

    @model_validator(mode="after")
    def _tokens_can_be_counted(self) -> Self:
        if self.max_example_tokens is not None and self.tokenizer is None:
            raise ValueError(
                "max_example_tokens is counted with tokenizer, and none is named: name the student's own"
            )
        return self
