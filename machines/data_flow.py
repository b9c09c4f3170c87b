"""Diagram 7, the declared flow of data. Not a machine: nothing walks it, a run's lineage is held against it."""

from fsm import mermaid
from fsm.mermaid.model import Flowchart
from machines import diagram


def flow() -> Flowchart:
    """The drawing."""
    read = mermaid.read(diagram("data_flow"))
    assert isinstance(read, Flowchart)
    return read
