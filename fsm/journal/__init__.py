"""The records of a run, and the state that they fold into."""

from fsm.journal import requests
from fsm.journal.audit import Audit, audit, report
from fsm.journal.fold import RECOVERY, Fold, Frame, branches_of, files_of, new_frame, opened, retried
from fsm.journal.journal import (
    FORMAT,
    GENESIS,
    Journal,
    alike,
    checked,
    decode,
    digest,
    encode,
    essence,
    foreign,
    header_of,
)
from fsm.journal.lines import (
    MARK,
    TwoWrites,
    base,
    branch_step,
    in_order,
    is_branch,
    is_line,
    item_step,
    merged,
    said,
    words,
)
from fsm.journal.past import past_of, whole
from fsm.journal.pauses import Pause, is_open, moment, pauses_of
from fsm.journal.values import apart, copied, json_values
from fsm.journal.watch import Watch, stack_of, where

__all__ = [
    "FORMAT",
    "GENESIS",
    "MARK",
    "RECOVERY",
    "Audit",
    "Fold",
    "Frame",
    "Journal",
    "Pause",
    "TwoWrites",
    "Watch",
    "alike",
    "apart",
    "audit",
    "base",
    "branch_step",
    "branches_of",
    "checked",
    "copied",
    "decode",
    "digest",
    "encode",
    "essence",
    "files_of",
    "foreign",
    "header_of",
    "in_order",
    "is_branch",
    "is_line",
    "is_open",
    "item_step",
    "json_values",
    "merged",
    "moment",
    "new_frame",
    "opened",
    "past_of",
    "pauses_of",
    "report",
    "requests",
    "retried",
    "said",
    "stack_of",
    "where",
    "whole",
    "words",
]
