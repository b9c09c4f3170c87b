"""`fsm chat`: the student answers a prompt as in Generate of Diagram 4, and Diagram 6 scores the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phases.distillation import revived
from phases.distillation.stored import Stored
from phases.student.generate import answers


def chat(found: Stored, prompt: str, base: str | None = None) -> dict[str, Any]:
    """Ask and score; on a machine of the run's kind, a prompt of its sets gets the answer of the newest epoch.

    One object: run, epoch, adapter (its artifact), answer {prompt, text, tokens, cut, prompt_cut}, score (as
    `fsm score --json` prints it), note. Raises NotDistilled, and what loading the student raises.
    """
    prefix, epoch = revived.adapter(found)
    with revived.student_of(found, base) as student:
        said = answers(
            student.model, student.tokenizer, [prompt], revived.sampling(found), revived.draws(found)
        )
        answer = next(iter(said))[1]
    return {
        "run": found.name,
        "epoch": epoch,
        "adapter": f"{prefix}/adapter_model.safetensors",
        "answer": answer.to_json(),
        "score": revived.scores(found, [answer])[0].as_dict(),
        "note": revived.trained_elsewhere(found),
    }


def words(said: Mapping[str, Any]) -> Iterator[str]:
    """The score with its reasons, and what else is to be known of the answer."""
    score, answer = said["score"], said["answer"]
    verdict = "needs correction" if score["needs_correction"] else "acceptable"
    of = ", ".join(f"{k} {score[k]:.2f}" for k in ("syntax", "protocol", "safety", "style"))
    yield f"score {score['overall']:.2f}, {verdict} ({of}; domain {score['domain']})"
    for r in score["reasons"]:
        line = f", line {r['line']}" if r["line"] else ""
        yield f"  {r['points']:+.2f}  {r['rule']}{line}: {r['note']}"
    yield f"{answer['tokens']} tokens by the student of epoch {said['epoch']} of run {said['run']}"
    if answer["prompt_cut"]:
        yield "The prompt was longer than the student reads, and lost the end of its text."
    if answer["cut"]:
        yield "The answer did not end by itself: it was cut at max_new_tokens."
    if said["note"]:
        yield str(said["note"])
