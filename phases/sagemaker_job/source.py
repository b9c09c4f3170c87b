"""The code of a job: an archive that the container unpacks into /opt/ml/code, prepares and starts.

It is a channel of the job's, so that it comes where the job's network is closed too. Its `start.sh` has install.py see to its
requirements.txt, and becomes START. In it are the engine, the packages that the configuration plugs in and those
its NAMES name, their drawings, `configs/`, and for the smoke job the test suite.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fsm.config import Plug, read_values
from fsm.engine import Machine, Registry, closure
from phases.sagemaker_job.job import OWN, Code, JobRefused

PROJECT = "fsm-pipelines"
START = "start_job.py"
STARTER = b'''"""Starts the job: below the code's own root, so that `fsm`, `machines` and `phases` are found."""

import sys

from phases.sagemaker_job.container import main

sys.exit(main())
'''
SHELL = "start.sh"
PREPARER = rb"""#!/bin/bash
# Installs what the image lacks, and becomes Python: the service's SIGTERM reaches the run.
set -u
ml="${FSM_OPT_ML:-/opt/ml}"
cd "$ml/code"
mkdir -p "$ml/output"
[ -d "$ml/input/data/wheels" ] && export PIP_NO_INDEX=1 PIP_FIND_LINKS="$ml/input/data/wheels"
if ! said=$(python phases/sagemaker_job/install.py requirements.txt 2>&1); then
  printf '%s\n' "$said" >&2
  printf 'What the image lacks could not be installed: %s' "$(printf '%s' "$said" | tail -c 800)" > "$ml/output/failure"
  exit 1
fi
exec python start_job.py
"""
LACKING = (
    "google-re2",
    "matplotlib",
    "pydantic",
    "pydantic-core",
    "pyyaml",
    "rensa",
    "rich",
    "structlog",
    "transitions",
    "tree-sitter",
    "tree-sitter-c",
    "tree-sitter-cpp",
    "zstandard",
)
"""What the project needs and the image lacks, or may lack. torch, transformers and numpy stay as the image has them:
`python -m tests.versions` holds it to that."""
TESTED_WITH = ("hypothesis", "pytest", "pytest-xdist")
"""What the smoke job's suite is run by."""
PINNED_WHERE_WANTED = ("openai", "tensorboardx")
"""What a configuration may want besides: a teacher behind OpenAI's protocol, and curves for TensorBoard."""
LOOKING_ON = ("argcomplete", "mermaidx", "starlette", "uvicorn", "watchfiles")
"""What draws, shows and completes for whoever looks on; a job does none of it."""
WHERE_WANTED = (
    *PINNED_WHERE_WANTED,
    *("mlflow", "tensorboard", "trackio", "wandb"),
    *("ray", "trustme", "wasmtime", "ziglang"),
    *("opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"),
)
"""What an extra brings for those who want it: a teacher behind OpenAI's protocol, preparation past one machine, a rehearsal by https,
what code does, who is told of the epochs and of the run. A job whose configuration wants one names it in its requirements."""
IN_THE_IMAGE = (
    *(
        "accelerate",
        "bitsandbytes",
        "boto3",
        "botocore",
        "datasets",
        "huggingface-hub",
        "jinja2",
        "numpy",
        "packaging",
        "peft",
    ),
    *("safetensors", "tokenizers", "torch", "transformers", "trl"),
)

BESIDE = ("diagrams/*.mmd", "configs/**/*")
"""What lies beside the project's packages and belongs to them."""
TESTING = (
    "tests/**/*",
    "benchmarks/**/*.py",
    "examples/**/*",
    "docs/*",
    "mkdocs.yml",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "README.md",
    "pyproject.toml",
    "constraints.txt",
)
"""What the smoke job needs besides: the suite, and what its tests read."""


@dataclass(frozen=True)
class Archive:
    """A .tar.gz. `digest` is that of the files and their names, whatever compressed them."""

    content: bytes = field(repr=False)
    digest: str


def code(config_text: str, machine: str, packages: Iterable[str], requirements: Iterable[str]) -> Code:
    """The code of a job that runs `machine` by a configuration.

    The project's own, what the configuration plugs in, the modules that those packages' NAMES name, and `packages`.
    """
    said = read_values(config_text, "the configuration")
    plug = Plug.model_validate(said.get("plug") or {})
    if plug.drawing or plug.handlers:
        raise JobRefused(
            "A job gets packages, and this configuration plugs in files beside it (`plug.drawing`, `plug.handlers`). Make a package of "
            "them, with a NAMES mapping each for machines and phases, and name those."
        )
    modules = [*OWN, *packages, plug.machines, plug.phases]
    for package in (plug.machines, plug.phases):
        modules += [where.partition(":")[0] for where in importlib.import_module(package).NAMES.values()]
    registry = Registry(plug.machines, Machine)
    taking_part = closure(machine, said.get("recovery"), registry)
    if outside := sorted(filter(registry.is_brought, taking_part)):
        raise JobRefused(
            f"A job gets the packages that are plugged in, and {', '.join(outside)} comes by an entry point. Name the package that has it "
            "in `plug`, with a NAMES mapping each for machines and phases."
        )
    return Code(
        tuple(sorted({name.partition(".")[0] for name in modules})),
        tuple(sorted({Path(m.chart.file) for m in taking_part.values()})),
        (*_wanted(said), *requirements),
        tests=machine == "smoke",
    )


def _wanted(said: Mapping[str, Any]) -> list[str]:
    """What the configuration has use for besides: the package of its teacher, and of TensorBoard's curves."""
    teacher = (said.get("teacher_generation") or {}).get("teacher") or {}
    job = said.get("sagemaker_job") or {}
    kind = teacher.get("kind") if isinstance(teacher, Mapping) else None
    wanted = {str(kind): kind in PINNED_WHERE_WANTED, "tensorboardx": bool(job.get("tensorboard"))}
    return [name for name, so in wanted.items() if so]


def pack(code: Code) -> Archive:
    """The archive: the same bytes for the same files. Raises JobRefused for what cannot be found."""
    packed = files(code)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in sorted(packed.items()):
            data = content.read_bytes() if isinstance(content, Path) else content
            member = tarfile.TarInfo(name)  # of nobody, and of no time
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    plain = buffer.getvalue()
    return Archive(gzip.compress(plain, mtime=0), hashlib.sha256(plain).hexdigest())


def files(code: Code) -> dict[str, Path | bytes]:
    """What is in the archive, by name. Raises JobRefused for a package or a drawing that cannot be packed."""
    packed: dict[str, Path | bytes] = {
        START: STARTER,
        SHELL: PREPARER,
        "requirements.txt": requirements(code).encode(),
    }
    roots = []
    for name in code.names:
        found, root = _module(name)
        packed |= found
        roots.append(root)
    beside = Path(__file__).parents[2]
    for pattern in (*BESIDE, *(TESTING if code.tests else ())):
        packed |= {str(p.relative_to(beside)): p for p in _plain(beside.glob(pattern), beside)}
    if code.tests:
        if "pyproject.toml" not in packed:
            raise JobRefused(
                f"The smoke job runs the test suite, and there is none beside {beside}: launch it from a checkout of the "
                "project."
            )
        packed |= _commands()
    for drawing in code.drawings:
        path = drawing.absolute()
        if path not in packed.values():
            packed[_place(path, [*roots, Path.cwd()])] = path
    return packed


def requirements(code: Code) -> str:
    """The archive's requirements.txt: what is needed and the image may lack, in the ranges that this project declares."""
    declared = map(Requirement, distribution(PROJECT).requires or ())
    needed = {str(canonicalize_name(one.name)): one.specifier for one in declared}
    lines = ["# installed by pins.json where the image has none that will do"]
    lines += [f"{name}{needed[name]}" for name in LACKING]
    return "\n".join([*lines, *code.requirements, ""])


def _commands() -> dict[str, Path | bytes]:
    """What makes `fsm report` and its like known where the project was not installed: the suite calls them."""
    with suppress(PackageNotFoundError):
        own = distribution(PROJECT)
        info = f"fsm_pipelines-{own.version}.dist-info"
        said = f"Metadata-Version: 2.1\nName: fsm-pipelines\nVersion: {own.version}\n"
        entries = own.read_text("entry_points.txt") or ""
        return {f"{info}/METADATA": said.encode(), f"{info}/entry_points.txt": entries.encode()}
    return {}


def _module(name: str) -> tuple[dict[str, Path | bytes], Path]:
    """The files of a top-level package or module by their names in the archive, and the directory it lies in."""
    spec = find_spec(name)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        root = Path(location).absolute()
        if root.is_dir():
            return {f"{name}/{p.relative_to(root)}": p for p in _plain(root.rglob("*"), root)}, root.parent
    if spec and spec.origin and Path(spec.origin).suffix == ".py":
        path = Path(spec.origin).absolute()
        return {path.name: path}, path.parent
    raise JobRefused(
        f"The job's code needs {name!r}, whose files cannot be found here. Install it, or take it out of `plug` and "
        "sagemaker_job.packages."
    )


def _plain(paths: Iterable[Path], root: Path) -> Iterator[Path]:
    """The files among them that are worth packing: nothing hidden, nothing that Python left there."""
    for path in paths:
        below = path.relative_to(root).parts
        if path.is_file() and not any(p.startswith(".") or p == "__pycache__" for p in below):
            yield path


def _place(drawing: Path, roots: Iterable[Path]) -> str:
    """Where a drawing stands in the archive: as it stands to the package, or to the directory of the command."""
    for root in roots:
        if drawing.is_relative_to(root):
            return str(drawing.relative_to(root))
    raise JobRefused(
        f"The drawing {drawing} lies neither beside the packages of the job nor below {Path.cwd()}, so it cannot be given "
        "to the job. Put it into the package of its machine."
    )
