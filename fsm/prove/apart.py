"""A session of a trial in an interpreter of its own: `python -m fsm.prove.apart JSON`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsm import config as configs
from fsm.prove.trial import Trial


def main() -> int:
    """Run it; the exit code is the session's."""
    said = json.loads(sys.argv[1])
    directory = Path(said["directory"])
    return Trial(scratched(Path(said["file"]), directory, said["overrides"]), directory).session()


def scratched(file: Path, directory: Path, overrides: Mapping[str, Any]) -> configs.Config:
    """A configuration with its store and its scratch below a directory, calling out to nobody."""
    where = {"store": str(directory / "store"), "work": str(directory / "work"), "notify": None}
    return configs.load(file, {**overrides, **where, "store_options": {}})


if __name__ == "__main__":
    sys.exit(main())
