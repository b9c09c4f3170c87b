"""From a model's answer to the code in it (ExtractCode).

    clean -> is_marked -> marked_code | plain_code -> joined

The line numbers of the code are those of the text, as far as the text has lines: what stands in a string of JSON
begins in the line of the text in which it would begin if it stood there as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from phases.quality_scoring import drafts, escapes, listings, markdown
from phases.quality_scoring.choosing import choose
from phases.quality_scoring.heaps import Unreadable
from phases.quality_scoring.markdown import Block
from phases.quality_scoring.prose import without_prose
from phases.quality_scoring.structure import Structure

_SPLICE = re.compile(r"\\[ \t]*$")
_CONTROL = dict.fromkeys((*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0xA0, 0x202F), " ")
_CONTROL |= dict.fromkeys(
    (0x200B, 0x2060, 0xFEFF), ""
)  # what a page has between letters, and no compiler takes
_MARKS = re.compile(
    r"</[A-Za-z]|^[ \t>]*<[A-Za-z][\w:.-]*(?:\s[^<>\n]{0,300})?>|\[/?THINK\]|◁|<\|[a-z]|\A\s*[\[{\"]|"
    r"^@@ |^\*\*\* |^<{5,9}|^diff --git |&(?:lt|gt|amp|quot|#)|\b(?:cat|tee)\b[^\n]{0,200}<<|"
    r"^here is my thought|\{\s*\"[^\"\n]{1,60}\"\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_MEMBER = re.compile(r'\{\s*"[^"\n]{1,60}"\s*:')
_LONG = 65_536  # characters, beyond which words are not looked for
_DEEPEST = 3  # Markdown in JSON in a block of Markdown


def clean(text: str) -> str:
    """The text with `\\n` at its line ends, without byte-order marks and the like, control characters as blanks."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROL)


def joined(text: str) -> str:
    """Code as phase 2 of a C compiler leaves it, each line still under its number (C11 5.1.1.2).

    Spliced lines are one line with empty ones after it. What looks for directives and what compiles then see the
    same lines.
    """
    if "\\" not in text:
        return text
    lines: list[str] = []
    parts: list[str] = []
    for line in text.split("\n"):
        if spliced := _SPLICE.search(line):
            parts.append(line[: spliced.start()])
            continue
        if parts:
            lines.append("".join([*parts, line]))
            lines.extend([""] * len(parts))
            parts = []
        else:
            lines.append(line)
    if parts:  # the text ends in a backslash
        lines.append("".join(parts))
        lines.extend([""] * (len(parts) - 1))
    return "\n".join(lines)


def normalise(text: str) -> str:
    """Text as phases 1 and 2 of a C compiler leave it: `clean` and `joined`."""
    return joined(clean(text))


def is_marked(text: str) -> bool:
    """Whether something in the text may set the code apart: a fence, a tag, an escape, a patch."""
    return markdown.has_fences(text) or bool(_MARKS.search(text))


def code(text: str, prompt: str = "") -> str:
    """The code of an answer, from the text as it came to what a compiler may read. Raises nothing."""
    text = clean(text)
    return joined(marked_code(text, prompt) if is_marked(text) else plain_code(text))


def marked_code(text: str, prompt: str = "") -> str:
    """The code of a text in which something sets it apart; all of it where nothing does after all."""
    text = drafts.answer(text)
    if text.lstrip()[:1] in ('"', "{", "[") and (inner := escapes.from_json(text)):
        return _inner(inner, text, prompt)
    if found := _blocks(text, 0):
        if len(found) == 1 and not found[0].closed and (before := _before(text, found[0])):
            return plain_code(before)
        if chosen := choose(found, prompt):
            return _placed(chosen)
        if any(block.code.strip() for block in found):
            return ""
        lines = text.split("\n")
        return plain_code("\n".join("" if markdown.has_fences(line) else line for line in lines))
    if _MEMBER.search(text) and (inner := escapes.from_json(text)):
        return _inner(inner, text, prompt)
    return plain_code(text)


def _inner(inner: str, text: str, prompt: str) -> str:
    """The code of a text that stood in another; the way down ends, for each is shorter than the one around it."""
    inner = clean(inner)
    return code(inner, prompt) if len(inner) < len(text) else inner


def _blocks(text: str, first: int, depth: int = 0) -> list[Block]:
    """The blocks of a text, those in blocks of Markdown and JSON too, each as the C that it stands for."""
    if not markdown.has_fences(text):
        return []
    return [b for found in markdown.blocks(text, first) for b in _unwrapped(found, depth)]


def _unwrapped(block: Block, depth: int) -> Iterator[Block]:
    holds_blocks = block.language in ("md", "markdown", "mdx", "rst", "rest", "") and depth < _DEEPEST
    if holds_blocks and (inner := _blocks(block.code, block.first, depth + 1)):
        yield from inner
        return
    lines, language = list(block.lines), block.language
    if language in ("json", "jsonc", "json5", "jsonl") or (not language and block.code.lstrip()[:1] in '{["'):
        if depth < _DEEPEST and (inner_text := escapes.from_json(block.code)):
            lines, language = marked_code(clean(inner_text)).split("\n"), "c"
    elif language in ("diff", "patch") or listings.is_patch(block.code):
        lines, language = listings.patched(lines), "c"
    elif language in _SHELLS or (not language and "<<" in block.code):
        if (written := listings.written(lines)) is not None:
            lines, language = written, "c"
    elif language in ("html", "xml") and "<code" in block.code:
        lines, language = drafts.answer(block.code).split("\n"), "c"
    if language in ("c", ""):
        lines = _listed(lines)
    yield Block(language, block.first, tuple(lines), block.before, block.closed)


_SHELLS = ("bash", "sh", "shell", "zsh", "console", "terminal")


def _before(text: str, block: Block) -> str:
    """What stands before a fence that nothing closes, if the code is there: the fence is an end without a beginning."""
    if block.language or len(text) > _LONG:
        return ""
    lines = text.split("\n")
    before = "\n".join(lines[: max(0, block.first - 1)])
    return before if _is_code(before) and not _is_code(block.code) else ""


def _is_code(text: str) -> bool:
    try:
        return Structure(joined(without_prose(text))).substance
    except Unreadable:
        return False


def _placed(blocks: Sequence[Block]) -> str:
    """The blocks as one translation unit, each where it stands in the text or as soon after as there is room."""
    lines: list[str] = []
    for block in blocks:
        lines.extend([""] * (block.first - len(lines)))
        lines.extend(block.lines)
    return "\n".join(lines)


def _listed(lines: list[str]) -> list[str]:
    """Lines of code without the numbers before them, and without the escapes of a page."""
    lines = listings.without_numbers(lines) or lines
    text = "\n".join(lines)
    return escapes.from_html(text).split("\n") if "&" in text else lines


def plain_code(text: str) -> str:
    """The code of a text in which nothing sets it apart: all of it where it is C, or may be meant as such."""
    text = at_margin(text)
    if len(text) > _LONG:
        return text
    try:
        whole = not Structure(joined(text)).faults
    except Unreadable:
        return text
    return "\n".join(_listed(text.split("\n"))) if whole else searched(text)


def searched(text: str) -> str:
    """The code of a text that is not C as it stands: without numbers, quotes and escapes, and the words around it.

    What may be meant as code stays, and so does all of a text that is longer than any answer.
    """
    if len(text) > _LONG:
        return text
    bare = text.strip()
    if bare[:1] == bare[-1:] == "`":
        text = text.replace("`", "")
    lines = text.split("\n")
    if listings.is_patch(text):
        return "\n".join(_listed(listings.patched(lines)))
    if (written := listings.written(lines)) is not None:
        return "\n".join(_listed(written))
    lines = listings.without_quotes(lines) or lines
    text = clean(escapes.from_one_line(text)) or "\n".join(_listed(lines))
    return at_margin(without_prose(text))


def at_margin(text: str) -> str:
    """The text without the indentation that all its lines have."""
    if text[:1] not in (" ", "\t", "\n"):
        return text
    lines = text.split("\n")
    common: str | None = None
    for line in lines:
        if bare := line.lstrip(" \t"):
            indent = line[: len(line) - len(bare)]
            if common is None:
                common = indent
            while not indent.startswith(common):
                common = common[:-1]
            if not common:
                return text
    return "\n".join(line[len(common or "") :] for line in lines)
