"""`fsm merge`: the final adapter merged into the base weights at 16 bit, and what that does to the frozen set's scores.

The adapter was trained on a base in 4 bits and has learned to make up for its errors; on the exact base those
corrections are errors themselves. So the merged model is not the student, and how far it is from it is measured: it
is loaded from where it was saved and answers the frozen set with the student's own draws, prompt by prompt.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fsm.errors import ConfigError
from phases.distillation import report, revived, student
from phases.distillation.stored import Stored
from phases.student import merging
from phases.student.generate import answers

RECORD = "merge.json"

Say = Callable[[str], None]


def merge(found: Stored, target: Path, base: str | None = None, say: Say = print) -> dict[str, Any]:
    """Merge into the directory `target`, which is complete as soon as it is there, and measure the drift.

    One object, kept beside the weights as merge.json: run, epoch, adapter and its sha256, base, dtype, directory, and
    drift: outputs, equal (answers that are the student's to the letter), student, merged and difference, each with
    mean, low and high of every dimension (difference: merged less student, prompt by prompt), and note.
    Raises ConfigError where `target` is taken, NotDistilled, and what loading the base and its adapter raises.
    """
    _free(target)
    prefix, epoch = revived.adapter(found)
    weights = f"{prefix}/adapter_model.safetensors"
    making = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with merging.writing(target):
            making.mkdir(exist_ok=True)
        with revived.base(found, base) as directory:
            say(f"merging the adapter of epoch {epoch} into {base or revived.training(found).model}")
            merging.merge(revived.trained_on(found, directory), found.open(weights).read_bytes(), making)
        say("answering the frozen set")
        said = {
            "run": found.name,
            "epoch": epoch,
            "adapter": weights,
            "sha256": found.fold.files[weights]["sha256"],
            "base": revived.training(found).model,
            "dtype": "bfloat16",
            "directory": str(target),
            "drift": drift(found, making, epoch),
            "note": revived.trained_elsewhere(found),
        }
        with merging.writing(target):
            (making / RECORD).write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", "utf-8")
            for path in making.iterdir():
                path.chmod(0o644)  # safetensors keeps its files from everyone else
            making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return said


def drift(found: Stored, directory: Path, epoch: int) -> dict[str, Any]:
    """The frozen set's answers and scores by the model in `directory`, against the student's recorded in `epoch`."""
    where = student.prefix(epoch)
    said = found.rows(f"{where}/held_out_outputs.jsonl")
    scored = found.rows(f"{where}/held_out_scores.jsonl")
    model, tokenizer = merging.load(
        merging.unquantised(revived.trained_on(found, str(directory)), "bfloat16")
    )
    prompts = [o["prompt"] for o in said]
    made = dict(answers(model, tokenizer, prompts, revived.sampling(found), revived.draws(found)))
    merged = [s.as_dict() for s in revived.scores(found, [made[place] for place in range(len(prompts))])]
    seed = student.derived(found.seed, "bootstrap")
    apart = [{d: m[d] - s[d] for d in report.DIMENSIONS} for m, s in zip(merged, scored, strict=True)]
    return {
        "outputs": len(prompts),
        "equal": sum(made[place].text == o["text"] for place, o in enumerate(said)),
        **{
            name: {d: report.interval([row[d] for row in rows], seed) for d in report.DIMENSIONS}
            for name, rows in (("student", scored), ("merged", merged), ("difference", apart))
        },
    }


def words(said: Mapping[str, Any]) -> Iterator[str]:
    """Where the merged model is, and how far it drifted."""
    drifted = said["drift"]
    yield f"{said['directory']}: the student of epoch {said['epoch']} of run {said['run']} merged into {said['base']}, {said['dtype']}"
    yield f"frozen set, {drifted['outputs']} prompts, {drifted['equal']} answers equal to the letter"
    yield f"  {'':10}{'student':>9}{'merged':>9}  difference (95% interval)"
    for d in report.DIMENSIONS:
        apart = drifted["difference"][d]
        yield (
            f"  {d:10}{drifted['student'][d]['mean']:9.2f}{drifted['merged'][d]['mean']:9.2f}  "
            f"{apart['mean']:+.2f} ({apart['low']:+.2f} to {apart['high']:+.2f})"
        )
    if said["note"]:
        yield str(said["note"])


def _free(target: Path) -> None:
    if target.exists():
        raise ConfigError(
            f"-o {target}: it is there already, and nothing is overwritten. Remove it, or choose another place."
        )
    if not target.absolute().parent.is_dir():
        raise ConfigError(
            f"-o {target}: there is no directory {target.absolute().parent}. Make it, or choose another place."
        )
