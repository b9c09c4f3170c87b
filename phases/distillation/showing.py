"""What a teacher that is a model is shown of an attempt: the code, the compiler's messages, the first input it fails on.

Asked for the smallest change that makes the attempt right, a teacher's answer stays near to what the student can say, and is
learned from less of it (PERsD, arXiv:2310.18628).
"""

from __future__ import annotations

from collections.abc import Sequence

from phases.quality_scoring import Score
from phases.teacher_generation.teacher import Teacher
from phases.turns import spell, turns

MOST_MESSAGES = 8
_ASKED = (
    "{found}\n\nCorrect it with the smallest change that makes it right: it must compile without a warning and do what was asked. "
    "Keep everything else as it is. Answer with the whole corrected C code, in one block, and nothing else."
)


def can_be_shown(teacher: Teacher) -> bool:
    """Whether a teacher is a model, whose answer depends on all that it is asked; the offline one writes by template."""
    return teacher.question("Write a C function.") is not None


def question(prompt: str, attempt: str, score: Score) -> str:
    """The prompt with the student's attempt as its answer, and what is wrong with it as the next turn."""
    if not attempt.strip():
        return prompt
    found = [*_compiler(score), *_behaviour(score)]
    said = (
        "That is not right yet:\n" + "\n".join(f"- {line}" for line in found)
        if found
        else "That is not good enough yet, though it compiles."
    )
    return spell(
        [
            *turns(prompt),
            {"role": "assistant", "content": attempt},
            {"role": "user", "content": _ASKED.format(found=said)},
        ]
    )


def _compiler(score: Score) -> Sequence[str]:
    """What the compiler says, the first messages of it, and what is missing altogether."""
    told = [r for r in score.reasons if r.rule.startswith("SyntaxCheck.") and r.line is not None]
    lines = [f"line {r.line}: {r.note}" for r in told]
    whole = (
        "SyntaxCheck.Score0",
        "SyntaxCheck.TryGCC",
    )  # no code, another question's answer, what cannot be read
    lines += [r.note for r in score.reasons if r.rule in whole and r.line is None]
    return lines[:MOST_MESSAGES]


def _behaviour(score: Score) -> Sequence[str]:
    """The first input that it fails on: where it does something else than it should, or does not bear it; or why it is none that
    could be called."""
    told = score.behaviour
    if told is None:
        return ()
    if told.first is not None:
        return (f"on {told.first.input} it should give {told.first.expected}, and gives {told.first.got}",)
    traps = [note for line, note in told.findings if line is None and told.inputs]
    return traps[:1] or ([told.reason] if told.score is not None and told.reason and not told.inputs else [])
