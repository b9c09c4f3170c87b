"""What tests need beside the project's own packages: a compiler, a browser and servers; set up once, or named as missing.

`python -m tests` sets it up before it runs the tests, `python -m tests.needs` does only that: each is told in one line
with what it takes, and lies below `build/` (or is Debian's own package). A test calls `require(name)`.
"""

from tests.needs.listed import NEEDS, Need, lacking, needing, prepare, require

__all__ = ["NEEDS", "Need", "lacking", "needing", "prepare", "require"]
