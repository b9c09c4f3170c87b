"""The smoke job inside Training: install, print the CUDA environment, run the test suite, measure a model, save the results."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from fsm.engine import Context, Phase
from phases.errors import ContainerError, NotProvided
from phases.sagemaker_job import install, measured
from phases.sagemaker_job.config import SmokeConfig

SMOKE = Phase("smoke", config=SmokeConfig)
NOTHING_RUN = (4, 5)  # exit codes of pytest: no such file, nothing collected
ROOT = Path(__file__).parents[2]
"""Of the checkout, or of the archive that a container unpacked."""
TAIL = 4000  # characters of a failed step's output that are kept


@SMOKE.state("InstallDeps")
def install_deps(ctx: Context) -> None:
    """pip install what the tests need, where it is not there already: pinned, as what the job itself needs."""
    wanted = ctx.workdir("smoke") / "requirements.txt"
    wanted.write_text("\n".join(ctx.config.dependencies) + "\n")
    _run(ctx, [sys.executable, install.__file__, str(wanted)], "pip")


@SMOKE.state("PrintEnv")
def print_env(ctx: Context) -> None:
    """What the machine and its packages are, as an artifact and in the log. CUDA is asked in a process of its own."""
    probe = (
        "import json, torch; c = torch.cuda; print(json.dumps({'torch': torch.__version__, 'cuda': torch.version.cuda, "
        "'devices': [{'name': c.get_device_name(i), 'bytes': c.get_device_properties(i).total_memory, "
        "'capability': c.get_device_capability(i)} for i in range(c.device_count())]}))"
    )
    said = _run(ctx, [sys.executable, "-c", probe], "torch")
    environment = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        **json.loads(said.strip().splitlines()[-1]),
        "packages": dict(sorted((d.metadata["Name"], d.version) for d in distributions())),
    }
    ctx.put("smoke/environment.json", json.dumps(environment, indent=1, sort_keys=True))
    ctx.log.info("environment", **{k: v for k, v in environment.items() if k != "packages"})


@SMOKE.state("RunPytest")
def run_pytest(ctx: Context) -> str:
    """Run the test suite; its failures are a result, not an error. Its paths are below here, or where the project lies."""
    report = ctx.workdir("smoke") / "pytest.txt"
    command = [sys.executable, "-m", "pytest", *ctx.config.tests]
    here = any(Path(test.partition("::")[0]).exists() for test in ctx.config.tests)
    with report.open("wb") as f:
        done = subprocess.run(
            command,
            cwd=None if here else ROOT,
            stdout=f,
            stderr=subprocess.STDOUT,
            timeout=ctx.config.timeout_seconds,
            check=False,
        )
    text = report.read_text("utf-8", "replace")
    ctx.data["tests"] = {"exit": done.returncode} | {
        word: int(n)
        for n, word in re.findall(
            r"(\d+) (passed|failed|errors?|skipped)", text.rpartition("\n=")[2] or text[-300:]
        )
    }
    ctx.put("smoke/pytest.txt", report)
    if done.returncode in NOTHING_RUN:
        raise NotProvided(
            f"smoke.tests ({', '.join(ctx.config.tests)}) named no tests in {Path.cwd()} or {ROOT}: "
            f"{text.strip().splitlines()[-1][:300]}. Begin the run in a checkout of the project, or name tests that are there"
        )
    return "Model to be measured" if ctx.config.measure else "Tests complete"


@SMOKE.state("MeasureModel")
def measure_model(ctx: Context) -> None:
    """A short training and generation, by the benchmark of docs/gpu.md, in a process of its own: memory is the GPU's again."""
    benchmark = ROOT / "benchmarks" / "qlora_8b.py"
    if not benchmark.is_file():
        raise NotProvided(
            f"smoke.measure needs {benchmark}, which is not there: begin the run in a checkout of the project"
        )
    work = ctx.workdir("measured")
    output = work / "measured.json"
    command = [sys.executable, str(benchmark), "--work", str(work), "--output", str(output)]
    command += ["--parts", *ctx.config.measure]
    command += [f"--{ctx.config.shape}"] if ctx.config.shape != "full" else []
    _run(ctx, command, "the measuring of the model")
    ctx.put(measured.ARTIFACT, output)


@SMOKE.state("SaveResults")
def save_results(ctx: Context) -> None:
    """Results to /opt/ml/output; a suite that failed fails the job."""
    output = Path(os.environ.get("SM_OUTPUT_DATA_DIR", str(ctx.workdir("output"))))
    output.mkdir(parents=True, exist_ok=True)
    for name in filter(ctx.has, ("smoke/environment.json", "smoke/pytest.txt", measured.ARTIFACT)):
        (output / Path(name).name).write_bytes(ctx.open(name).read_bytes())
    (output / "results.json").write_text(json.dumps(ctx.data["tests"], indent=1, sort_keys=True) + "\n")
    if ctx.data["tests"]["exit"] != 0:
        raise ContainerError(
            f"The test suite failed on this instance: {ctx.data['tests']}; the report is smoke/pytest.txt."
        )


def _run(ctx: Context, command: list[str], what: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=ctx.config.timeout_seconds, check=False
    )
    if done.returncode != 0:
        raise ContainerError(f"{what} ended with exit code {done.returncode}: {done.stderr[-TAIL:].strip()}")
    return done.stdout
