"""Diagram 10, a SageMaker job seen from outside, and the smoke job that is drawn inside its Training."""

from fsm.engine import ELSEWHERE, Machine
from machines import diagram

MACHINE = Machine(
    "sagemaker_job",
    diagram("sagemaker_job"),
    inside={"Training": ELSEWHERE},  # the container keeps its own journal
    waits={"Starting": "SageMaker, for capacity: bounded by the job's MaxWaitTimeInSeconds"},
    failures=("Failed", "Stopped"),
    entered_at=("Training",),  # where the pipeline goes on following when the work inside is over
)

SMOKE = MACHINE.part("Training", "smoke")
