"""Quality scoring (Diagram 6): how good a C text is, from 0 to 10, and why."""

from phases.quality_scoring import behaving  # noqa: F401 - it registers its states
from phases.quality_scoring.behaviour import Behaviour, SandboxMissing
from phases.quality_scoring.config import QualityScoringConfig
from phases.quality_scoring.handlers import PHASE
from phases.quality_scoring.scorer import score, score_many
from phases.quality_scoring.scoring import Reason, Score, Scoring

__all__ = [
    "PHASE",
    "Behaviour",
    "QualityScoringConfig",
    "Reason",
    "SandboxMissing",
    "Score",
    "Scoring",
    "score",
    "score_many",
]
