"""What the containers of a rented job have written: a stream of CloudWatch Logs for each host.

The log group is SageMaker's, the streams begin with the job's name. Reading needs logs:DescribeLogStreams and
logs:GetLogEvents on the group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

GROUP = "/aws/sagemaker/TrainingJobs"
SHOWN = 40  # lines of a job that failed
_TRACEBACK = "Traceback (most recent call last)"
SEARCHED = 400  # lines at the end in which the traceback is looked for


def last(client: Any, job: str, lines: int) -> list[str]:
    """The last lines of every host; of several, each line with its host's name before it."""
    said = []
    streams = _streams(client, job)
    for stream in streams:
        found = client.get_log_events(
            logGroupName=GROUP, logStreamName=stream, startFromHead=False, limit=min(lines, 10_000)
        )
        said += [_line(stream, event, len(streams)) for event in found["events"][-lines:]]
    return said


class Followed:
    """The lines of a job as they come, from the first one that is kept."""

    def __init__(self, client: Any, job: str) -> None:
        self._client, self._job = client, job
        self._tokens: dict[str, str] = {}

    def new(self) -> Iterator[str]:
        """What has come since the last call."""
        streams = _streams(self._client, self._job)
        for stream in streams:
            while True:
                token = self._tokens.get(stream)
                found = self._client.get_log_events(
                    logGroupName=GROUP,
                    logStreamName=stream,
                    startFromHead=True,
                    **({"nextToken": token} if token else {}),
                )
                yield from (_line(stream, event, len(streams)) for event in found["events"])
                self._tokens[stream] = found["nextForwardToken"]
                if not found["events"] or found["nextForwardToken"] == token:
                    break


def telling(lines: Sequence[str]) -> list[str]:
    """Of the last lines of a job that failed those to show: the last ones, and the whole of the last traceback."""
    begin = max((n for n, line in enumerate(lines) if _TRACEBACK in line), default=len(lines))
    return list(lines[min(begin, max(0, len(lines) - SHOWN)) :][-SEARCHED:])


def _streams(client: Any, job: str) -> list[str]:
    try:
        pages = client.get_paginator("describe_log_streams").paginate(
            logGroupName=GROUP, logStreamNamePrefix=f"{job}/"
        )
        return sorted(stream["logStreamName"] for page in pages for stream in page["logStreams"])
    except client.exceptions.ResourceNotFoundException:  # nothing of any job was ever logged
        return []


def _line(stream: str, event: dict[str, Any], hosts: int) -> str:
    said: str = event["message"].rstrip("\n")
    return f"{stream.rpartition('/')[2].rpartition('-')[0]}: {said}" if hosts > 1 else said
