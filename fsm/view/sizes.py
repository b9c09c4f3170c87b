"""Sizes as people say them."""

from __future__ import annotations

UNITS = ("kB", "MB", "GB", "TB")  # each a thousand of the one before


def size(count: int) -> str:
    """`0 B`, `812 B`, `1.2 kB`, `34 MB`, `5.6 GB`."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in UNITS:
        value /= 1000
        if value < 999.5 or unit == UNITS[-1]:
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
