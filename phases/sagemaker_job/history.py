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
ENDS = ("Completed", "Failed", "Stopped")
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

    Every job begins in Pending. States that the service passed over in silence are filled in; only an interruption
    leads back, to Starting. What is told later never changes what was told before. A job that ran out of time ends in
    Failed, as drawn, though the service calls it Stopped, if that was told before it was stopping.
    """
    walked = [("Pending", "Pending")]
    exceeded = False
    for status, _ in job.history:
        here = walked[-1][0]
        drawn = DRAWN.get(status, here)
        exceeded = exceeded or status == "MaxRuntimeExceeded"
        if here == "Stopping" and status in ("Uploading", "MaxRuntimeExceeded"):
            continue  # what there is is saved, and why it was stopped is told last: no restart
        if drawn == "Pending" and len(walked) > 1:
            drawn = "Starting"
        if exceeded and here != "Stopping" and drawn in ("Stopping", "Stopped"):
            drawn, status = "Failed", "MaxRuntimeExceeded"
        if drawn == here or here in ENDS:
            continue
        walked += _on(here, drawn, status)
    here = walked[-1][0]
    if job.over and here not in ENDS:  # its last secondary status says why, not that it is over
        failed = exceeded and here != "Stopping"
        walked += _on(
            here, "Failed" if failed else job.status, "MaxRuntimeExceeded" if failed else job.status
        )
    return walked


def _on(here: str, there: str, status: str) -> list[tuple[str, str]]:
    """The states from `here` (not itself) to `there`."""
    if there in CHAIN:
        return _along_the_chain(here, there)
    if here == "Stopping" and there == "Failed":
        return [("Stopped", status)]
    before = [("Stopping", "Stopping")] if there == "Stopped" and here != "Stopping" else []
    return [*before, (there, status)]


def _along_the_chain(here: str, there: str) -> list[tuple[str, str]]:
    """The states from `here` (not itself) to `there`, a state of CHAIN."""
    between: list[tuple[str, str]] = []
    if here in CHAIN and CHAIN.index(there) < CHAIN.index(here):
        between.append(("Stopping", "Interrupted"))
        here = "Stopping"
    if here == "Stopping":
        between.append(("Starting", "Restarting"))
        here = "Starting"
    return between + [(s, s) for s in CHAIN[CHAIN.index(here) + 1 : CHAIN.index(there) + 1]]


def label(here: str, there: str, status: str, job: Job) -> str:
    """The edge of Diagram 10 from one drawn state to the next."""
    if there == "Failed":
        exceeded = status == "MaxRuntimeExceeded" or "MaxRuntimeExceeded" in job.failure
        if exceeded and here == "Training":
            return "MaxRuntimeExceeded"
        return FAIL["Training"] if here == "Uploading" and "AlgorithmError" in job.failure else FAIL[here]
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
