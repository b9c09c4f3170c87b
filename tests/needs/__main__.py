"""`python -m tests.needs`: set up what the tests need; the exit code is 1 where something cannot be had."""

import sys

from tests.needs import prepare

sys.exit(1 if prepare() else 0)
