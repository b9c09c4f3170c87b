"""Checkpoints that can be trusted: complete or not there.

A checkpoint is a directory `checkpoint-N` (N optimizer steps). Its last file is SENTINEL, which holds the digest
of every other, and of the weights beside it that were the best so far; without it, or with a digest that does not
fit, the checkpoint is not resumed from. transformers' `get_last_checkpoint` takes the highest number even where the
optimizer's, the scheduler's or the random state is missing, and goes on with other weights than it would have had,
saying nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SENTINEL = "complete.json"
ABOVE = "../"
NEEDED = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json", "follow.json")
"""Files without which a resume would not be exact; the random states, one for each process, come on top."""

_NAME = re.compile(r"checkpoint-(\d+)$")


@dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint after `step` optimizer steps; `said` is what was put into its sentinel."""

    path: Path
    step: int
    said: Mapping[str, Any]


def begin(path: Path) -> None:
    """Clear the place where a checkpoint is about to be written, its sentinel before all else."""
    (path / SENTINEL).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)


def seal(path: Path, said: Mapping[str, Any], beside: Collection[str] = ()) -> None:
    """Mark a checkpoint complete: the digests of its files and `said`, written last and moved into place.

    `beside` are names of files in the directory above that it needs too: it is complete only while they are there.
    Raises FileNotFoundError when one of them, a file of NEEDED or the random state is not there.
    """
    names = sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
    for name in NEEDED:
        if name not in names:
            raise FileNotFoundError(f"{path} lacks {name}; it cannot be resumed from exactly.")
    if not any(name.startswith("rng_state") for name in names):
        raise FileNotFoundError(f"{path} lacks its random state; it cannot be resumed from exactly.")
    digests = {name: _digest(path / name) for name in (*names, *(ABOVE + name for name in beside))}
    part = path / f".{SENTINEL}"
    with part.open("w") as f:
        json.dump({"files": digests, "said": dict(said)}, f, indent=1, sort_keys=True)
        f.flush()
        os.fsync(f.fileno())
    part.rename(path / SENTINEL)


def beside(root: Path) -> set[str]:
    """The names of the files that some checkpoint below `root` needs beside it."""
    found = set()
    for path in _sorted(root):
        with suppress(OSError, ValueError, KeyError):
            files = json.loads((path / SENTINEL).read_text())["files"]
            found |= {name.removeprefix(ABOVE) for name in files if name.startswith(ABOVE)}
    return found


def complete(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None where it is unfinished, torn, or not a checkpoint."""
    match = _NAME.search(path.name)
    try:
        sentinel = json.loads((path / SENTINEL).read_text())
        files, said = sentinel["files"], sentinel["said"]
        whole = all(_digest(path / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError):
        return None
    return Checkpoint(path, int(match[1]), said) if match and whole else None


def newest(root: Path) -> Checkpoint | None:
    """The complete checkpoint with the most steps below `root`, or None."""
    for path in reversed(_sorted(root)):
        if found := complete(path):
            return found
    return None


def newest_below(root: Path) -> Checkpoint | None:
    """The newest complete checkpoint of the last of several trainings below `root` (`epoch-10` after `epoch-9`)."""

    def order(path: Path) -> list[tuple[int, str]]:
        return [(int(word or 0), text) for text, word in re.findall(r"(\D+)(\d*)", str(path))]

    trainings = {p.parent for p in root.rglob("checkpoint-*") if p.is_dir()}
    return next(filter(None, map(newest, sorted(trainings, key=order, reverse=True))), None)


def prune(root: Path, kept: int, best: Collection[int] = ()) -> list[Path]:
    """Remove all but the newest `kept` complete checkpoints; returns what went.

    Never the newest complete one, never one after a step in `best`. Unfinished ones go as soon as a complete
    one is newer.
    """
    whole = {path: found for path in _sorted(root) if (found := complete(path))}
    newest_step = max((c.step for c in whole.values()), default=-1)
    stay = {c.step for c in sorted(whole.values(), key=lambda c: c.step)[-max(kept, 1) :]} | set(best)
    gone = []
    for path in _sorted(root):
        step = _step(path)
        if step < newest_step and (path not in whole or step not in stay):
            (path / SENTINEL).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)
            gone.append(path)
    return gone


def clean(root: Path) -> int:
    """CleanCheckpoints of Diagram 8: every checkpoint below `root` but the newest and the best; the bytes freed.

    `root` may hold several trainings, each with its own checkpoints. Nobody may be writing there: an unfinished
    checkpoint goes too, for it is what the disk was too small for.
    """
    before = _size(root)
    for training in sorted({p.parent for p in root.rglob("checkpoint-*") if p.is_dir()}):
        for path in _sorted(training):
            if not (path / SENTINEL).is_file():
                shutil.rmtree(path, ignore_errors=True)
        last = newest(training)
        prune(training, 1, {last.said["best_step"]} if last and last.said.get("best_step") else set())
    return before - _size(root)


def _size(root: Path) -> int:
    return sum(p.stat().st_size for p in root.rglob("*") if p.is_file())


def _sorted(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted((p for p in root.iterdir() if p.is_dir() and _NAME.search(p.name)), key=_step)


def _step(path: Path) -> int:
    match = _NAME.search(path.name)
    assert match is not None
    return int(match[1])


def _digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
