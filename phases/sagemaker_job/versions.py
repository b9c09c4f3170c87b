"""The versions that a job finds in its image, and those that it needs: versions.yaml, read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from packaging.specifiers import SpecifierSet

FILE = Path(__file__).with_name("versions.yaml")
_TAG = re.compile(
    r"(?P<torch>\d+\.\d+\.\d+)-transformers(?P<transformers>\d+\.\d+\.\d+)-(?:gpu|cpu)-py(?P<python>\d{2,3})\b"
)
"""What the tag of a Hugging Face training image says itself."""


@cache
def _read() -> Mapping[str, Any]:
    said: Mapping[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return said


def images() -> Mapping[str, Mapping[str, str]]:
    """Tag -> library -> version, of the images that are known."""
    return _read()["images"]  # type: ignore[no-any-return]


def needs() -> Mapping[str, str]:
    """Library -> version specifier."""
    return _read()["needs"]  # type: ignore[no-any-return]


def of_image(address: str) -> Mapping[str, str]:
    """What is known of an image by its address: Python and libraries with their versions; empty where nothing is."""
    tag = address.rpartition(":")[2]
    if tag in images():
        return images()[tag]
    found = _TAG.match(tag)
    if found is None:
        return {}
    python = found["python"]
    return {
        "python": f"{python[0]}.{python[1:]}",
        "torch": found["torch"],
        "transformers": found["transformers"],
    }


def unmet(there: Mapping[str, str]) -> list[str]:
    """Which of the needs an image does not meet, as `torch 2.5.1, and >=2.6 is needed`. What is not known is not told."""
    return [
        f"{name} {there[name]}, and {wanted} is needed"
        for name, wanted in needs().items()
        if name in there and there[name] not in SpecifierSet(wanted)
    ]
