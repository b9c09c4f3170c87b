"""The records of a run, and the state that they fold into."""

from fsm.journal.audit import Audit, audit, report
from fsm.journal.fold import RECOVERY, Fold, Frame, new_frame, opened, retried
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
from fsm.journal.values import copied, json_values
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
    "report",
    "retried",
    "stack_of",
]
