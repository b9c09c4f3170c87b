"""`fsm new NAME`: a pipeline to begin with, that runs, is killed, resumes and can be proved."""

from __future__ import annotations

import keyword
import re
import sys
from importlib import resources
from pathlib import Path

from fsm.errors import ConfigError

PLACEHOLDER = "NAME"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def make(name: str, directory: Path | None = None) -> list[Path]:
    """Write the files of a new pipeline below a directory (default: the working one), and return them.

    Raises ConfigError for a name that cannot be one, and where there is something of that name already.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a pipeline: it stands in files, states and tests. Take small letters, digits and "
            "underscores, and begin with a letter."
        )
    if keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise ConfigError(
            f"{name!r} is a word or a module of Python, and a directory of that name would shadow it. Take another name."
        )
    target = (directory or Path()) / name
    try:
        target.mkdir(parents=True)
    except FileExistsError as e:
        raise ConfigError(f"{target} is there already, and nothing was written. Take another name.") from e
    except OSError as e:
        raise ConfigError(f"{target} cannot be made: {e.strerror}. Go where you may write.") from e
    written = []
    for template in sorted(resources.files(__package__).joinpath("template").iterdir(), key=lambda t: t.name):
        if template.is_file() and template.name.endswith((".mmd", ".py", ".yaml")):
            path = target / template.name.replace(PLACEHOLDER, name)
            path.write_text(template.read_text("utf-8").replace(PLACEHOLDER, name), "utf-8")
            written.append(path)
    return written
