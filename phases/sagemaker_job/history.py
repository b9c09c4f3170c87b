"""From SecondaryStatusTransitions to the edges of Diagram 10.

The service tells more statuses than are drawn, and a short one may go untold; what a follower walks is the drawn
states in their order, whenever it looks.
"""

from __future__ import annotations

from phases.sagemaker_job.job import Job

DRAWN = {
    "Pending": "Pending",
    "Starting": "Starting",
    "Restarting": "Starting",
    "LaunchingMLInstances": "Starting",
    "PreparingTrainingStack": "Starting",
    "Downloading": "Downloading",
    "DownloadingTrainingImage": "Downloading",
    "Training": "Training",
    "Uploading": "Uploading",
    "Interrupted": "Stopping",
    "MaxWaitTimeExceeded": "Stopping",
    "MaxRuntimeExceeded": "Training",  # told before Stopping or Failed; the reason says it again
    "Stopping": "Stopping",
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopped": "Stopped",
}
CHAIN = ("Pending", "Starting", "Downloading", "Training", "Uploading", "Completed")
ADVANCE = {
    "Pending": "Resources allocated",
    "Starting": "Container pulling image",
    "Downloading": "Data channels downloaded",
    "Training": "Training complete",
    "Uploading": "Model artifacts uploaded",
    "Stopping": "Cleanup complete",
}
FAIL = {
    "Pending": "Request cannot be met",
    "Starting": "Instances failed to launch",
    "Downloading": "Image or data unavailable",
    "Training": "Runtime error",
    "Uploading": "Upload failed",
}


def states(job: Job) -> list[tuple[str, str]]:
    """The drawn states a job has been in, in order, each with the status that the service told.

    States that the service passed over in silence are filled in. Every job begins in Pending.
    """
    walked = [("Pending", "Pending")]
    for status, _ in job.history:
        drawn = DRAWN.get(status)
        here = walked[-1][0]
        if drawn is None or drawn == here:
            continue
        if drawn in CHAIN and here in CHAIN and CHAIN.index(drawn) < CHAIN.index(here):
            walked.append(("Stopping", "Interrupted"))  # only an interruption leads back
            here = "Stopping"
        if here == "Stopping" and drawn in CHAIN and drawn != "Starting":
            walked.append(("Starting", "Restarting"))
            here = "Starting"
        if drawn == "Stopped" and here != "Stopping":
            walked.append(("Stopping", "Stopping"))
        if drawn in CHAIN and here in CHAIN:
            walked += [(s, s) for s in CHAIN[CHAIN.index(here) + 1 : CHAIN.index(drawn)]]
        walked.append((drawn, status))
    return walked


def label(here: str, there: str, status: str, job: Job) -> str:
    """The edge of Diagram 10 from one drawn state to the next."""
    if there == "Failed":
        exceeded = here == "Training" and "MaxRuntimeExceeded" in job.failure
        return "MaxRuntimeExceeded" if exceeded else FAIL[here]
    if there == "Stopping":
        return {
            "Interrupted": "Spot interruption"
            if here in ("Downloading", "Training", "Uploading")
            else "User requested stop",
            "MaxWaitTimeExceeded": "MaxWaitTimeExceeded"
            if here in ("Pending", "Starting", "Training")
            else "User requested stop",
        }.get(status, "User requested stop")
    if here == "Stopping" and there == "Starting":
        return "Spot capacity returned"
    return ADVANCE[here]
