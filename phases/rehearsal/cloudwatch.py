"""What the containers of a job write, passed on to CloudWatch Logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from phases.sagemaker_job.logs import GROUP


class Logs:
    """Passes on what the containers write to CloudWatch Logs: a stream for each host."""

    def __init__(self, clients: Callable[[str], Any], job: str, home: Path) -> None:
        self._client, self._job, self._home = clients("logs"), job, home
        self._read: dict[str, int] = {}
        self._rest: dict[str, bytes] = {}
        self.new: list[str] = []

    def pass_on(self) -> None:
        """What is `new` since the last call, line by line. Without a CloudWatch the lines stay in the host's file."""
        self.new = []
        for path in sorted(self._home.glob("algo-*.log")):
            host = path.stem
            with path.open("rb") as f:
                f.seek(self._read.get(host, 0))
                new = f.read()
            self._read[host] = self._read.get(host, 0) + len(new)
            lines = (self._rest.get(host, b"") + new).split(b"\n")
            self._rest[host] = lines.pop()
            self.new += [line.decode("utf-8", "replace") for line in lines]
            if lines and self._client is not None:
                self._send(f"{self._job}/{host}-1", lines)

    def _send(self, stream: str, lines: list[bytes]) -> None:
        there = self._client.exceptions.ResourceAlreadyExistsException
        with suppress(there):
            self._client.create_log_group(logGroupName=GROUP)
        with suppress(there):
            self._client.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line.decode("utf-8", "replace") or " "} for line in lines]
        for begin in range(0, len(events), 1000):
            self._client.put_log_events(
                logGroupName=GROUP, logStreamName=stream, logEvents=events[begin : begin + 1000]
            )
