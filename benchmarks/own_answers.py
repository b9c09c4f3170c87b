"""What self-training lets in, and whom it asks about: a student that errs in numbers, judged by the filter of Diagram 4.

    python -m benchmarks.own_answers [--prompts 36] [--seed 1]

No model is trained. Each prompt of the offline teacher is answered four times: by the teacher's function, or, as often as
--wrong says, by it with one of its numbers changed, which is what small students mostly get wrong. `alike` of the mistakes
are the same each time, as those of a student are that has learned them. Told are, of the answers that are kept, how many do what
the teacher's does; and of the third of the prompts that would be asked about, how many have no right answer kept, beside a third at
random. A minute of CPU; results go to benchmarks/results/own_answers.json.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.common import RESULTS, machine, rounded
from phases.distillation.agreement import Judged, kept
from phases.distillation.alike import Alike
from phases.distillation.choosing import unsure
from phases.distillation.config import AcceptConfig
from phases.distillation.report import RIGHT
from phases.quality_scoring import QualityScoringConfig, Score, score_many
from phases.quality_scoring.behaviour import beside
from phases.teacher_generation.offline import generate
from phases.teacher_generation.offline.teacher import write_function

SAMPLES = (1, 2, 3, 4)
ALIKE = (0.0, 0.5, 1.0)
ACCEPT = AcceptConfig()
SCORING = QualityScoringConfig()
_NUMBER = re.compile(r"(?<![\w.])(\d+)U")


def answers(prompt: str, wrong: float, alike: float, rng: random.Random) -> Iterator[str]:
    """Answers without end."""
    right = write_function(prompt)
    numbers = list(_NUMBER.finditer(right))
    while True:
        if not numbers or rng.random() >= wrong:
            yield right
            continue
        found = numbers[0] if (same := rng.random() < alike) else rng.choice(numbers)
        value = int(found[1]) + (6 if same else rng.randint(1, 40))
        yield f"{right[: found.start()]}{value}U{right[found.end() :]}"


def measured(prompts: list[str], wrong: float, alike: float, seed: int) -> dict[str, Any]:
    """What is kept of one student's answers by the score alone, and by the filter with more and more samples."""
    rng = random.Random(seed)
    said = {
        p: [text for text, _ in zip(answers(p, wrong, alike, rng), SAMPLES, strict=False)] for p in prompts
    }
    found = score_many([(t, p) for p, texts in said.items() for t in texts], SCORING)
    scores = {p: found[n * len(SAMPLES) :][: len(SAMPLES)] for n, p in enumerate(said)}
    by_score = [p for p in prompts if scores[p][0].overall >= ACCEPT.score and scores[p][0].syntax == 10]
    told: dict[str, Any] = {"score alone": _told([(p, said[p][0]) for p in by_score])}
    for number in SAMPLES:
        judgements = [_judged(p, said[p][:number], scores[p][:number]) for p in prompts]
        own = [(k.prompt, k.sample.text) for k in kept(judgements, ACCEPT, len(prompts))]
        told[f"{number} samples"] = _told(own)
    done = {p for p, text in own if right(p, text)}
    third = len(prompts) // 3
    asked = {p.prompt for p in unsure(judgements, ACCEPT, third)}
    told["asked"] = {
        "asked": len(asked),
        "unable": len(asked - done),
        "by chance": third * (1 - len(done) / len(prompts)),
    }
    return told


def right(prompt: str, text: str) -> bool:
    """Whether an answer does what the teacher's does."""
    found = beside(text, write_function(prompt), prompt, SCORING.behaviour)
    return found.score is not None and found.score >= RIGHT


def _told(answered: list[tuple[str, str]]) -> dict[str, int]:
    return {"kept": len(answered), "right": sum(right(p, text) for p, text in answered)}


def _judged(prompt: str, texts: list[str], scores: list[Score]) -> Judged:
    return Alike(texts, prompt, SCORING, scores).judged(prompt, [-0.1] * len(texts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=36)
    parser.add_argument("--wrong", type=float, default=0.5, help="share of answers with a changed number")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    prompts = [p.text for p in generate("train", args.prompts, args.seed)]
    began = time.process_time()
    found = {f"{alike:.0%} alike": measured(prompts, args.wrong, alike, args.seed) for alike in ALIKE}
    for name, told in found.items():
        print(f"\n{name:16}{'kept':>6}{'right':>7}")
        for row, of in told.items():
            if row != "asked":
                print(
                    f"{row:16}{of['kept']:6}{of['right']:7}  {of['right'] / of['kept'] if of['kept'] else 0:.0%}"
                )
        asked = told["asked"]
        print(
            f"asked about {asked['asked']}: {asked['unable']} of them it can't do; by chance {asked['by chance']:.1f}"
        )
    said = {
        "machine": machine(()),
        "settings": vars(args),
        "cpu_seconds": time.process_time() - began,
        "found": found,
    }
    (RESULTS / "own_answers.json").write_text(json.dumps(rounded(said), indent=1) + "\n")


if __name__ == "__main__":
    main()
