"""Words around code that nothing sets apart from it."""

from __future__ import annotations

import re

_DIRECTIVE = re.compile(
    r"\s*\#[ \t]*(?:include|define|undef|if|ifdef|ifndef|else|elif|endif|pragma|error|warning|line)\b"
)
_CODE = re.compile(rf"{_DIRECTIVE.pattern}|\s*(?://|/\*|\*/|\*\s*[@\\]|[{{}}])|\s*(?:case\b|default\s*:)")
_CODE_END = re.compile(r"(?:[;{},=+&|(\\]|\*/)\s*$")
_MARKED = re.compile(r"\s{0,3}(?:\#{1,6} |[-+*•] |\d{1,2}[.)] |\*\*|__\w|>|-{3,}\s*$|={3,}\s*$|\|)")
_SENTENCE = re.compile(r"(?:[.!?…][\"'”’)*_`]*|:[*_`]*)\s*$")
_LABEL = re.compile(r"\s*[a-z_]\w*:\s*$")
_FRONT = re.compile(
    r"\s*(?:c|h|c\+\+|cpp|(?:c )?copy(?: code)?|assistant|model|bot|answer|code|output|response|solution):?\s*$",
    re.IGNORECASE,
)
_WRAPPER = re.compile(
    r"\s*(?:\\(?:begin|end)\{\w{1,30}\*?\}(?:[\[{][^\n]*)?|\\boxed\{|\#\+(?:begin|end)_(?:src|example)\b.*|"
    r"\[/?code(?:=[\w+]+)?\]|\[source\b[^\n\]]*\]|-{4,}|\{code(?::[^}\n]*)?\}|\.\. code(?:-block)?::.*|[\w.-]+: [|>]-?|"
    r"(?:\w+ = )?[rf]?(?:'''|\"\"\")(?:c|cpp)?|</?[A-Za-z][\w:.-]*(?:\s[^<>\n]*)?/?>|`{1,2}|[‘’“”]{3}(?:c|cpp)?)\s*$",
    re.IGNORECASE,
)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|\'(?:[^\'\\]|\\.){1,4}\'|//.*|/\*|[{}]')


def without_prose(text: str) -> str:
    """The text without what is plainly prose between functions, each line in its place.

    What may be code stays: it is for the compiler to say what is wrong with it. Linear in the length of the text.
    """
    lines = text.split("\n")
    kept = list(lines)
    depth, comment, first = 0, False, True
    paragraph: list[int] = []  # lines outside of blocks and comments that follow each other
    for n, line in enumerate(lines):
        outside = depth == 0 and not comment
        if outside and (not line.strip() or _WRAPPER.match(line)):
            kept[n] = ""
            first = _blank(kept, paragraph, first)
            paragraph = []
            continue
        before = depth, comment
        depth, comment = _after(line, depth, comment)
        if before == (0, False) and (depth, comment) == before:
            paragraph.append(n)
        else:
            first = _blank(kept, paragraph, first)
            paragraph, first = [], False
    _blank(kept, paragraph, first)
    return "\n".join(kept)


def _blank(lines: list[str], paragraph: list[int], first: bool) -> bool:
    """Empty the prose that a paragraph is, or begins with; whether all of the text up to here was none but that."""
    texts = [lines[n] for n in paragraph]
    prose = 0
    while first and prose < len(texts) and _FRONT.match(texts[prose]):
        prose += 1
    for n in range(prose, len(texts)):
        if _is_code(texts[n]):
            break
        if _ends(texts[n]) or (prose == n and _MARKED.match(texts[n])):
            prose = n + 1
    for n in paragraph[:prose]:
        lines[n] = ""
    return first and prose == len(texts)


def _is_code(line: str) -> bool:
    if _CODE.match(line):
        return True
    return bool(_CODE_END.search(line)) and not _MARKED.match(line) and not _reads(line)


def _reads(line: str) -> bool:
    """Whether a line that breaks off at a comma, say, is one of prose."""
    words = line.split()
    return line.rstrip()[-1:] == "," and len(words) > 3 and all(w.strip(",'’\"").isalpha() for w in words)


def _ends(line: str) -> bool:
    return bool(_SENTENCE.search(line)) and not _LABEL.match(line)


def _after(line: str, depth: int, comment: bool) -> tuple[int, bool]:
    """The depth of braces, and whether a comment is open, behind a line."""
    at = 0
    while True:
        if comment:
            at = line.find("*/", at)
            if at < 0:
                return depth, True
            at, comment = at + 2, False
        token = _TOKEN.search(line, at)
        if token is None:
            return depth, False
        at = token.end()
        if token[0] == "/*":
            comment = True
        elif token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth = max(0, depth - 1)
