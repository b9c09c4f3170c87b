"""Time for tests: it passes where it is slept, or where a test moves it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Clock:
    """Stands for the `time` module, and for a function that tells the time. Unit: seconds."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now
