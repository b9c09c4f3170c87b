"""How things are installed: by pip into an environment of the servers' own, by npm below a folder, by apt for the machine."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.needs.where import HERE, PYTHON

SECONDS = 900
"""An installation that takes longer than this does not come to an end."""


class CannotBeHad(Exception):
    """Why something cannot be installed here, in half a sentence."""


def pip(*what: str) -> None:
    """Install into the servers' environment. Raises CannotBeHad."""
    python = PYTHON / "bin" / "python"
    if not python.exists():
        _do("venv", [sys.executable, "-m", "venv", str(PYTHON)])
    _do("pip", [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what])


def own(*what: str) -> None:
    """Install into the environment that the tests run in: what the project imports where it is there. Raises CannotBeHad."""
    quiet = ["--quiet", "--disable-pip-version-check"]
    _do("pip", [sys.executable, "-m", "pip", "install", *quiet, *what])
    importlib.invalidate_caches()


def npm(where: Path, package: str) -> None:
    """Install a package of Node's below a folder, without running its scripts. Raises CannotBeHad."""
    command = _node("npm")
    environment = {"PATH": f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    quiet = ["--silent", "--no-fund", "--no-audit", "--ignore-scripts"]
    _do("npm", [*command, "install", *quiet, "--prefix", str(where), package], environment)


def apt(*packages: str) -> None:
    """Install Debian's packages for the whole machine. Raises CannotBeHad, also where that is not ours to do."""
    if shutil.which("apt-get") is None:
        raise CannotBeHad(f"there is no apt-get here to install {' '.join(packages)} with")
    if os.geteuid() != 0:
        raise CannotBeHad(f"installing {' '.join(packages)} takes root: apt-get install {' '.join(packages)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    _do("apt-get", ["apt-get", "-qq", "update"], quiet)
    _do("apt-get", ["apt-get", "-qq", "install", "--no-install-recommends", *packages], quiet)


def node() -> str | None:
    """The command of Node: the machine's, or the one that was installed by pip; None where there is none yet."""
    own = PYTHON / "bin" / "node"
    return shutil.which("node") or (str(own) if own.exists() else None)


def _node(tool: str) -> list[str]:
    """The command of one of Node's tools; pip brings Node, as a package of its own, where the machine has none."""
    if (found := shutil.which(tool)) is not None and shutil.which("node"):
        return [found]
    own = PYTHON / "bin" / tool
    if not own.exists():
        pip("-r", str(HERE / "node.txt"))
    return [str(own)]


def _do(tool: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise CannotBeHad(f"{tool} was not done after {SECONDS} s") from e
    except OSError as e:
        raise CannotBeHad(f"{tool} cannot be run: {e.strerror}") from e
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if line.lower().startswith(("error", "e:", "npm error"))]
        last = (errors or said or [f"exit code {done.returncode}"])[-1]
        raise CannotBeHad(f"{tool} could not install {command[-1]}: {last}")
