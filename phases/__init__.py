"""The work behind the drawings: one package for each machine, of the same name.

`NAMES` is what a configuration may plug in, by machine.
"""

from pathlib import Path

NAMES = {
    "pipeline": "phases.pipeline:PHASE",
    "validation": "phases.pipeline:VALIDATION",
    "data_preparation": "phases.data_preparation:PHASE",
    "teacher_generation": "phases.teacher_generation:PHASE",
    "distillation": "phases.distillation:PHASE",
    "qlora_training": "phases.qlora_training:PHASE",
    "quality_scoring": "phases.quality_scoring:PHASE",
    "error_recovery": "phases.error_recovery:PHASE",
    "convergence": "phases.convergence:PHASE",
    "sagemaker_job": "phases.sagemaker_job:PHASE",
    "smoke": "phases.sagemaker_job:SMOKE",
}

_INSIDE = Path(__file__).with_name("configs")
CONFIGS = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[1] / "configs"
"""Where the configurations and the small corpus are: inside this package where it was installed from a wheel, beside it in a checkout."""


def local() -> dict[str, Path]:
    """The local run as an example: its files by the paths under which they are looked for, the configuration first."""
    corpus = sorted(path for path in (CONFIGS / "corpus").rglob("*") if path.is_file())
    return {f"configs/{path.relative_to(CONFIGS)}": path for path in (CONFIGS / "local.yaml", *corpus)}
