"""Durations as people say them."""

from __future__ import annotations


def elapsed(seconds: float) -> str:
    """A duration that still grows, not so fine that it flickers: `0.4s`, `42s`, `1:05`."""
    return f"{seconds:.1f}s" if seconds < 0.9995 else duration(seconds)


def duration(seconds: float) -> str:
    """`420ms`, `9.1s`, `42s`, `1:05`, `2:03:04`, `3d 4h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour}h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
