"""A SageMaker job (Diagram 10): created or adopted, followed from outside, and the smoke job inside one."""

from phases.sagemaker_job.handlers import PHASE
from phases.sagemaker_job.smoke import SMOKE

__all__ = ["PHASE", "SMOKE"]
