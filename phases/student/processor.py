"""The processor and the libraries, as far as they decide the bits of a floating-point result."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

FEATURES = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_bf16",
    "amx_tile",
    "asimd",
    "sve",
    "bf16",
)
"""Instruction sets by which BLAS, oneDNN and bitsandbytes choose their kernels, as /proc/cpuinfo names them."""


@cache
def features() -> tuple[str, ...]:
    """Those of FEATURES that this processor has; empty where /proc/cpuinfo does not exist."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ()
    flags: set[str] = set()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            flags.update(value.split())
            break
    return tuple(f for f in FEATURES if f in flags)


def kind() -> str:
    """One line that is equal on processors where results can be expected to be equal to the bit."""
    return " ".join((platform.machine(), *features()))


def versions() -> dict[str, str]:
    """The versions of the libraries that decide what comes out, by name."""
    return {name: version(name) for name in ("torch", "transformers", "trl", "peft", "bitsandbytes")}


def here() -> dict[str, Any]:
    """What a checkpoint and a training note of the place they were made at: the processor's kind and the versions."""
    return {"processor": kind(), "versions": versions()}


def elsewhere(said: Mapping[str, Any]) -> str:
    """How the place that was noted (as by `here`) differs from this one, in a phrase; empty where it does not."""
    parts = []
    if (there := said.get("processor")) != kind():
        parts.append(f"on another kind of processor ({there}; here {kind()})")
    now = versions()
    noted = said.get("versions", now)
    other = [f"{name} {noted.get(name)}, here {now[name]}" for name in now if noted.get(name) != now[name]]
    if other:
        parts.append(f"with other versions of the libraries ({'; '.join(other)})")
    return " and ".join(parts)
