"""The records of a run, and the state that they fold into."""

from fsm.journal.audit import Audit, audit, report
from fsm.journal.fold import RECOVERY, Fold, Frame, branches_of, files_of, new_frame, opened
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
    TwoWrites,
    branch_step,
    in_order,
    is_branch,
    is_line,
    item_step,
    merged,
    words,
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
    "TwoWrites",
    "Watch",
    "alike",
    "audit",
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
    "item_step",
    "json_values",
    "merged",
    "new_frame",
    "opened",
    "report",
    "stack_of",
    "words",
]
