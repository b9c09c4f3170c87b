"""Who may read what a run writes: its owner alone, or a group. Decided once, by the mode of the run's directory.

A file of a run allows what the directory of the run allows, so every process that writes there does the same, whatever
its umask and however it was told of the store; and `chmod` of the directory opens or closes what is written from then on.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fsm.errors import ConfigError

PRIVATE = 0o700
GROUP = 0o2770  # what is made inside belongs to the directory's group, not to its maker's
MODES = {"private": PRIVATE, "group": GROUP}


def mode_of(word: object) -> int:
    """The mode of directories that a word of the configuration stands for. Raises ConfigError."""
    if not isinstance(word, str) or word not in MODES:
        raise ConfigError(
            f"store_options.mode: {word!r} is not a mode; there are: {', '.join(MODES)}. Correct the configuration."
        )
    return MODES[word]


def make_directory(path: Path, mode: int) -> None:
    """Make a directory of exactly this mode, and those above it as the umask has it; one that is there stays as it is.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=PRIVATE)
    except FileExistsError:
        return
    path.chmod(mode)


def open_to_group(path: Path, mode: int) -> None:
    """Open a directory that is there, where the mode is a group's: what is made in it could not be reached otherwise."""
    with suppress(PermissionError):  # another's: it is theirs to open
        there = path.stat().st_mode & 0o7777
        if mode & 0o070 and there & 0o070 != 0o070:
            path.chmod(there | (mode & 0o2070))


def of_files(directory: int) -> int:
    """The mode of files in a directory of this mode."""
    return directory & 0o666


def of_artifacts(directory: int) -> int:
    """The mode of files in it that nobody writes to any more."""
    return directory & 0o444
