"""The engine's own errors: a small numbered set.

A message is one paragraph: what happened, where, and what to do next. `code` is stable and may be
searched for; `exit_code` is what the command line ends with (2 bad input, 3 stopped and resumable).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


class FsmError(Exception):
    """Base of every error the engine raises on purpose."""

    code: ClassVar[str] = "F000"
    exit_code: ClassVar[int] = 2

    def __str__(self) -> str:
        return f"{super().__str__()} [{self.code}]"

    @property
    def message(self) -> str:
        """The paragraph without the code."""
        return super().__str__()


class DiagramError(FsmError):
    """A drawing that can be read but not run: an unknown state, an ambiguous owner, an undecided exit."""

    code = "F101"


class MachineError(FsmError):
    """A machine declares something that its drawing does not have."""

    code = "F102"


class CheckFailed(FsmError):
    """`fsm check` found errors; the run was not begun."""

    code = "F103"


class UnknownLabel(FsmError):
    """A handler named an edge that its state does not have: a programming error."""

    code = "F201"
    exit_code = 3


class PhaseError(FsmError):
    """A phase does not fit its machine: a handler without a state, or a state without a handler."""

    code = "F202"


class MissingArtifact(FsmError):
    """A name was opened that no state of this run has put."""

    code = "F203"
    exit_code = 3


class MissingExtra(FsmError):
    """A library that an extra of an installed package brings is not there."""

    code = "F205"
    exit_code = 3


class NotJson(FsmError):
    """A handler left something in its durable data that JSON cannot hold."""

    code = "F204"
    exit_code = 3


class TimeLimit(FsmError):
    """A state, a visit, a stay in a composite or a run took longer than its machine allows."""

    code = "F206"
    exit_code = 3


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong with a configuration.

    `file` is the file, or the option of the command line (`--seed`) that said it. `line` and `column` count from 1; they are
    0 where no place in the file can be named.
    """

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}:{self.column}: {self.message}"
            if self.line
            else f"{self.file}: {self.message}"
        )


class ConfigError(FsmError):
    """The configuration cannot be read, or says something it may not say.

    `mistakes` are all the things that are wrong with a file, in its order, and the message has one in each line; empty for
    what is wrong elsewhere.
    """

    code = "F301"
    mistakes: tuple[Mistake, ...] = ()

    @classmethod
    def of(cls, mistakes: Sequence[Mistake]) -> Self:
        """The error that says all of them."""
        error = cls("\n".join(map(str, mistakes)))
        error.mistakes = tuple(mistakes)
        return error


class ConfigChanged(FsmError):
    """The configuration or a drawing is not the one the run was started with."""

    code = "F302"


class StoreError(FsmError):
    """The store cannot be written or read."""

    code = "F401"
    exit_code = 3


class NoSuchRun(FsmError):
    """No run of that name in the store."""

    code = "F402"


class NewerFormat(FsmError):
    """The run was written by a newer version."""

    code = "F403"


class JournalDamaged(FsmError):
    """A record is unreadable, out of order, or does not fit the one before it."""

    code = "F404"


class RunBusy(FsmError):
    """Another runner is alive on this run."""

    code = "F405"


class NotThatRun(FsmError):
    """A run stands under another name than its own, or its header was changed: it can be read, not gone on with."""

    code = "F407"


class ScratchNeeded(FsmError):
    """What would be removed is what a stopped run goes on from."""

    code = "F408"


class NotThere(FsmError):
    """A run does not stand in the state that is to be left."""

    code = "F414"


class PastNeeded(FsmError):
    """What would be removed is the past of a fork, or it is gone."""

    code = "F415"


class SettingUsed(FsmError):
    """A fork would change a setting that its past was already made with."""

    code = "F303"


class NotAcceptable(FsmError):
    """The history of a run does not fit into the drawing that it is to go on under."""

    code = "F304"


class RunReplaced(FsmError):
    """Another runner has taken this run over; this one may not write to it any more."""

    code = "F406"
    exit_code = 3


class Unanswered(FsmError):
    """A service that the run depends on gave no clear answer for as long as the configuration has patience."""

    code = "F409"
    exit_code = 3


class RunOver(FsmError):
    """The run has ended: there is nothing to cancel, to answer, or to stand in."""

    code = "F410"


class NotAsking(FsmError):
    """The run does not ask that, or has had its answer."""

    code = "F411"


class NotOver(FsmError):
    """What is kept of a run is freed when it is over, and this one is not."""

    code = "F412"


class Retired(StoreError):
    """The artifact was freed when its run was retired."""

    code = "F413"
    exit_code = 2


class RunExists(FsmError):
    """A run was to be begun under a name that has one."""

    code = "F420"
