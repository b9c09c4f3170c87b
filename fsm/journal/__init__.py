"""The records of a run, and the state that they fold into."""

from fsm.journal.audit import Audit, audit, report
from fsm.journal.fold import RECOVERY, Fold, Frame, new_frame, opened
from fsm.journal.journal import (
    FORMAT,
    GENESIS,
    Journal,
    checked,
    decode,
    digest,
    encode,
    essence,
    foreign,
    header_of,
)
from fsm.journal.past import past_of, whole
from fsm.journal.values import apart, copied, json_values
from fsm.journal.watch import Watch, stack_of

__all__ = [
    "FORMAT",
    "GENESIS",
    "RECOVERY",
    "Audit",
    "Fold",
    "Frame",
    "Journal",
    "Watch",
    "apart",
    "audit",
    "checked",
    "copied",
    "decode",
    "digest",
    "encode",
    "essence",
    "foreign",
    "header_of",
    "json_values",
    "new_frame",
    "opened",
    "past_of",
    "report",
    "stack_of",
    "whole",
]
