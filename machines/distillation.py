"""Diagram 4, the epoch loop: trains by 5, scores by 6, asks the teacher by 3, decides by 9."""

from fsm.engine import Machine
from machines import diagram

MACHINE = Machine(
    "distillation",
    diagram("distillation"),
    exits={
        "EpochN.SelfTraining": {
            "For the teacher": "For the teacher",
            "Nothing for the teacher": "Nothing for the teacher",
        },
        "EpochN.CheckConvergence": {
            "Converged": "Converged",
            "Continue": "Continue (next epoch)",
            "Max epochs reached": "Max epochs reached",
        },
    },
    bounds={("EpochN.CheckConvergence", "Continue (next epoch)"): "distillation.max_epochs"},
    calls={
        "EpochN.Train": ("qlora_training",),
        "EpochN.Prefer": ("qlora_training",),
        "EpochN.Evaluate": ("quality_scoring",),
        "EpochN.SelfTraining.JudgeSamples": ("quality_scoring",),
        "EpochN.RequestCorrections.ParallelTeacherCalls": (
            "teacher_generation:ParallelExecution.ProcessFuture",
            "quality_scoring",  # what is wrong with an attempt that the teacher is shown
        ),
        "EpochN.RequestCorrections.FormatAsTraining": ("quality_scoring",),
        "EpochN.CheckConvergence.CheckThreshold": ("convergence",),
    },
)
