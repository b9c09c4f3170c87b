"""What branches that run at once have to keep: C112 and C113."""

from __future__ import annotations

from collections.abc import Iterator

from fsm.check.finding import Finding, error
from fsm.engine import Machine


def concurrent(machine: Machine) -> Iterator[Finding]:
    """Each split that is declared concurrent, and whose branches cannot run at once as they are drawn."""
    for path, split in machine.branching():
        for apart in split if isinstance(split, list) else ():
            yield error(
                "C112" if apart.joins else "C113",
                machine.chart.file,
                apart.at,
                f"the branches of {path} are to run at once, and {apart.why}. Or take {path} out of `concurrent`.",
            )
