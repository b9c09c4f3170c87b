"""ConfigCheck, LocalFiles, ScriptSyntax and ImportCheck: what this machine itself can tell."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from machines import DIAGRAMS
from phases.pipeline.validation.finding import Finding, failed, good, unknown, warning
from phases.pipeline.validation.needs import Needs
from phases.pipeline.validation.rental import rental
from phases.sagemaker_job import source, versions
from phases.sagemaker_job.install import divided, pins
from phases.sagemaker_job.job import OWN, Code, JobRefused

ROOT = Path(__file__).parents[3]
PACKAGES = {  # import name -> distribution, of what every run needs
    "transitions": "transitions",
    "pydantic": "pydantic",
    "yaml": "PyYAML",
    "structlog": "structlog",
    "tree_sitter": "tree-sitter",
    "tree_sitter_c": "tree-sitter-c",
}
TRAINING = {
    "torch": "torch",
    "transformers": "transformers",
    "trl": "trl",
    "peft": "peft",
    "bitsandbytes": "bitsandbytes",
    "datasets": "datasets",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FIXED = re.compile(r"==|@|^-")
"""What a line of pip's has that names one version, or an address, or is an option."""


def config_check(needs: Needs) -> Iterator[Finding]:
    """What no single section can tell: that they fit each other, that the machines are sound, that what is rented is there."""
    from fsm.check import check

    errors = [str(f) for f in check(needs.program) if f.severity == "error"]
    if needs.rents:
        errors += _rented(needs)
    if errors:
        yield failed(
            "; ".join(errors[:3]),
            "Correct the configuration, and begin anew: a run keeps the one it was begun with.",
        )
    else:
        yield good(f"the configuration is valid, and {len(needs.program.machines)} machines are sound")
    if needs.rents:
        yield from rental(needs)


def _rented(needs: Needs) -> list[str]:
    errors = []
    if not needs.store.startswith("s3://"):
        errors.append(
            f"store is {needs.store}, which a job on SageMaker cannot reach; use s3://bucket/prefix"
        )
    for key in ("output", "staging", *(["source"] if needs.job.source else [])):
        if not getattr(needs.job, key).startswith("s3://"):
            errors.append(f"sagemaker_job.{key} must be s3://bucket/prefix for a job on SageMaker")
    try:
        shipped(needs)
    except JobRefused as e:
        errors.append(str(e))
    return errors


def _code(needs: Needs) -> Code:
    return source.code(needs.config_text, needs.job.machine, needs.job.packages, needs.job.requirements)


def shipped(needs: Needs) -> dict[str, Path | bytes]:
    """The files that go along with a job, by name; none where its archive is there already. Raises JobRefused."""
    return {} if needs.job.source else source.files(_code(needs))


def local_files(needs: Needs) -> Iterator[Finding]:
    """Whether the files that the run reads from this machine are there."""
    expected = [DIAGRAMS, ROOT / "machines", ROOT / "phases"]
    if missing := [str(p) for p in expected if not p.is_dir()]:
        yield failed(f"{', '.join(missing)} is missing; install the project whole, from its checkout")
        return
    given = needs.job.channels if needs.job is not None else {}
    paths = [path for _, files in sorted(given.items()) for _, path in sorted(files.items())]
    if missing := [path for path in paths if not Path(path).is_file()]:
        yield failed(f"{', '.join(missing)} is missing; see sagemaker_job.channels")
        return
    here = needs.data is not None and not needs.data.source.startswith("s3://")
    files = sum(p.is_file() for p in Path(needs.data.source).rglob("*")) if here else 0
    yield good(f"{len(list(DIAGRAMS.glob('*.mmd')))} diagrams and {files} source files are there")


def script_syntax(needs: Needs) -> Iterator[Finding]:
    """Whether every Python file of the project, and every one that is shipped, compiles; none is run."""
    scripts: dict[str, Path | bytes] = {
        str(p.relative_to(ROOT)): p for package in OWN for p in sorted((ROOT / package).rglob("*.py"))
    }
    if needs.rents:
        with suppress(JobRefused):  # ConfigCheck has said it
            scripts |= {name: where for name, where in sorted(shipped(needs).items()) if name.endswith(".py")}
    for name, where in scripts.items():
        try:
            compile(where.read_bytes() if isinstance(where, Path) else where, name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as e:
            yield failed(f"{where if isinstance(where, Path) else name} is not valid Python: {e}")
            return
    yield good(f"{len(scripts)} scripts are valid Python")


def import_check(needs: Needs) -> Iterator[Finding]:
    """Whether what the run imports can be found, here and in the container; nothing heavy is imported for it."""
    wanted = dict(PACKAGES)
    if needs.job is None or needs.job.provider == "local":
        wanted |= TRAINING
    if needs.aws:
        wanted |= {"boto3": "boto3"}
    if needs.teacher is not None and needs.teacher.kind == "openai":
        wanted |= {"openai": "openai"}
    found, missing = [], []
    for name, distribution in wanted.items():
        try:
            if importlib.util.find_spec(name) is None:
                raise PackageNotFoundError
            found.append(f"{distribution} {version(distribution)}")
        except PackageNotFoundError:
            missing.append(distribution)
    if missing:
        yield failed(
            f"not installed: {', '.join(missing)}; pip install 'fsm-pipelines[distill]' brings what a run needs"
        )
    else:
        yield good(", ".join(found))
    if needs.rents:
        yield from _in_the_container(needs)


def _in_the_container(needs: Needs) -> Iterator[Finding]:
    address = needs.job.image.format(region=needs.job.region)
    there = versions.of_image(address)
    if short := versions.unmet(there):
        yield failed(
            f"the image {address} has {'; '.join(short)}",
            "Take the default image (leave sagemaker_job.image out), or one that has them; docs/versions.md lists them.",
        )
    elif there:
        yield good(f"the container has {', '.join(f'{name} {v}' for name, v in there.items())}")
    else:
        yield unknown(
            f"what the image {address} has is not known here", "docs/versions.md says what it needs to have."
        )
    try:
        lacking = _unprovided(needs) if not needs.job.source else {}
    except JobRefused:  # ConfigCheck has said it
        return
    if loose := [line for line in divided(needs.job.requirements, pins())[1] if not _FIXED.search(line)]:
        yield warning(
            f"sagemaker_job.requirements leaves open which version is installed of {', '.join(loose)}",
            "Write NAME==VERSION --hash=sha256:... there: the next attempt's container may otherwise get another one.",
        )
    if lacking:
        yield failed(
            "the container has no "
            + ", ".join(f"{name} ({where} imports it)" for name, where in lacking.items()),
            "Name them in sagemaker_job.requirements, or what is your own code in sagemaker_job.packages.",
        )


def _unprovided(needs: Needs) -> dict[str, str]:
    """Import name -> script, of what the user's own code imports and the container will not have."""
    code = _code(needs)
    own = set(code.names) - set(OWN)
    imported: dict[str, str] = {}
    for name, where in sorted(shipped(needs).items()):
        if (
            name.endswith(".py")
            and name.removesuffix(".py").partition("/")[0] in own
            and isinstance(where, Path)
        ):
            for module in _imports(where):
                imported.setdefault(module, name)
    foreign = {m: w for m, w in imported.items() if m not in sys.stdlib_module_names and m not in code.names}
    if not foreign:
        return {}
    named = (match[0] for line in needs.job.requirements if (match := _NAME.match(line)))
    known = versions.of_image(needs.job.image)
    there = {_canonical(n) for n in (*source.LACKING, *source.IN_THE_IMAGE, *known, *named)}
    providers = packages_distributions()
    return {m: w for m, w in foreign.items() if not there & {_canonical(d) for d in providers.get(m, [m])}}


def _imports(path: Path) -> Iterator[str]:
    """The packages that a script imports, wherever in it, but not what it goes without where it is missing."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # ScriptSyntax has said it
        return
    spared = {n for t in ast.walk(tree) if isinstance(t, ast.Try) for stmt in t.body for n in ast.walk(stmt)}
    for node in ast.walk(tree):
        if node in spared:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _canonical(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
