"""A command, which wants what an extra brings."""

import starch_that_nobody_has  # noqa: F401
