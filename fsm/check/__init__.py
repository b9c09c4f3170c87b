"""What can be proved of a program before anything runs."""

from fsm.check.alone import alone
from fsm.check.finding import Finding
from fsm.check.program import check, refuse
from fsm.check.refine import refine
from fsm.check.sarif import sarif

__all__ = ["Finding", "alone", "check", "refine", "refuse", "sarif"]
