"""From a model's answer to the code in it (ExtractCode)."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*(?:>[ \t]*)?(`{3,})([^`\n]*)$", re.MULTILINE)
_INLINE = re.compile(r"```([^`\n]+)```")
_C_NAMES = frozenset(["c", "h", "c++", "cpp", "cxx", "cc", "hpp", "hh", "c11", "c99", "embedded-c"])
_SPLICE = re.compile(r"\\[ \t]*$")
_CONTROL = dict.fromkeys((*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F), " ")


def normalise(text: str) -> str:
    """Text as phases 1 and 2 of a C compiler leave it, each line still under its number (C11 5.1.1.2).

    Line ends become `\\n`, control characters blanks, spliced lines one line with empty ones after it. What looks
    for directives and what compiles then see the same lines.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROL)
    if "\\" not in text:
        return text
    lines: list[str] = []
    joined: list[str] = []
    for line in text.split("\n"):
        if spliced := _SPLICE.search(line):
            joined.append(line[: spliced.start()])
            continue
        if joined:
            lines.append("".join([*joined, line]))
            lines.extend([""] * len(joined))
            joined = []
        else:
            lines.append(line)
    if joined:  # the text ends in a backslash
        lines.append("".join(joined))
        lines.extend([""] * (len(joined) - 1))
    return "\n".join(lines)


def has_blocks(text: str) -> bool:
    """Whether the text is Markdown with code set apart by ```."""
    return bool(_FENCE.search(text) or _INLINE.search(text))


def code_blocks(text: str) -> str:
    """The C code of the text's blocks, each line where it stands in the text, all other lines empty.

    Blocks that say they are C (or C++) count; if none does, those that say nothing. A block without its closing
    fence ends with the text. Several blocks are one translation unit.
    """
    lines = text.split("\n")
    blocks: list[tuple[str, int, int, int]] = []  # language, first line, line after the last, indentation
    open_at: tuple[str, int, str, int] | None = None
    for n, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        ticks, info = fence[1], fence[2].strip()
        if open_at is None:
            open_at = (_language(info), n + 1, ticks, fence.start(1))
        elif not info and len(ticks) >= len(open_at[2]):
            blocks.append((open_at[0], open_at[1], n, open_at[3]))
            open_at = None
    if open_at is not None:
        blocks.append((open_at[0], open_at[1], len(lines), open_at[3]))
    if not blocks:
        return _inline(lines)
    wanted = "c" if any(language == "c" for language, *_ in blocks) else ""
    code = [""] * len(lines)
    for language, first, after, indent in blocks:
        if language == wanted:
            for n in range(first, after):
                line = lines[n]
                code[n] = line[indent:] if not line[:indent].strip(" \t>") else line
    return "\n".join(code)


def _language(info: str) -> str:
    """ "c" for C and C++, "" for a fence that says nothing, else what it says."""
    word = re.split(r"[\s,:{}]+", info.strip("{}. \t").lower(), maxsplit=1)[0]
    return "c" if word in _C_NAMES else word


def _inline(lines: list[str]) -> str:
    def code(line: str) -> str:
        return " ".join(re.sub(r"^(?:c|cpp|c\+\+)\s", "", block) for block in _INLINE.findall(line))

    return "\n".join(map(code, lines))
