"""What of a run stayed without an answer, said to people: how many for which reason, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from phases.errors import AttemptsSpent, InvalidStructure, PipelineError
from phases.teacher_generation.asking import Result
from phases.teacher_generation.policy import KEPT

SHOWN = 10


def by_cause(results: Sequence[Result]) -> dict[str, int]:
    """How many have no answer, by the cause in a word: the most frequent first."""
    count = Counter(result.cause or "unknown" for result in results if not result.answered)
    return dict(sorted(count.items(), key=lambda found: (-found[1], found[0])))


def said(causes: Mapping[str, int]) -> str:
    """`truncated 3, network 1`."""
    return ", ".join(f"{cause} {number}" for cause, number in causes.items())


def within(failed: int, prompts: int, share: float) -> bool:
    """Whether no more of the prompts failed than the share allows."""
    return failed <= share * prompts


def too_many(results: Sequence[Result], share: float, lines: Mapping[str, int], where: str) -> PipelineError:
    """The error for more failures than the share allows: AttemptsSpent where asking again may help, else InvalidStructure.

    `lines` are the prompts' lines in the file `where`.
    """
    failed = [result for result in results if not result.answered]
    first = failed[0]
    number = len(results) - len(failed)
    answered = f"{number} of {len(results)}" if number else f"none of {len(results)}"
    numbers = sorted(lines[result.prompt] for result in failed if result.prompt in lines)
    place = f"line{'s' * (len(numbers) > 1)} "
    place += ", ".join(map(str, numbers[:SHOWN])) + (", ..." if len(numbers) > SHOWN else "")
    message = (
        f"{first.teacher} answered {answered} prompts; {len(failed)} have no answer, and "
        f"teacher_generation.max_failed_share {share:g} allows {int(share * len(results))}. By reason: {said(by_cause(results))}. "
        f"They stand in {place} of {where}; the first one failed with: {first.reason.rstrip('.')}. See teacher/failures.jsonl."
    )
    if any(result.passing for result in failed):
        return AttemptsSpent(f"{message} What failed for a passing reason is asked again by a resume. {KEPT}")
    return InvalidStructure(
        f"{message} That is the prompts' own: mend these lines, or raise teacher_generation.max_failed_share, and begin anew "
        f"with --fresh. {KEPT}"
    )


def not_corrected(passing: Sequence[Result], asked: int, share: float) -> AttemptsSpent:
    """The error for more corrections that failed for a passing reason than the share allows."""
    first = passing[0]
    return AttemptsSpent(
        f"{first.teacher} left {len(passing)} of {asked} prompts without a correction, and teacher_generation.max_failed_share {share:g} "
        f"allows {int(share * asked)}. By reason: {said(by_cause(passing))}; the first one failed with: {first.reason.rstrip('.')}. "
        f"A resume asks for these again. {KEPT}"
    )
