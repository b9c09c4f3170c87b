"""Under which licence a file stands: by its SPDX line, else by the words of its header, else by its tree's LICENSE.

Expressions are SPDX's (spdx.github.io/spdx-spec, annex "SPDX license expressions"): ids joined by OR, AND and WITH.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

UNKNOWN = "NOASSERTION"
"""SPDX's word for a licence that nothing was said about."""

_SPDX = re.compile(r"SPDX-License-Identifier:[ \t]*([^\n]*)")
_IDS = re.compile(r"\(|\)|[A-Za-z0-9.+:-]+")
_DEPRECATED = re.compile(r"((?:AGPL|LGPL|GPL)-\d\.\d)(\+)?$")
_FILE = re.compile(r"(?:LICEN[CS]E|COPYING|COPYRIGHT|UNLICENSE)(?:[.-][\w.-]+)?$", re.IGNORECASE)
_SPACE = re.compile(r"[\s*/#;]+")
_LATER = r"(?: as published by the free software foundation)?[^.]{0,80}?(?:any later version|or later)"
# The first that fits counts: words that a text must have, in lower case, and what else; to look for words costs little.
_WORDS: tuple[tuple[str, str, re.Pattern[str]], ...] = tuple(
    (spdx, words, re.compile(rf"\b{re.escape(words)}{rest}"))
    for spdx, words, rest in (
        (
            "GPL-2.0-only OR Linux-OpenIB",
            "choice of one of two licenses",
            r".{0,400}?general public license.{0,400}?openib\.org bsd license",
        ),
        (
            "LGPL-2.1-or-later",
            "gnu lesser general public license",
            rf"[^.]{{0,120}}version 2\.1.{{0,40}}?{_LATER}",
        ),
        (
            "LGPL-2.0-or-later",
            "gnu library general public license",
            rf"[^.]{{0,120}}version 2[ ,;].{{0,40}}?{_LATER}",
        ),
        (
            "LGPL-2.0-or-later",
            "gnu lesser general public license",
            rf"[^.]{{0,120}}version 2[ ,;].{{0,40}}?{_LATER}",
        ),
        (
            "LGPL-3.0-or-later",
            "gnu lesser general public license",
            rf"[^.]{{0,120}}version 3.{{0,40}}?{_LATER}",
        ),
        ("GPL-2.0-or-later", "gnu general public license", rf"[^.]{{0,120}}version 2.{{0,40}}?{_LATER}"),
        ("GPL-3.0-or-later", "gnu general public license", rf"[^.]{{0,120}}version 3.{{0,40}}?{_LATER}"),
        ("AGPL-3.0-or-later", "gnu affero general public license", ""),
        ("LGPL-2.1-only", "gnu lesser general public license", r".{0,120}?version 2\.1"),
        ("LGPL-3.0-only", "gnu lesser general public license", r".{0,120}?version 3"),
        ("LGPL-2.0-only", "gnu library general public license", r".{0,120}?version 2"),
        ("LGPL-2.0-only", "gnu lesser general public license", r".{0,120}?version 2"),
        ("GPL-3.0-only", "gnu general public license", r".{0,120}?version 3"),
        ("GPL-2.0-only", "gnu general public license", r".{0,120}?version 2"),
        ("GPL-2.0-only", "version 2 of the gnu general public license", ""),
        ("GPL-2.0-or-later", "gplv2", r"(?:\+| or (?:any )?later)"),
        ("GPL-2.0-or-later", "gpl v2", r"(?:\+| or (?:any )?later)"),
        ("GPL-2.0-only", "gplv2", r"\b"),
        ("GPL-2.0-only", "gpl v2", r"\b"),
        ("Apache-2.0", "apache license", r",? version 2\.0"),
        ("MPL-2.0", "mozilla public license", r",? (?:v\. ?|version )2\.0"),
        ("BSL-1.0", "boost software license", ""),
        ("MIT", "permission is hereby granted, free of charge, to any person obtaining a copy", ""),
        ("MIT", "mit license", r"\b"),
        ("ISC", "permission to use, copy, modify, and", r"(?:/or)? distribute this software for any purpose"),
        (
            "BSD-3-Clause",
            "redistribution and use in source and binary forms",
            r".{0,1500}?(?:neither the names? of|may not be used to endorse)",
        ),
        ("BSD-3-Clause", "bsd-style license", r"\b"),
        ("BSD-2-Clause", "redistribution and use in source and binary forms", ""),
        ("Zlib", "this software is provided 'as-is', without any express or implied warranty", ""),
        ("Unlicense", "this is free and unencumbered software released into the public domain", ""),
    )
)


class Licences(BaseModel):
    """Which licences may be trained on: SPDX ids, `*` standing for any characters (`GPL-*`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[str, ...] | None = None
    """Only these; null allows all. `NOASSERTION` is a file of which nothing is known."""
    deny: tuple[str, ...] = ()
    """Never these, even if allowed."""

    def keeps(self, licence: str) -> bool:
        """Whether code under an SPDX expression may be used: of an OR, one side is enough; of an AND, both must be."""
        return permits(licence, self._id)

    def _id(self, licence: str) -> bool:
        name = licence.lower()
        if any(fnmatchcase(name, pattern.lower()) for pattern in self.deny):
            return False
        return self.allow is None or any(fnmatchcase(name, pattern.lower()) for pattern in self.allow)


def permits(expression: str, allowed: Callable[[str], bool]) -> bool:
    """An SPDX expression evaluated; what follows WITH is an exception that grants more, and is not asked for."""
    tokens = _IDS.findall(expression)
    at = 0

    def alternatives() -> bool:
        nonlocal at
        found = both()
        while at < len(tokens) and tokens[at].upper() == "OR":
            at += 1
            found = both() or found
        return found

    def both() -> bool:
        nonlocal at
        found = one()
        while at < len(tokens) and tokens[at].upper() not in ("OR", ")"):
            at += tokens[at].upper() == "AND"
            found = one() and found
        return found

    def one() -> bool:
        nonlocal at
        if at >= len(tokens):
            return False
        token = tokens[at]
        at += 1
        if token == "(":
            found = alternatives()
            at += 1
            return found
        if at + 1 < len(tokens) and tokens[at].upper() == "WITH":
            at += 2
        return allowed(token)

    return alternatives()


def declared(text: str) -> str:
    """The licence that a text says it stands under; UNKNOWN where it says none. Reads a file's header, or a LICENSE."""
    if found := _SPDX.search(text):
        said = found[1].partition("*/")[0].partition("-->")[0]
        if tokens := _IDS.findall(said):
            return " ".join(map(_current, tokens)).replace("( ", "(").replace(" )", ")")
    plain = _SPACE.sub(" ", text).lower()
    return next((spdx for spdx, words, whole in _WORDS if words in plain and whole.search(plain)), UNKNOWN)


def _current(spdx: str) -> str:
    """The id that SPDX's list has for a deprecated one: GPL-2.0+ is GPL-2.0-or-later."""
    old = _DEPRECATED.match(spdx)
    return f"{old[1]}-{'or-later' if old[2] else 'only'}" if old else spdx


def is_licence_file(key: str) -> bool:
    """Whether a file is a tree's LICENSE or COPYING, by its name."""
    return _FILE.match(PurePosixPath(key).name) is not None


def of_trees(files: Mapping[str, str]) -> dict[str, str]:
    """The licences of folders, by the texts of their licence files by key; of several in one folder the first known counts."""
    found: dict[str, str] = {}
    for key in sorted(files):
        licence = declared(files[key])
        folder = str(PurePosixPath(key).parent)
        if licence != UNKNOWN:
            found.setdefault(folder, licence)
    return found


def licence(key: str, header: str, trees: Mapping[str, str]) -> str:
    """The licence of a file: of its header, else of the nearest folder above it that has one (`of_trees`)."""
    said = declared(header)
    if said != UNKNOWN:
        return said
    return next((trees[str(f)] for f in PurePosixPath(key).parents if str(f) in trees), UNKNOWN)
