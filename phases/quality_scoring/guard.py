"""Directives of a text written by a model, made harmless before a compiler reads them.

What is not to be read must not be named: an `#include` may name a header of the system, literally, and nothing
else. The check does not follow comments and strings, for whatever decides what a comment is can be deceived (raw
strings, digraphs, unbalanced quotes): it looks at every `#` in the text. A directive that a comment hides is then
made harmless for nothing, which costs nothing. Spliced lines must have been joined before (`extract.joined`).

`_Pragma` and `__has_include` can be pasted together by macros and are taken away by the compiler's own options
(see `compiler`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_HASH = re.compile(
    r"""
    (?P<start> ^[ \t]* )? (?P<mark> \# | %: | \?\?= ) [ \t]*
    (?: (?P<comment> (?= /[*/] ) )
      | (?P<file> include_next | include | import | embed ) \b (?P<header> [ \t]* (?: <[^<>"\n]+> | "[^<>"\n]+" ) )?
      | (?P<pragma> pragma ) \b (?P<safe> [ \t]+ (?: once | pack | STDC ) \b )?
      | (?P<other> line \b | ident \b | sccs \b | assert \b | unassert \b | (?= \d ) )
    )
    """,
    re.MULTILINE | re.VERBOSE,
)
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_BROKEN = "@"  # stands where a mark stood: no token of C, so that nothing before it can become a directive


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive that was taken out, and the line it stood in."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Guarded:
    """A text that is safe to preprocess, line for line the same.

    missing  headers that are not there (a third party's): left out
    refused  directives that name a file in a way no header is named: left out
    """

    text: str
    missing: tuple[Directive, ...] = ()
    refused: tuple[Directive, ...] = ()


def guard(code: str, available: Callable[[str], bool]) -> Guarded:
    """Take out every directive that could reach a file, but for includes of headers that are `available` by name.

    Raises nothing; linear in the length of the text.
    """
    if "#" not in code and "%:" not in code and "??=" not in code:
        return Guarded(code)
    missing: list[Directive] = []
    refused: list[Directive] = []
    kept: list[str] = []
    at, line = 0, 1
    while match := _HASH.search(code, at):
        line += code.count("\n", at, match.start())
        kept.append(code[at : match.start()])
        at = match.end("mark")
        leads = match["start"] is not None
        if match["file"] and leads:
            name = (match["header"] or "").strip()[1:-1]
            if match["file"] == "include" and _SAFE_NAME.fullmatch(name):
                if available(name):
                    at = match.end()
                    kept.append(match[0])
                    continue
                missing.append(Directive(name, line))
            else:
                refused.append(Directive(code[match.start() : _end(code, at)].strip()[:80], line))
            at = _end(code, at)
        elif (match["pragma"] and leads and match["safe"]) or (
            match["other"] is not None and _is_text(code, match)
        ):
            kept.append(match[0][: at - match.start()])
        elif leads and match["comment"] is None:
            at = _end(code, at)
        else:  # `#/**/include`, `/**/ #include`, or a string that looks like it
            kept.append((match["start"] or "") + _BROKEN)
    kept.append(code[at:])
    return Guarded("".join(kept), tuple(missing), tuple(refused))


def _is_text(code: str, match: re.Match[str]) -> bool:
    """Whether a mark in the middle of a line is text (`"port #1"`): a directive follows nothing but comments."""
    start = match.start()
    before = code[max(0, start - 256) : start].rstrip(" \t")
    return match["start"] is None and before != "" and not before.endswith("*/")


def _end(code: str, at: int) -> int:
    end = code.find("\n", at)
    return len(code) if end < 0 else end
