"""Keeping secrets out of what is written and shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

MASK = "**********"


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """What takes secrets out of a text, also in the forms in which JSON and `repr` write them."""
    written = {form for s in secrets if s for form in (s, json.dumps(s)[1:-1], _json(s), repr(s)[1:-1])}
    longest_first = sorted(written, key=lambda form: (-len(form), form))  # one secret may begin another

    def redact(text: str) -> str:
        for form in longest_first:
            if form in text:
                text = text.replace(form, MASK)
        return text

    return redact


def _json(secret: str) -> str:
    return json.dumps(secret, ensure_ascii=False)[1:-1]
