"""The records of a run, and the state that they fold into."""

from fsm.journal import requests
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
from fsm.journal.pauses import Pause, is_open, moment, pauses_of
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
    "Pause",
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
    "is_open",
    "json_values",
    "moment",
    "new_frame",
    "opened",
    "pauses_of",
    "report",
    "requests",
    "retried",
    "stack_of",
]
