"""`python -m tests.versions.pins`: phases/sagemaker_job/pins.json anew, of what constraints.txt names.

pip says which wheels it would take, for each Python and processor that a job may have, and what these require. Needs an index
that can be asked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from phases.sagemaker_job import source, versions
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.install import FILE

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
PROCESSORS = ("x86_64", "aarch64")
GLIBC = (5, 12, 17, 24, 26, 27, 28, 31, 34)
ROOTS = (*source.LACKING, *source.TESTED_WITH, *source.PINNED_WHERE_WANTED)
THE_IMAGES = {*map(canonicalize_name, versions.of_image(SageMakerJobConfig().image)), *source.IN_THE_IMAGE}
"""What a job never installs: its image has it."""
_EXTRA = re.compile(r"extra\s*==")


def found(python: str, processor: str) -> list[dict[str, Any]]:
    """What pip would install on a machine: its report's packages."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "report.json")
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--dry-run",
            "--ignore-installed",
        ]
        command += [
            "--only-binary",
            ":all:",
            "--target",
            place,
            "--python-version",
            python,
            "--report",
            str(report),
        ]
        for minor in GLIBC:
            command += ["--platform", f"manylinux_2_{minor}_{processor}"]
        command += ["--platform", f"manylinux2014_{processor}", "-c", str(ROOT / "constraints.txt"), *ROOTS]
        subprocess.run(command, check=True)
        packages: list[dict[str, Any]] = json.loads(report.read_text("utf-8"))["install"]
        return packages


def pinned() -> dict[str, dict[str, Any]]:
    """Name -> version, requirements, hashes of the wheels; those of the image's own packages left out."""
    pins: dict[str, dict[str, Any]] = {}
    for python in PYTHONS:
        for processor in PROCESSORS:
            for package in found(python, processor):
                said = package["metadata"]
                name = canonicalize_name(said["name"])
                if name in THE_IMAGES:
                    continue
                needs = sorted(one for one in said.get("requires_dist", ()) if not _EXTRA.search(one))
                pin = pins.setdefault(name, {"version": said["version"], "needs": needs, "hashes": []})
                digest = f"sha256:{package['download_info']['archive_info']['hashes']['sha256']}"
                pin["hashes"] = sorted({*pin["hashes"], digest})
    return dict(sorted(pins.items()))


if __name__ == "__main__":
    FILE.write_text(json.dumps(pinned(), indent=1) + "\n", "utf-8")
