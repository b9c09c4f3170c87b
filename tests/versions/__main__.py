"""`python -m tests.versions`: the tests of training and distillation under the training image's versions.

A virtual environment gets the image's libraries (phases/sagemaker_job/versions.yaml, and by container.txt what these bring
along), then the requirements.txt of a job's archive, as the
container's start.sh installs it; the tests run from the unpacked archive. Where pip cannot install the image's libraries (no
network, or a Python they know nothing of) this is said, and passed over; all that goes wrong after that is a failure.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from phases.sagemaker_job import source, versions
from phases.sagemaker_job.config import SageMakerJobConfig
from phases.sagemaker_job.job import Code

ROOT = Path(__file__).parents[2]
HOME = ROOT / "build" / "versions"
CONFIG = SageMakerJobConfig()
CONTAINER = Path(__file__).with_name("container.txt")
_STUDENT, _TRAINING, _DISTILLATION = (
    f"tests/phases/{name}" for name in ("student", "qlora_training", "distillation")
)
_RESUME = f"{_TRAINING}/test_resume.py"
TESTS = (
    *(f"{_TRAINING}/test_{name}.py" for name in ("bad_input", "data", "templates", "traps")),
    f"{_RESUME}::test_resumed_weights_equal_those_of_an_uninterrupted_training[nf4-kill-step-5]",
    f"{_RESUME}::test_resumed_again_and_again",
    f"{_RESUME}::test_another_processor_and_other_libraries_are_said",
    f"{_DISTILLATION}/test_loop.py::test_two_epochs_leave_what_they_came_to",
    f"{_DISTILLATION}/test_loop.py::test_out_of_memory_halves_the_micro_batch_and_goes_on",
    f"{_DISTILLATION}/test_merge.py",
    *(f"{_STUDENT}/test_{name}.py" for name in ("adapters", "generate", "tiny")),
    "tests/benchmarks/test_qlora_8b.py",
)
"""Whatever calls the libraries, once: enough to see that they fit. All of it is `python -m tests.versions tests/phases`."""
IMAGE = versions.of_image(CONFIG.image)
APART = ("python", "torch", "flash-attn")  # torch brings gigabytes of CUDA, flash-attn wants them to be built
PAGE = ROOT / "docs" / "versions.md"
BEGIN, END = "<!-- versions -->\n", "<!-- end of versions -->"


def main(arguments: Sequence[str]) -> int:
    """Install, and run the tests; the exit code is theirs."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions", description=__doc__)
    parser.add_argument(
        "--image", action="store_true", help=f"the image's torch {IMAGE['torch']} too: gigabytes"
    )
    parser.add_argument(
        "--python", default=sys.executable, help="whose virtual environment (the image's is 3.12)"
    )
    parser.add_argument("--page", action="store_true", help="only write the table of docs/versions.md anew")
    parser.add_argument("tests", nargs="*", default=TESTS, help="for pytest")
    words = parser.parse_args(arguments)
    if words.page:
        PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
        return 0
    torch = IMAGE["torch"] if words.image else pinned("torch")
    home = HOME / f"torch-{torch}"
    python = home / "bin" / "python"
    print(f"tests.versions: the image's libraries with torch {torch}, in {home}", flush=True)
    make(words.python, home)
    if pip(python, "--only-binary", ":all:", f"torch=={torch}", *libraries(), "-r", str(CONTAINER)) != 0:
        print(
            "tests.versions: PASSED OVER: the image's libraries cannot be installed here (pip says why above)."
        )
        return 0
    code = unpacked(HOME / "code")
    before = installed(python)
    installer = [str(python), "phases/sagemaker_job/install.py", "requirements.txt"]
    if (found := subprocess.run(installer, cwd=code, check=False).returncode) != 0:
        return found
    after = installed(python)
    if touched := [n for n in source.IN_THE_IMAGE if before.get(n) != after.get(n)]:
        print(f"tests.versions: the job's requirements.txt changes what the image has: {', '.join(touched)}")
        return 1
    print("tests.versions: " + ", ".join(f"{n} {after[n]}" for n in source.IN_THE_IMAGE), flush=True)
    command = [str(python), "-m", "pytest", "-n", "2", "--dist", "loadfile", *words.tests]
    return subprocess.run(
        command, cwd=code, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
    ).returncode


def libraries() -> list[str]:
    """The image's libraries, for pip."""
    return [f"{name}=={version}" for name, version in IMAGE.items() if name not in APART]


def page(text: str) -> str:
    """docs/versions.md with its table as it is now: what is pinned here, what the image has, and what is needed."""
    rows = ["| | pinned here | the image | needed |", "|---|---|---|---|"]
    for name, version in IMAGE.items():
        here = "3.11 or newer" if name == "python" else pinned(name, "not installed")
        rows.append(f"| {name} | {here} | {version} | {versions.needs().get(name, '')} |")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{chr(10).join(rows)}\n{END}{rest.partition(END)[2]}"


def make(python: str, home: Path) -> None:
    """A virtual environment, if it is not there."""
    if not (home / "bin" / "python").exists():
        subprocess.run([python, "-m", "venv", str(home)], check=True)


def pip(python: Path, *what: str) -> int:
    """Install; the exit code."""
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        *what,
    ]
    return subprocess.run(command, check=False).returncode


def installed(python: Path) -> dict[str, str]:
    """Name -> version of what an environment has."""
    probe = "from importlib.metadata import distributions as d; print(*(f'{x.name} {x.version}' for x in d()), sep='\\n')"
    said = subprocess.run([str(python), "-c", probe], capture_output=True, text=True, check=True).stdout
    return {re.sub("[-_.]+", "-", name).lower(): v for name, v in map(str.split, said.splitlines())}


def pinned(name: str, otherwise: str | None = None) -> str:
    """The version that constraints.txt names; `otherwise` where it names none."""
    found = re.search(rf"^{re.escape(name)}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    if found is None and otherwise is not None:
        return otherwise
    assert found is not None, name
    return found[1]


def unpacked(where: Path) -> Path:
    """The archive of a smoke job, which brings the tests along, where the toolkit would unpack it."""
    shutil.rmtree(where, ignore_errors=True)
    with tarfile.open(
        fileobj=io.BytesIO(source.pack(Code(tests=True, requirements=source.TESTED_WITH)).content),
        mode="r:gz",
    ) as tar:
        tar.extractall(where, filter="data")
    return where


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
