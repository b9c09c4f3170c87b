"""Code that a program wrapped: in JSON, or escaped for HTML."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

_ASIDE = re.compile(
    r"expla|descr|reason|think|thought|analysis|note|usage|example|test|comment|title|summary|language|"
    r"(?:file_?)?name|path|prompt|question|instruction|compile|command|build",
    re.IGNORECASE,
)
_OBJECT = re.compile(r'[{\[]\s*(?:\{\s*)?"')
_MEMBER = re.compile(r'"([^"\\\n]{1,60})"\s*:\s*"((?:[^"\\]|\\.)*+)("|\\?\Z)', re.DOTALL)
_TRIES = 8
_LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*+"?|\'(?:[^\'\\\n]|\\.)*+\'?')
_HTML = re.compile(r"&(?:lt|gt|amp|quot|apos|#\d{1,6}|#x[0-9a-f]{1,5});", re.IGNORECASE)
_BARE = re.compile(r"[<>]|&(?!(?:lt|gt|amp|quot|apos|#\d{1,6}|#x[0-9a-f]{1,5});)", re.IGNORECASE)
_DECODER = json.JSONDecoder(strict=False)  # a line end in a string is no JSON, and what models write


def from_json(text: str) -> str:
    """The code, or the Markdown, that the strings of a JSON text hold; "" where it is no JSON with code in it.

    A text that breaks off in a string holds what there is of it.
    """
    bare = text.strip()
    if bare.startswith('"') and bare.count("\n") == 0:
        return _string(bare)
    found = _OBJECT.search(bare)
    if found is None:
        return ""
    for _ in range(_TRIES):
        if found is None:
            break
        try:
            value, _end = _DECODER.raw_decode(bare, found.start())
        except (ValueError, RecursionError):
            found = _OBJECT.search(bare, found.start() + 1)
            continue
        if code := "\n".join(_strings(value)):
            return code
        found = _OBJECT.search(bare, _end)
    if bare[0] in "{[" and _OBJECT.match(bare):
        values = [_string(f'"{m[2]}"') for m in _MEMBER.finditer(bare) if not _ASIDE.search(m[1])]
        return "\n".join(v for v in values if _is_code(v))
    return ""


def _string(quoted: str) -> str:
    try:
        value = _DECODER.decode(quoted)
    except (ValueError, RecursionError):
        return ""
    return value if isinstance(value, str) and _is_code(value) else ""


def _strings(value: Any) -> Iterator[str]:
    """The strings that are code, in order; those whose keys say that they are something else are not."""
    todo = [value]
    while todo:
        match todo.pop():
            case str() as text if _is_code(text):
                yield text
            case list() as items:
                todo.extend(reversed(items))
            case dict() as members:
                todo.extend(v for k, v in reversed(members.items()) if not _ASIDE.match(k))


def _is_code(text: str) -> bool:
    return ("{" in text or ";" in text) and ("\n" in text or ")" in text)


def from_one_line(text: str) -> str:
    """Code whose line ends are written as `\\n`, with nothing around it; "" where it is not so."""
    bare = text.strip()
    if "\\n" not in bare or "\n" in bare or "\\n" not in _LITERAL.sub("", bare.replace('\\"', "'")):
        return ""
    quoted = re.sub(r'(?<!\\)"', r"\"", bare)
    return _string(f'"{quoted}"')


def from_html(code: str) -> str:
    """The code with the entities of HTML resolved, if it is escaped throughout."""
    for _ in range(2):  # escaped twice is what a page of a page is
        if not _HTML.search(code) or _BARE.search(code):
            break
        code = html.unescape(code)
    return code
