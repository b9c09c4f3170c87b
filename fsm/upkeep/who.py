"""Who acts, where nobody is named."""

from __future__ import annotations

import getpass


def who(by: str | None) -> str | None:
    """The name that is given, or that of this process's user; None where it has none, as in some containers."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None
