"""What stands before an opening brace: the head of a function, of a class, of a namespace, or a value that begins.

All functions here read text of which comments, directives and the insides of strings are blanked (`tokens.blank`).
"""

from __future__ import annotations

import re
from enum import Enum, auto


class Kind(Enum):
    """What a brace opens."""

    FUNCTION = auto()
    CLASS = auto()
    NAMESPACE = auto()
    LINKAGE = auto()  # extern "C"
    VALUE = auto()  # an initialiser, an enum: the declaration goes on behind it
    STATEMENT = auto()  # nothing that defines; what comes behind it is something new


_WORD = r"[A-Za-z_]\w*"
_GROUP = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_PLAIN = re.compile(rf"(?:{_WORD}\b[\s*]*)+\([^(){{}}=;]*\)\s*$")
_CONTROL = re.compile(r"\s*(?:if|for|while|switch|do|else|return|case|default|goto|catch)\b")
_ALONE = r"[A-Z][A-Z0-9_]*[ \t]*(?:\([^()]*\))?[ \t\r]*\n\s*"  # Q_OBJECT, GENERATED_BODY()
_LABEL = re.compile(
    rf"\s*(?:(?:{_ALONE})*(?:public|private|protected|signals)\b\s*(?:{_WORD})?|Q_SIGNALS|{_WORD})\s*:(?!:)"
)
_EMPTY_LINE = re.compile(r"\n[ \t\f\v]*\n")
_MACRO_LINE = re.compile(rf"\s*(?P<name>{_WORD})[ \t]*{_GROUP}[ \t\r]*\n")
_MARK_LINE = re.compile(r"\s*[A-Z][A-Z0-9_]*(?:_BEGIN|_END|BEGIN_|END_)[A-Z0-9_]*[ \t\r]*\n")
_DECLARATION = re.compile(rf"\s*(?:{_WORD}\b[\s*&]*)+[\s*&]~?{_WORD}\s*\(")
_TYPED_BY_A_MACRO = re.compile(rf"\s*(?:[A-Za-z]\w*[ \t]+)*[A-Z][A-Z0-9_]+\s*{_GROUP}[\s*&]*{_WORD}\s*\(")
_TEMPLATE = re.compile(r"\btemplate\s*<")
_EXTERN = re.compile(r'\bextern\s*"[^"]*"')
_ATTRIBUTE = re.compile(
    rf"\[\[[^\]]*\]\]|\b(?:__attribute__|__declspec|alignas|_Alignas|__aligned|__packed|requires|explicit|decltype)\s*{_GROUP}"
)
_ANNOTATED = re.compile(rf"\b[A-Z_][A-Z0-9_]+\s*{_GROUP}(?=\s*[A-Za-z_])")
_INNERMOST = re.compile(r"\([^()]*\)|\{[^{}]*\}")
_NAMESPACE = re.compile(r"\bnamespace\b([^=;]*)$|^\s*\w*NAMESPACE\w*\s*\x02?\s*$")
_NAMESPACE_NAME = re.compile(rf"(?:{_WORD}\b\s*(?:::\s*(?:inline\b\s*)?)?)*$")
_CLASS = re.compile(r"\b(?:class|struct|union)\b([^=;*&\x02]*?)(?:(?<!:):(?!:)[^=;]*)?$")
_ENUM = re.compile(r"\benum\b[^\x02]*$")
_CLASS_KEY = re.compile(r"\b(?:class|struct|union)\b")
_CLASS_NAME = re.compile(rf"({_WORD}(?:\s*::\s*{_WORD})*)\s*$")
_FINAL = re.compile(r"\bfinal\s*$")
_ARGUMENTS = re.compile(r"<[^<>]*>")
_SPACE = re.compile(r"\s+")
_OPERATOR = re.compile(r"\boperator\s*[^\s\w\x02]+")
_ASSIGNMENT = re.compile(r"(?<![=!<>+\-*/|&^%])=(?!=)")
_MEMBERS = re.compile(r"\x02[^:?]*(?<!:):(?!:)")
_NAMES_MEMBER = re.compile(r"[\w>]\s*$")


def classify(before: str) -> tuple[Kind, str, int]:
    """(what the brace behind this text opens, the name of it if it is a scope, where in the text the head begins)."""
    start = begin(before)
    head = before[start:]
    if _PLAIN.match(head) and "namespace" not in head.lower():
        return (Kind.STATEMENT if _CONTROL.match(head) else Kind.FUNCTION), "", start
    if not head.strip() or _CONTROL.match(head):
        return Kind.STATEMENT, "", start
    if head.count("(") != head.count(")"):
        return Kind.VALUE, "", start
    flat = flattened(head)
    if _EXTERN.search(flat):
        flat = _EXTERN.sub("", flat)
        if not flat.strip():
            return Kind.LINKAGE, "", start
    if found := _NAMESPACE.search(flat):
        name = (found[1] or "").strip()
        known = _NAMESPACE_NAME.match(name)
        return Kind.NAMESPACE, re.sub(r"\binline\s|\s", "", name) if known else "", start
    if _ENUM.search(flat):
        return Kind.VALUE, "", start
    if _CLASS_KEY.search(flat) and (found := _CLASS.search(without_arguments(flat))):
        named = _CLASS_NAME.search(_FINAL.sub("", found[1]))
        return Kind.CLASS, _SPACE.sub("", named[1]) if named else "", start
    flat = _OPERATOR.sub("operator", flat)
    if "\x02" not in flat or _ASSIGNMENT.search(flat):
        return Kind.VALUE, "", start
    if _MEMBERS.search(flat) and _NAMES_MEMBER.search(flat):
        return Kind.VALUE, "", start  # A() : x{0} ...
    return Kind.FUNCTION, "", start


def begin(before: str) -> int:
    """Where the head begins: behind labels, and behind macros that stand alone without a semicolon."""
    at = len(before) - len(before.lstrip())
    while label := _LABEL.match(before, at):
        at = label.end()
    if "\n" in before[at:].strip():
        for line in list(_EMPTY_LINE.finditer(before, at))[:-9:-1]:
            rest, above = before[line.end() :], before[at : line.start()]
            balanced = above.count("(") == above.count(")") and not above.rstrip().endswith((",", ":"))
            if balanced and rest.strip() and ("(" in rest or not above.strip()):
                at = line.end()
                break
        while (past := _past_macros(before, at)) > at:
            at = past
    return at + len(before[at:]) - len(before[at:].lstrip())


def _past_macros(before: str, at: int) -> int:
    """Past the macros on lines of their own before a declaration that is whole without them; `at` where there are none."""
    if mark := _MARK_LINE.match(before, at):
        return mark.end()
    ends: list[int] = []
    while found := _MACRO_LINE.match(before, ends[-1] if ends else at):
        if found["name"].startswith("__"):
            break
        ends.append(found.end())
    for end in reversed(
        ends
    ):  # the last may be the declaration's own: FUNC(void, CODE), its name on the next line
        if _DECLARATION.match(before, end) or _TYPED_BY_A_MACRO.match(before, end):
            return end
    return at


def flattened(head: str) -> str:
    """A head on its outermost level: no template clauses and attributes, and a mark instead of every bracket's inside."""
    while found := _TEMPLATE.search(head):
        head = head[: found.start()] + head[closing(head, found.end()) :]
    head = _ANNOTATED.sub("", _ATTRIBUTE.sub("", head))
    while True:
        head, count = _INNERMOST.subn("\x02", head)
        if not count:
            return head


def closing(text: str, at: int) -> int:
    """Past the `>` that closes an angle bracket whose inside begins at `at`; the end of the text where none does."""
    angles, others = 1, 0
    for place in range(at, len(text)):
        match text[place]:
            case "(" | "[" | "{":
                others += 1
            case ")" | "]" | "}":
                others -= 1
            case "<" if not others:
                angles += 1
            case ">" if not others and text[place - 1] != "-":
                angles -= 1
                if not angles:
                    return place + 1
    return len(text)


def without_arguments(text: str) -> str:
    """A text without template arguments."""
    while True:
        text, count = _ARGUMENTS.subn("", text)
        if not count:
            return text


def plain_name(name: str) -> str:
    """A qualified name without blanks and template arguments: A<int> :: B is A::B."""
    return _SPACE.sub("", without_arguments(name))
