"""`fsm prove CONFIG`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from fsm import config as configs
from fsm.check import refuse
from fsm.errors import ConfigError
from fsm.prove.prove import prove as proved
from fsm.prove.prove import table
from fsm.speech import out, spoken

BAR = 30  # characters


def prove(file: Path, machine: str | None, sample: int | None, modules: str, as_json: bool) -> int:
    """Prove a configuration's pipeline, and print the table: 0 where every state is safe, 1 where one is not."""
    if sample is not None and sample < 1:
        raise ConfigError(
            f"--sample {sample}: a proof of no kills proves nothing. Give 1 or more, or leave it out."
        )
    overrides = {"machine": machine} if machine else {}
    refuse(configs.load(file, overrides).program)
    began = time.monotonic()
    kills = 0

    def told(done: int, of: int, unsafe: int) -> None:
        nonlocal kills
        kills = of
        if sys.stderr.isatty():
            full = BAR * done // of
            left = (time.monotonic() - began) / done * (of - done)
            text = f"\r[{'#' * full}{'.' * (BAR - full)}] {done}/{of} kills, {unsafe} unsafe, {left:.0f} s left  "
            spoken(sys.stderr, text if done < of else "\r" + " " * len(text) + "\r")

    wanted = tuple(name for name in modules.split(",") if name)
    states = proved(file, overrides, sample=sample, modules=wanted, told=told)
    unsafe = sum(bool(state.unsafe) for state in states)
    for line in [json.dumps(s.as_json(), ensure_ascii=False) for s in states] if as_json else table(states):
        out(line)
    if not as_json:
        seconds = time.monotonic() - began
        verdict = (
            f"{unsafe} of {len(states)} states are not safe"
            if unsafe
            else f"all {len(states)} states are safe"
        )
        out(f"{kills} kills in {seconds:.0f} s: {verdict}")
    return 1 if unsafe else 0
