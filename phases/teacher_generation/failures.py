"""What of a run stayed without an answer, said to people: how many for which reason, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from phases.errors import AttemptsSpent, InvalidStructure, PipelineError
from phases.teacher_generation.asking import Result
from phases.teacher_generation.policy import KEPT
from phases.teacher_generation.summary import ordered

SHOWN = 10


def by_cause(results: Iterable[Result]) -> dict[str, int]:
    """How many have no answer, by the cause in a word: the most frequent first."""
    return ordered(Counter(result.cause or "unknown" for result in results if not result.answered))


def said(causes: Mapping[str, int]) -> str:
    """`truncated 3, network 1`."""
    return ", ".join(f"{cause} {number}" for cause, number in causes.items())


def within(failed: int, prompts: int, share: float) -> bool:
    """Whether no more of the prompts failed than the share allows."""
    return failed <= share * prompts


def too_many(
    failed: Sequence[Result], prompts: int, share: float, lines: Mapping[str, int], where: str
) -> PipelineError:
    """The error for more failures than the share allows: AttemptsSpent where asking again may help, else InvalidStructure.

    `failed` are those of `prompts` that have no answer; `lines` are the prompts' lines in the file `where`.
    """
    first = failed[0]
    answered = prompts - len(failed)
    message = (
        f"{first.teacher} answered {f'{answered} of' if answered else 'none of'} {prompts} prompts; {len(failed)} have no answer, and "
        f"teacher_generation.max_failed_share {share:g} allows {int(share * prompts)}. By reason: {said(by_cause(failed))}. "
        f"They stand in {_place(failed, lines)} of {where}; the first one failed with: {first.reason.rstrip('.')}. "
        "See teacher/failures.jsonl."
    )
    if any(result.passing for result in failed):
        return AttemptsSpent(f"{message} What failed for a passing reason is asked again by a resume. {KEPT}")
    return InvalidStructure(
        f"{message} That is the prompts' own: mend these lines, or raise teacher_generation.max_failed_share, and give the same "
        f"command again. {KEPT}"
    )


def too_many_turned_away(
    away: Sequence[Result], prompts: int, share: float, check: str, lines: Mapping[str, int], where: str
) -> InvalidStructure:
    """The error for a teacher whose answers are nothing to learn from."""
    first = away[0]
    return InvalidStructure(
        f"Of {first.teacher}'s answers to {prompts} prompts {len(away)} are nothing to learn from ({said(by_cause(away))}), and "
        f"teacher_generation.max_turned_away_share {share:g} allows {int(share * prompts)}. They answer {_place(away, lines)} of {where}; "
        f"the first one is {first.reason.rstrip('.')}. See teacher/turned_away.jsonl. Ask another teacher, or mend the prompts, or ask "
        f"less of an answer (teacher_generation.check is {check!r}); where the share is raised the same command goes on. {KEPT}"
    )


def _place(results: Sequence[Result], lines: Mapping[str, int]) -> str:
    numbers = sorted(lines[result.prompt] for result in results if result.prompt in lines)
    named = ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
    return f"line{'s' * (len(numbers) > 1)} {named}"


def not_corrected(passing: Sequence[Result], asked: int, share: float) -> AttemptsSpent:
    """The error for more corrections that failed for a passing reason than the share allows."""
    first = passing[0]
    return AttemptsSpent(
        f"{first.teacher} left {len(passing)} of {asked} prompts without a correction, and teacher_generation.max_failed_share {share:g} "
        f"allows {int(share * asked)}. By reason: {said(by_cause(passing))}; the first one failed with: {first.reason.rstrip('.')}. "
        f"A resume asks for these again. {KEPT}"
    )
