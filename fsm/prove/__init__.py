"""A pipeline killed everywhere, gone on with, and compared with one that was left alone."""

from fsm.prove.compare import Difference, History, differences
from fsm.prove.prove import State, prove, table
from fsm.prove.trial import Stuck

__all__ = ["Difference", "History", "State", "Stuck", "differences", "prove", "table"]
