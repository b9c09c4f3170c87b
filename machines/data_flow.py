"""Diagram 7, the declared flow of data. Not a machine: nothing walks it, a run's lineage is held against it.

Which node of the drawing a state stands for when it reads an artifact, which when it writes one, and what passes
between two nodes inside one state. States and names of artifacts are globs in which `*` takes dots and slashes too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fsm import mermaid
from fsm.mermaid import Flowchart
from machines import diagram

LOOP_END = "the node that the epoch loop was left at"
"""EVAL where the scores ended the loop, CORRECT where anything else did, as the two arrows to OUTPUTS are drawn."""

LOOP_ENDED_BY = ("distillation", "EpochN.CheckConvergence.CheckThreshold", "avg >= 8.0 for 3+ epochs")
"""The state that decides, and the label by which it says that the scores did."""


@dataclass(frozen=True)
class Stand:
    """The states of a machine that read as one node and write as one (the same, if none is given).

    `names` are the artifacts that this holds for, where a state stands for several nodes: the first row that fits counts.
    `outside` is the node that such a state takes what it writes from, where that was in no run before.
    """

    machine: str
    states: str
    reads: str
    writes: str = ""
    names: str = "*"
    outside: str = ""

    def fits(self, name: str) -> bool:
        """Whether it holds for an artifact of that name."""
        return fnmatchcase(name, self.names)


STANDS = (
    Stand("data_preparation", "S3Download.*", "DOWNLOAD", outside="RAW"),
    Stand("data_preparation", "ProcessFiles", "EXTRACT", "PROMPTS"),
    Stand("data_preparation", "Finalize.DeduplicateMD5", "DEDUP"),
    Stand("data_preparation", "Finalize.ShuffleSeed42", "SPLIT"),
    Stand("data_preparation", "Finalize.SplitAt90Pct", "SPLIT"),
    Stand("data_preparation", "Finalize.Write*", "SPLIT"),
    Stand("teacher_generation", "LoadPrompts", "PARALLEL"),
    Stand("teacher_generation", "ValidatePrompts", "PARALLEL"),
    Stand("teacher_generation", "CreateTestPrompts", "PARALLEL"),
    Stand("teacher_generation", "CreateThreadPool", "PARALLEL"),
    Stand("teacher_generation", "ParallelExecution.SubmitFutures", "PARALLEL"),
    Stand("teacher_generation", "ParallelExecution.ProcessFuture", "PARALLEL", "CHECKPOINT"),
    Stand("teacher_generation", "ParallelExecution.CheckpointWrite", "CHECKPOINT"),
    Stand("teacher_generation", "SortAndSave", "CHECKPOINT"),
    Stand("teacher_generation", "PrintSummary", "CHECKPOINT"),
    Stand("sagemaker_job", "Pending", "Container"),
    Stand("distillation", "Setup.Load*", "Container"),
    Stand("distillation", "ModelSetup.LoadGranite8B", "Container"),
    Stand("distillation", "ModelSetup.ApplyQuantization", "Container"),
    Stand("distillation", "ModelSetup.PrepareKBit", "Container"),
    Stand("distillation", "ModelSetup.ApplyLoRA", "Container"),
    Stand("distillation", "ModelSetup.InitTokenizer", "Container"),
    Stand("distillation", "EpochN.Generate", "GEN"),
    Stand("distillation", "EpochN.Evaluate", "EVAL"),
    Stand("distillation", "EpochN.FilterPoor", "EVAL"),
    Stand("distillation", "EpochN.Prefer", "TRAIN"),
    Stand("distillation", "EpochN.SelfTraining.SampleAnswers", "GEN"),
    Stand("distillation", "EpochN.SelfTraining.JudgeSamples", "EVAL"),
    Stand("distillation", "EpochN.SelfTraining.*", "CORRECT"),
    Stand("distillation", "EpochN.RequestCorrections.*", "CORRECT"),
    Stand("distillation", "EpochN.CheckConvergence.Continue", "CORRECT"),
    Stand("distillation", "EpochN.CheckConvergence.CheckThreshold", "EVAL"),
    # the epochs' reports are what the loop hands out; the weights come from where they were trained
    Stand("distillation", "Save*", LOOP_END, names="distillation/epoch-*/report.*"),
    Stand("distillation", "Save*", "OUTPUTS", LOOP_END),
    Stand("qlora_training", "Initialization.LoadDatasets", "Container"),
    Stand("qlora_training", "Initialization.ValidateStructure", "Container"),
    Stand("qlora_training", "ModelLoading.*", "Container"),
    Stand("qlora_training", "TrainerSetup.SetPadToken", "TRAIN"),
    Stand("qlora_training", "TrainerSetup.CreateTrainingArgs", "TRAIN"),
    Stand("qlora_training", "TrainerSetup.CreateSFTTrainer", "TRAIN"),
    Stand("qlora_training", "TrainingLoop", "TRAIN"),
    Stand("qlora_training", "SaveOutputs.*", "TRAIN"),
    Stand("pipeline", "Complete", "OUTPUTS"),
    Stand("error_recovery", "errors.SageMakerErrors.SavePartialModel", "TRAIN"),
)

WITHOUT_DATA = {
    "pipeline": (
        "Validation.*",
        "DataPreparation",
        "TeacherGeneration",
        "TrainingLaunch",
        "Approval",
        "IterativeDistillation",
    ),
    "validation": ("*",),
    "data_preparation": ("CreateDirectories", "InitS3Client"),
    "teacher_generation": (
        "InitBedrockClient",
        "Authentication.*",
    ),
    "sagemaker_job": (
        *("Starting", "Downloading", "Training", "Uploading"),
        *("Completed", "Failed", "Stopping", "Stopped"),
    ),
    "distillation": (
        *("Setup.DetectEnvironment", "Setup.SageMakerMode", "Setup.LocalMode", "Setup.CreateDirs"),
        *(
            "ModelSetup.InitEvaluator",
            "ModelSetup.InitTeacher",
            "ModelSetup.CreateSFTTrainer",
            "EpochN.Train",
        ),
        *("EpochN.CheckConvergence.CheckCorrectionRate", "EpochN.CheckConvergence.Converged"),
    ),
    "qlora_training": (
        *("Initialization.ParseHyperparams", "Initialization.CheckDiskSpace"),
        "TrainerSetup.CreateCallbacks.*",
    ),
    "quality_scoring": ("*",),
    "convergence": ("*",),
    "error_recovery": (
        *("errors.AWSErrors.*", "errors.BedrockErrors.*", "errors.TrainingErrors.*", "errors.DataErrors.*"),
        *("errors.SageMakerErrors.SpotInterruption", "errors.SageMakerErrors.ResumeFromCheckpoint"),
        *("errors.SageMakerErrors.MaxRuntimeExceeded", "errors.SageMakerErrors.ContainerError"),
        *("errors.SageMakerErrors.CheckDLCImage", "errors.LimitErrors.*"),
    ),
}
"""The states that read and write no artifact."""

NOT_DRAWN = ("smoke",)
"""Machines whose data is no part of the pipeline's."""

STORED = {
    "data/splits/*": "SPLITS",
    "data/processed/*": "PROCESSED",
    "distillation/model/*": "OUTPUTS",
    "distillation/metrics.json": "OUTPUTS",
    "distillation/report.*": "OUTPUTS",
    "output/distillation/*": "OUTPUTS",
    "model/partial/*": "OUTPUTS",
}
"""The artifacts that lie in a drawn node once they are written, and are read from there. RAW is in no run."""


@dataclass(frozen=True)
class Passed:
    """What passes between two nodes inside one counted state: `unit` are counted on the edges of machines that fit."""

    source: str
    target: str
    unit: str
    edges: tuple[str, ...]


PASSED = (
    Passed(
        "EXTRACT",
        "PROMPTS",
        "pieces of code",  # functions, and files without one
        (
            "data_preparation: * --> ProcessFiles.SelectTemplate*",
            "data_preparation: * --> ProcessFiles.SplitCode*",
        ),
    ),
    Passed(
        "PARALLEL",
        "BEDROCK",
        "calls",
        ("teacher_generation: ParallelExecution.ProcessFuture.InvokeModel --> *",),
    ),
    Passed(
        "BEDROCK",
        "CHECKPOINT",
        "results",
        ("teacher_generation: ParallelExecution.ProcessFuture.Record* --> *",),
    ),
)


def flow() -> Flowchart:
    """The drawing."""
    read = mermaid.read(diagram("data_flow"))
    assert isinstance(read, Flowchart)
    return read


def stands(machine: str, state: str) -> Iterator[Stand]:
    """The rows for a state, in order."""
    return (s for s in STANDS if s.machine == machine and fnmatchcase(state, s.states))


def stored(name: str) -> str | None:
    """The drawn node in which an artifact of that name lies; None where it is kept in the run alone."""
    return next((node for names, node in STORED.items() if fnmatchcase(name, names)), None)


def passing(edge: str) -> Passed | None:
    """What passes with a counted edge, "machine: source --> target : label"."""
    return next((p for p in PASSED if any(fnmatchcase(edge, pattern) for pattern in p.edges)), None)
