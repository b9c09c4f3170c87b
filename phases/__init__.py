"""The work behind the drawings: one package for each machine, of the same name.

`NAMES` is what a configuration may plug in, by machine.
"""

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
