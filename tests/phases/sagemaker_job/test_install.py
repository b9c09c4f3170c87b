"""What a container installs: what its image lacks and nothing else, in pinned versions, held against their hashes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from phases.sagemaker_job import install, source, versions
from phases.sagemaker_job.config import SageMakerJobConfig
from tests import declared

ROOT = Path(__file__).parents[3]
PINS = install.pins()
IMAGE = {str(canonicalize_name(n)): v for n, v in versions.of_image(SageMakerJobConfig().image).items()}
IMAGE |= {"packaging": "25.0"}  # of transformers


def pin(version: str, *needs: str) -> dict[str, Any]:
    return {"version": version, "needs": list(needs), "hashes": ["sha256:0"]}


def missing(wanted: str, there: dict[str, str], **pins: dict[str, Any]) -> list[str]:
    return install.missing(map(Requirement, wanted.split()), there, pins)


def test_what_the_image_has_and_will_do_stays() -> None:
    pins = {"pot": pin("3.0", "lid>=2"), "lid": pin("2.5")}
    assert missing("pot>=1", {"pot": "1.1"}, **pins) == []
    assert missing("pot>=2", {"pot": "1.1"}, **pins) == ["lid", "pot"]
    assert missing("pot>=2", {"pot": "1.1", "lid": "2.0"}, **pins) == ["pot"]
    assert missing("pot>=2", {"lid": "1.9"}, **pins) == ["lid", "pot"]


def test_what_is_neither_there_nor_pinned_is_said() -> None:
    with pytest.raises(install.Lacking, match=r"The image has stove 1, and pot needs stove>=2"):
        missing("pot", {"stove": "1"}, pot=pin("3.0", "stove>=2"))


NAMES = ("a", "b", "c", "d")
VERSIONS = st.integers(1, 4).map(str)
NEEDS = st.lists(st.builds("{}>={}".format, st.sampled_from(NAMES), st.integers(1, 4)), max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries({n: st.builds(lambda v, needs: pin(v, *needs), VERSIONS, NEEDS) for n in NAMES}),
    st.dictionaries(st.sampled_from(NAMES), VERSIONS),
    NEEDS,
)
def test_afterwards_every_need_is_met_and_nothing_was_taken_away_that_met_all(
    pins: dict[str, Any], there: dict[str, str], wanted: list[str]
) -> None:
    try:
        chosen = install.missing(map(Requirement, wanted), there, pins)
    except install.Lacking:
        return
    has = there | {name: pins[name]["version"] for name in chosen}
    asked = [
        Requirement(one) for one in (*wanted, *(need for name in chosen for need in pins[name]["needs"]))
    ]
    assert all(one.name in has and Version(has[one.name]) in one.specifier for one in asked)
    for name in set(chosen) & there.keys():
        assert any(one.name == name and Version(there[name]) not in one.specifier for one in asked)


def test_the_pins_are_the_versions_that_are_tested_and_enough_for_the_default_image() -> None:
    said = re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    tested = {str(canonicalize_name(name)): version for name, version in said}
    assert {name: one["version"] for name, one in PINS.items()} == {name: tested[name] for name in PINS}, (
        "python -m tests.versions.pins"
    )
    needed = [one for one in declared.NEEDED if canonicalize_name(one.name) in source.LACKING]
    more = map(Requirement, (*source.TESTED_WITH, *source.PINNED_WHERE_WANTED))
    chosen = install.missing([*needed, *more], IMAGE, PINS)
    assert set(source.LACKING) <= set(chosen)
    assert not set(chosen) & IMAGE.keys(), "of the image's own nothing"
    for line in install.lines(chosen, PINS):
        assert re.fullmatch(r"\S+==\S+( --hash=sha256:[0-9a-f]{64})+", line)


def test_lines_that_are_the_users_own_go_to_pip_as_they_stand() -> None:
    own = [
        "# mine",
        "rich",
        "rich[jupyter]",
        "rich==1.0",
        "polars==1.0 --hash=sha256:00",
        "--extra-index-url x",
    ]
    pinned, others = install.divided(own, PINS)
    assert [str(one) for one in pinned] == ["rich"]
    assert others == own[2:]


# pip itself, from a directory of wheels


def wheel(directory: Path, content: bytes) -> str:
    """beans 1.0 as a wheel; its digest."""
    made = directory / "beans-1.0-py3-none-any.whl"
    files = {
        "beans.py": content,
        "beans-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: beans\nVersion: 1.0\n",
        "beans-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    files["beans-1.0.dist-info/RECORD"] = "\n".join([*rows, "beans-1.0.dist-info/RECORD,,", ""]).encode()
    with zipfile.ZipFile(made, "w") as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return hashlib.sha256(made.read_bytes()).hexdigest()


def test_pip_takes_the_pinned_wheel_from_the_directory_and_none_whose_hash_is_another(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    digest = wheel(wheels, b"GRAMS = 2\n")
    script = tmp_path / "install.py"
    shutil.copy(install.__file__, script)
    pinned = {"version": "1.0", "needs": [], "hashes": [f"sha256:{digest}"]}
    script.with_name("pins.json").write_text(json.dumps({"beans": pinned}))
    (tmp_path / "requirements.txt").write_text("beans\n")

    def installed(target: Path) -> subprocess.CompletedProcess[str]:
        of_pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_TARGET": str(target)}
        command = [sys.executable, str(script), str(tmp_path / "requirements.txt")]
        return subprocess.run(command, env=os.environ | of_pip, capture_output=True, text=True, check=False)

    done = installed(tmp_path / "first")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "first" / "beans.py").read_text() == "GRAMS = 2\n"
    wheel(wheels, b"GRAMS = 3\n")
    done = installed(tmp_path / "second")
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "second" / "beans.py").exists()
