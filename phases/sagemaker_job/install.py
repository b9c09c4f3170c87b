"""Installs what an image lacks: each package in the one version of pins.json, by its hashes; what the image has stays.

    python install.py REQUIREMENTS     in the container, before anything of the project can be imported
    python install.py --pins           print all that is pinned, to fetch a directory of wheels by (docs/aws.md)

so it stands on pip and on `packaging` alone. pip itself would take the newest version, or, told which, put it in place of one
that does. A requirement that is not pinned here, the user's own, goes to pip as it stands, after the others. Where pip is told
by PIP_NO_INDEX and PIP_FIND_LINKS, no index is asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

FILE = Path(__file__).with_name("pins.json")
_QUIET = ("--quiet", "--disable-pip-version-check", "--root-user-action", "ignore")
_PINNED = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
"""What is missing is worked out here, dependencies and all; pip fetches it and holds it against its hash."""
Pins = Mapping[str, Mapping[str, Any]]
"""Canonical name -> {version, needs: requirements of its own, hashes: of its wheels}."""


class Lacking(Exception):
    """The image lacks what a pinned package wants, and it is none that a job installs."""


def pins() -> Pins:
    """Those of pins.json."""
    read: Pins = json.loads(FILE.read_text("utf-8"))
    return read


def missing(wanted: Iterable[Requirement], there: Mapping[str, str], pinned: Pins) -> list[str]:
    """The names to install, sorted: what is wanted and not `there` (name -> version), and what that wants in its turn.

    Raises Lacking.
    """
    needs = [(one, "the project") for one in wanted]
    chosen: set[str] = set()
    for one, _ in needs:  # which grows meanwhile
        name = canonicalize_name(one.name)
        if name in chosen or name not in pinned or _will_do(there.get(name), one):
            continue
        chosen.add(name)
        own = map(Requirement, pinned[name]["needs"])
        needs += [(o, name) for o in own if o.marker is None or o.marker.evaluate({"extra": ""})]
    for one, by in needs:
        name = canonicalize_name(one.name)
        has = pinned[name]["version"] if name in chosen else there.get(name)
        if not _will_do(has, one):
            raise Lacking(
                f"The image has {f'{name} {has}' if has else f'no {name}'}, and {by} needs {one}, which is none that a job installs. Take an "
                "image that has it (docs/versions.md), or name it in sagemaker_job.requirements."
            )
    return sorted(chosen)


def _will_do(version: str | None, wanted: Requirement) -> bool:
    return version is not None and wanted.specifier.contains(version, prereleases=True)


def lines(names: Iterable[str], pinned: Pins) -> Iterator[str]:
    """The pinned packages as pip takes them, with their hashes."""
    for name in names:
        hashes = " ".join(f"--hash={one}" for one in pinned[name]["hashes"])
        yield f"{name}=={pinned[name]['version']} {hashes}"


def divided(requirements: Iterable[str], pinned: Pins) -> tuple[list[Requirement], list[str]]:
    """(those that the pins have a fitting version for, the lines of all others as they stand)."""
    own: list[Requirement] = []
    others: list[str] = []
    for line in requirements:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            one = Requirement(line)
        except InvalidRequirement:  # an option of pip's, an address, a hash
            others.append(line)
            continue
        pin = pinned.get(canonicalize_name(one.name))
        fits = pin is not None and not one.extras and one.specifier.contains(pin["version"], prereleases=True)
        (own if fits else others).append(one if fits else line)  # type: ignore[arg-type]
    return own, others


def install(requirements: Iterable[str]) -> int:
    """Install what is not there; pip's exit code, or 0."""
    pinned = pins()
    own, others = divided(requirements, pinned)
    there = {str(canonicalize_name(one.name)): one.version for one in distributions()}
    if names := missing(own, there, pinned):
        code = _pip(_PINNED, lines(names, pinned))
        if code != 0:
            return code
    return _pip((), others) if others else 0


def _pip(options: Iterable[str], requirements: Iterable[str]) -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join([*requirements, ""]))
        file.flush()
        command = [sys.executable, "-m", "pip", "install", *_QUIET, *options, "-r", file.name]
        return subprocess.run(command, check=False).returncode


def main(arguments: list[str]) -> int:
    """Of the command line."""
    (file,) = arguments
    if file == "--pins":
        pinned = pins()
        print(*lines(pinned, pinned), sep="\n")
        return 0
    try:
        return install(Path(file).read_text("utf-8").splitlines())
    except Lacking as e:
        print(e, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
