"""Diagram 1, the pipeline: which diagrams draw its phases in detail, and how Validation ends."""

from fsm.engine import Detail, Machine
from machines import diagram

DATA_PREPARATION = Detail(
    "data_preparation",
    {
        "InitDirs": ("CreateDirectories", "InitS3Client"),
        "S3Download": ("S3Download.*",),
        # by the source of the file in hand
        "TSNProcess": ("ProcessFiles.*",),
        "AVBProcess": ("ProcessFiles.*",),
        "CARLAProcess": ("ProcessFiles.*",),
        "Deduplication": ("Finalize.DeduplicateMD5",),
        "TrainValSplit": ("Finalize.ShuffleSeed42", "Finalize.SplitAt90Pct"),
        "SaveSplits": ("Finalize.WriteTrainJSONL", "Finalize.WriteValJSONL"),
    },
)
TEACHER_GENERATION = Detail(
    "teacher_generation",
    {
        "InitBedrock": ("InitBedrockClient", "Authentication.*"),
        "LoadPrompts": ("LoadPrompts", "ValidatePrompts", "CreateTestPrompts", "CreateThreadPool"),
        "ParallelGenerate": ("ParallelExecution.SubmitFutures", "ParallelExecution.ProcessFuture.*"),
        "CheckpointSave": ("ParallelExecution.CheckpointWrite", "SortAndSave", "PrintSummary"),
    },
)
DISTILLATION = Detail(
    "distillation",
    {
        "LoadModel": ("Setup.*", "ModelSetup.*"),
        "EpochLoop.TrainStep": ("EpochN.Train", "EpochN.Prefer"),
        "EpochLoop.GenerateOutputs": ("EpochN.Generate",),
        "EpochLoop.EvaluateQuality": ("EpochN.Evaluate",),
        "EpochLoop.IdentifyPoor": ("EpochN.FilterPoor", "EpochN.SelfTraining.*"),
        "EpochLoop.GetCorrections": (
            "EpochN.RequestCorrections.SortByScore",
            "EpochN.RequestCorrections.CapAt500",
            "EpochN.RequestCorrections.ParallelTeacherCalls",
            "EpochN.RequestCorrections.FormatAsTraining",
        ),
        "EpochLoop.AddToDataset": ("EpochN.RequestCorrections.AppendToDataset",),
        "EpochLoop.ConvergenceCheck": ("EpochN.CheckConvergence.*",),
        "SaveFinalModel": ("SaveModel", "SaveMetrics"),
    },
)

BY_HAND = "a person, who mends what Diagram 8 has stopped for"

MACHINE = Machine(
    "pipeline",
    diagram("pipeline"),
    inside={
        "DataPreparation": DATA_PREPARATION,
        "TeacherGeneration": TEACHER_GENERATION,
        "IterativeDistillation": DISTILLATION,
    },
    exits={"Validation": {"ImportCheck": "All checks pass", "ValidationError": "Validation failed"}},
    # the job is followed to where it runs, and from there, when the distillation in it is over, to its end
    calls={"TrainingLaunch": ("sagemaker_job",), "IterativeDistillation": ("sagemaker_job",)},
    bounds={("Validation.ValidationError", "Mended"): BY_HAND},
    waits={"Approval": "a person, who approves the launch"},
    failures=(
        "Validation failed",
        "No data extracted",
        "Launch failed",
        "Refused",
        "No answer",
        "Fatal error",
    ),
    on_error={("DataPreparation", "EmptyDataset"): "No data extracted"},
)

VALIDATION = MACHINE.part(
    "Validation", "validation", failures=("ValidationError",), bounds={("ValidationError", "Mended"): BY_HAND}
)
