"""What pyproject.toml declares that the drawn pipeline needs: the base, and what the extra `distill` brings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
BASE = [Requirement(line) for line in PROJECT["dependencies"]]


def of_extra(name: str) -> Iterator[Requirement]:
    """What an extra brings, by way of others too; a requirement that two of them have comes twice."""
    for line in PROJECT["optional-dependencies"][name]:
        one = Requirement(line)
        if one.name == PROJECT["name"]:
            for other in sorted(one.extras):
                yield from of_extra(other)
        else:
            yield one


NEEDED = [*BASE, *of_extra("distill")]
