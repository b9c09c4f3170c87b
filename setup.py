"""What pyproject.toml cannot say: the drawings and the configurations, which lie beside the packages, go into a wheel inside them."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

INSIDE = {"diagrams": "machines/diagrams", "configs": "phases/configs"}


class BuildPy(build_py):
    """The modules, and what lies beside them in a checkout; an installation for working on it keeps them there."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for beside, inside in INSIDE.items():
                target = Path(self.build_lib) / inside
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(Path(__file__).parent / beside, target)


setup(cmdclass={"build_py": BuildPy})
