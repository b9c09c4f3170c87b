"""Diagram 2, data preparation: ProcessFiles is walked once for each file."""

from fsm.engine import COUNTED, Machine
from machines import diagram

MACHINE = Machine(
    "data_preparation",
    diagram("data_preparation"),
    inside={"ProcessFiles": COUNTED},
    bounds={("ProcessFiles.FormatOutput", "Next function"): "the functions of the file"},
)
