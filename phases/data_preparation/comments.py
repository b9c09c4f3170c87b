"""What a comment above a function says: plain words, kernel-doc, Doxygen or gtk-doc."""

from __future__ import annotations

import re
from dataclasses import dataclass

from phases.data_preparation.tokens import COMMENTS

_END = re.compile(r"\s*\*+/\s*$")
_FURNITURE = re.compile(r"^[ \t]*(?:/\*[*!]*<?|//[/!]*<?|\*(?!\w*\*))[ \t]?", re.MULTILINE)
_RULES = ("---", "===", "***", "___", "###", "~~~", "+++", "///")
_RULE = re.compile(r"^[ \t]*[-=*_#~+/]{3,}[ \t]*$|[ \t]*[-=*_#~]{4,}[ \t]*$", re.MULTILINE)
# kernel-doc: "name() - what it does", gtk-doc: "name:", both with "@parameter: ..." below
_NAMED = re.compile(
    r"(?:function[ \t]+)?(?:[A-Za-z_~][\w:~]*?(?:[ \t]*\([^()\n]*\))?[ \t]*(?:[ \t](?:-{1,2}|–|—)[ \t]+|:[ \t]*(?=\s|$))"
    r"|[A-Za-z_~][\w:~]*[ \t]*\([^()\n]*\)[ \t]*[:.]?[ \t]*$|\w*_\w*[ \t]*$)",
    re.MULTILINE | re.IGNORECASE,
)
_MARK = re.compile(
    r"^[ \t]*(?:@(?P<parameter>[A-Za-z_]\w*|\.\.\.)[ \t]*:"
    r"|[@\\](?P<command>[A-Za-z]+)(?:\[[^\]]*\])?(?:\{[^}]*\})?(?=\s|$)"
    r"|(?P<section>(?i:returns?|return values?|authors?|context|locking|notes?|description|since|deprecated|example|caution|warning|rationale))"
    r"[ \t]*:)[ \t]*|(?<=[ \t])[@\\](?P<inside>returns?|retval|param)(?:\[[^\]]*\])?(?=[ \t])[ \t]*",
    re.MULTILINE,
)
"""What begins a part: a line with "@parameter:", "@command" or "\\command", "Section:"; and in a line, "@return" or "@param"."""
_ARGUMENT = re.compile(r"\S*")
_SAYS = frozenset({"brief", "description", "short", "details", "par", "remark", "remarks", "summary"})
_RETURNS = frozenset({"return", "returns", "retval", "result"})
_PARAMETERS = frozenset({"param", "tparam", "arg"})
_PEOPLE = frozenset({"author", "authors"})
_MARKED = re.compile(r"(?<![\w/&])(?:[@#&](?=[A-Za-z_]\w)|%(?=[A-Z_]{2}))")
"""What kernel-doc and gtk-doc put before a name."""
_INLINE = re.compile(
    r"[@\\](?:c|p|a|e|b|em|ref|link|endlink|code|endcode|verbatim|endverbatim|sa|see)\b[ \t]?|</?\w+>"
)
_GTK_ANNOTATION = re.compile(r"^(?:\([^()]*\)[ \t]*)+:[ \t]*")
_SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|resp|incl|approx|no|Fig|Sec)|\b[A-Z])\.$")
_LICENCE = re.compile(
    r"SPDX-License-Identifier|\bCopyright\b|\(c\) ?\d{4}|Licensed under|GNU (?:Lesser |Library )?General Public License"
    r"|free software|Permission is hereby granted|Redistribution and use|WARRANTY|All rights reserved",
    re.IGNORECASE,
)
_LICENCE_SAYS = (
    "licen",
    "copyright",
    "(c)",
    "free software",
    "hereby granted",
    "redistribution",
    "warranty",
    "rights reserved",
)
_WORDS = re.compile(r"[A-Za-z]{2,}")
_CODE = re.compile(r"[;{}]\s*$")

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
# fmt: off
_FILLING = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "do", "does", "for", "from", "function", "in", "is", "it", "its", "of",
    "on", "or", "that", "the", "this", "to", "was", "with",
})
# fmt: on


@dataclass(frozen=True)
class Doc:
    """What a comment says of a function: its first sentence, what it returns, and its parameters by name; empty where it
    says nothing of that."""

    summary: str = ""
    returns: str = ""
    parameters: tuple[tuple[str, str], ...] = ()


NOTHING_SAID = Doc()


def above(text: str, at: int) -> tuple[int, int] | None:
    """The place of the comment that belongs to a definition beginning at `at`: above it or at its line's start, without an
    empty line in between. A block is whole; lines that begin with // go together.
    """
    start = end = None
    here = at
    while gap := _behind_space(text, here):
        if text.count("\n", gap, here) > 1:
            break
        if text.endswith("*/", 0, gap):
            begin = text.rfind("/*", 0, gap - 2)
            if begin < 0 or start is not None or _behind_code(text, begin):
                break
            return begin, gap
        begin = text.rfind("\n", 0, gap) + 1
        while text[begin] in " \t\f\v":
            begin += 1
        if not text.startswith("//", begin):
            break
        start, end = begin, end or gap
        here = begin
    return (start, end) if start is not None and end is not None else None


def _behind_space(text: str, at: int) -> int:
    """The end of what is before a place, white space aside."""
    while at and text[at - 1].isspace():
        at -= 1
    return at


def _behind_code(text: str, at: int) -> bool:
    """Whether a comment that begins here stands behind code in its line: it is about that."""
    return bool(text[text.rfind("\n", 0, at) + 1 : at].strip())


def read_comment(comment: str) -> Doc:
    """What a comment says; of one that holds a licence, or code, nothing."""
    lower = comment.lower()
    if any(word in lower for word in _LICENCE_SAYS) and _LICENCE.search(comment):
        return NOTHING_SAID
    plain = _FURNITURE.sub("", _without_rules(_END.sub("", comment)))
    plain = _without_rules(plain)
    lead: list[str] = []
    returns: list[str] = []
    parameters: dict[str, str] = {}
    for name, argument, said in _parts(plain):
        if name == "":
            lead.append(said)
        elif name in _RETURNS:
            returns.append(_line(f"{argument} {_GTK_ANNOTATION.sub('', said)}"))
        elif name == "parameter" and (line := _line(_GTK_ANNOTATION.sub("", said))):
            parameters.setdefault(argument, line)
    return Doc(_summary(lead), "; ".join(filter(None, returns)), tuple(parameters.items()))


def _without_rules(text: str) -> str:
    return _RULE.sub("", text) if any(rule in text for rule in _RULES) else text


def _parts(plain: str) -> list[tuple[str, str, str]]:
    """The (command, argument, text) of a comment in its order; plain words have no command."""
    marks = list(_MARK.finditer(plain)) if "@" in plain or "\\" in plain or ":" in plain else []
    parts = [("", "", plain[: marks[0].start() if marks else len(plain)])]
    ends = [*(mark.start() for mark in marks[1:]), len(plain)]
    for mark, following in zip(marks, ends, strict=False):
        end, argument, name = mark.end(), mark["parameter"] or "", "parameter"
        if argument.lower() in _RETURNS or (mark["section"] or "").lower().startswith("return"):
            argument, name = "", "returns"
        elif not argument:
            name = (mark["command"] or mark["inside"] or mark["section"]).lower()
            if (name in _PARAMETERS or name == "retval") and (word := _ARGUMENT.match(plain, end)):
                argument, end = word[0].strip(":,"), word.end()
                name = "retval" if name == "retval" else "parameter"
        said, rest = plain[end:following], ""
        if name == "parameter" or name in _RETURNS:
            said, _, rest = said.partition("\n\n")  # an empty line ends what is said of it
        elif name in _PEOPLE:
            said, _, rest = said.partition("\n")
        parts += [("" if name in _SAYS else name, argument, said), ("", "", rest)]
    return parts


def _summary(lead: list[str]) -> str:
    """The first sentence of the plain words, behind the name that kernel-doc and gtk-doc begin with."""
    for part in lead:
        part = part.lstrip()
        if named := _NAMED.match(part):
            part = part[named.end() :]
        for paragraph in re.split(r"\n[ \t]*\n", part.strip()):
            said = _line(paragraph)
            if " " in said and len(_WORDS.findall(said)) >= 2 and not _CODE.search(said):
                return _first_sentence(said)
    return ""


def _first_sentence(words: str) -> str:
    end = 0
    for found in _SENTENCE.finditer(words):
        end = found.end()
        if not _ABBREVIATION.search(found.group()) and not words[end : end + 2].strip()[:1].islower():
            break
    else:
        end = len(words)
    return words[:end] if end <= 400 else words[:400].rsplit(" ", 1)[0]


def _line(text: str) -> str:
    if "@" in text or "<" in text or "\\" in text:
        text = _INLINE.sub("", text)
    if "@" in text or "%" in text or "#" in text or "&" in text:
        text = _MARKED.sub("", text)
    return " ".join(text.split())


def says_more(summary: str, name: str) -> bool:
    """Whether a summary has a word that the name has not."""
    return bool(summary) and bool(set(words(summary)) - set(words(name)) - _FILLING)


def words(text: str) -> list[str]:
    """The words of a text or a name, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def header(text: str) -> str:
    """The comments that a file begins with, where its licence stands."""
    end = 0
    while found := COMMENTS.match(
        text, end + len(text[end : end + 4096]) - len(text[end : end + 4096].lstrip())
    ):
        end = found.end()
        if end > 16384:
            break
    return text[:end]
