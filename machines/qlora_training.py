"""Diagram 5, QLoRA training: TrainingLoop is walked once for each micro-batch, as the trainer tells."""

from fsm.engine import COUNTED, Machine
from machines import diagram

STEPS = "qlora_training.max_steps, or the rows times the epochs"

MACHINE = Machine(
    "qlora_training",
    diagram("qlora_training"),
    inside={"TrainingLoop": COUNTED},
    bounds={
        ("TrainingLoop.AccumulateGradients", "accum < 8"): "qlora_training.gradient_accumulation_steps",
        ("TrainingLoop.OptimizerStep", "Between logging steps"): STEPS,
        ("TrainingLoop.LogMetrics", "Between evaluations"): STEPS,
        ("TrainingLoop.EvalCheck", "Continue"): STEPS,
        ("TrainingLoop.SaveCheckpoint", None): STEPS,
    },
    entered_at=("TrainerSetup",),  # where distillation enters it: the model is loaded already
)
