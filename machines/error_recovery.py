"""Diagram 8, error recovery: entered at the state that an exception names; its last states decide."""

from fsm.engine import Machine, Verdict
from machines import diagram

STOP, AGAIN, SKIP = Verdict.STOP, Verdict.AGAIN, Verdict.SKIP

MACHINE = Machine(
    "error_recovery",
    diagram("error_recovery"),
    ends={
        "SetEnvVars": STOP,
        "UpdateBucketPolicy": STOP,
        "DeployCloudFormation": STOP,
        "RetryInvoke": AGAIN,
        "SkipPrompt": SKIP,
        "HaltTraining": STOP,
        "ReduceBatchSize": AGAIN,
        "CleanCheckpoints": AGAIN,
        "SkipFile": SKIP,
        "UseLatin1": AGAIN,
        "CheckS3Paths": STOP,
        "ValidateJSONL": STOP,
        "ResumeFromCheckpoint": AGAIN,
        "SavePartialModel": STOP,
        "CheckDLCImage": STOP,
        "RaiseLimit": STOP,
    },
    entered_at=(
        "NoCredentials",
        "AccessDenied",
        "RoleNotFound",
        "ThrottlingException",
        "ModelStreamError",
        "NaNLoss",
        "CUDAOutOfMemory",
        "DiskSpaceLow",
        "EncodingError",
        "EmptyDataset",
        "InvalidStructure",
        "SpotInterruption",
        "MaxRuntimeExceeded",
        "ContainerError",
        "TimeLimit",
    ),
)
