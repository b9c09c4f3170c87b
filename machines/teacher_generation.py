"""Diagram 3, teacher generation: ProcessFuture is walked once for each prompt, by ten workers."""

from fsm.engine import COUNTED, Machine
from machines import diagram

MACHINE = Machine(
    "teacher_generation",
    diagram("teacher_generation"),
    inside={"ParallelExecution.ProcessFuture": COUNTED},
    bounds={
        ("ParallelExecution.CheckpointWrite", "More futures"): "the prompts",
        (
            "ParallelExecution.ProcessFuture.RetryBackoff",
            "sleep(base * 2^attempt)",
        ): "teacher_generation.max_retries",
    },
)
