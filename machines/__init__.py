"""The drawings as machines: one module for each diagram, of the same name.

`NAMES` is what a configuration may run, and what machines may call, by name. Three names are parts of a drawing run
alone: the validation of the pipeline, and the smoke job inside a SageMaker job's Training.
"""

from pathlib import Path

NAMES = {
    "pipeline": "machines.pipeline:MACHINE",
    "validation": "machines.pipeline:VALIDATION",
    "data_preparation": "machines.data_preparation:MACHINE",
    "teacher_generation": "machines.teacher_generation:MACHINE",
    "distillation": "machines.distillation:MACHINE",
    "qlora_training": "machines.qlora_training:MACHINE",
    "quality_scoring": "machines.quality_scoring:MACHINE",
    "error_recovery": "machines.error_recovery:MACHINE",
    "convergence": "machines.convergence:MACHINE",
    "sagemaker_job": "machines.sagemaker_job:MACHINE",
    "smoke": "machines.sagemaker_job:SMOKE",
}


_INSIDE = Path(__file__).with_name("diagrams")
DIAGRAMS = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[1] / "diagrams"
"""Where the drawings are: inside this package where it was installed from a wheel, beside it in a checkout."""


def diagram(name: str) -> Path:
    """The drawing of that name."""
    return DIAGRAMS / f"{name}.mmd"
