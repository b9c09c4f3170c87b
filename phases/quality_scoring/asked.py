"""The names that a prompt gives in backquotes: what it is about, in words that can be looked for in the answer."""

from __future__ import annotations

import re

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_NAMED = re.compile(r"`(?:[^`(]*[^\w`(])?([A-Za-z_]\w{2,})\s*(?:\([^`]*)?`")
"""`name`, `name(...)`, `struct name`, `static uint32_t name(void)`."""

_COMMON = re.compile(
    "auto|break|case|char|const|continue|default|double|else|enum|extern|float|for|goto|if|inline|int|long|register|"
    "restrict|return|short|signed|sizeof|static|struct|switch|typedef|union|unsigned|void|volatile|while|"
    r"bool|true|false|NULL|main|\w+_t"
)


def named(prompt: str) -> frozenset[str]:
    """The identifiers that the prompt names, code it brings along in fences aside.

    What is `common` to all code says nothing about what is asked.
    """
    return frozenset(n for n in _NAMED.findall(_FENCED.sub(" ", prompt)) if not common(n))


def common(name: str) -> bool:
    """Whether it is a word of the language, or a name that any code may have (`uint32_t`, `NULL`)."""
    return bool(_COMMON.fullmatch(name))
