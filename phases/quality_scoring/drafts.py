"""What a model writes around its answer for itself and for programs: drafts in tags, marks of chat templates.

A draft is no answer, closed or not. The answer may stand in a tag of its own. Every line keeps its number.
"""

from __future__ import annotations

import re

_THINKING = (
    r"(?:[a-z]+:)?(?:ant)?(?:think(?:ing)?|thoughts?|scratch[_-]?pad|reason(?:ing)?|reflect(?:ion)?|analysis|"
    r"plan(?:ning)?|drafts?|brainstorm(?:ing)?|(?:inner[_-]?)?monologue)"
)
_DRAFT = re.compile(
    rf"""
    (?P<lead>^[ \t>]*+)?
    (?: <(?P<close>/)?(?P<name>{_THINKING})(?:\s[^<>\n]{{0,200}})?>
      | \[(?P<close2>/)?THINK\]
      | ◁(?P<close3>/)?think▷
      | <\|(?:begin|(?P<close4>end))_of_thought\|>
      | (?P<granite>^here\ is\ my\ (?:thought\ process|(?P<close5>response))\b[ \t]*:)
    )
    """,
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<\n]{0,80}<\|message\|>")
_ROLE = re.compile(
    r"<\|start_of_role\|>[^<\n]{0,80}<\|end_of_role\|>|<\|start_header_id\|>\w+<\|end_header_id\|>"
)
_SPECIAL = re.compile(r"<\|[a-z][a-z0-9_]{0,40}\|>(?:assistant\b)?|</s>|^[ \t]*<s>", re.MULTILINE)
_TAG = re.compile(
    r"(?:^[ \t]*+|(?<=>))<(?P<close>/)?(?P<name>answer|final(?:[_-]\w+)?|response|solution|(?:c|\w{1,20})?[_-]?code|pre|"
    r"implementation|(?:ant)?artifact|file|source|document)(?:\s[^<>\n]{0,300})?>|</(?P<end>[a-z_-]{1,24})>[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>")


def answer(text: str) -> str:
    """The text without drafts, marks of chat templates and tags around the answer; lines keep their numbers.

    A draft that is never closed goes to the end of the text; one whose beginning is not there (a chat template wrote
    it) begins with the text. Linear in the length of the text.
    """
    if "<" in text or "[" in text or "◁" in text or "ere is my" in text:
        text = _without_drafts(text)
    if "<|" in text or "s>" in text:
        text = _without_marks(text)
    if "</" in text or "]]>" in text:
        text = _without_tags(text)
    return text


def _without_drafts(text: str) -> str:
    kept: list[str] = []
    at = lines = 0  # where what is kept goes on; lines before it
    inside = ""
    for mark in _DRAFT.finditer(text):
        name = (mark["name"] or ("granite" if mark["granite"] else "think")).lower()
        closes = any(mark[f"close{n}"] for n in ("", 2, 3, 4, 5))
        if not inside and not closes:
            if mark["lead"] is not None or mark["granite"]:
                kept.append(text[at : mark.start()])
                lines += kept[-1].count("\n")
                at, inside = mark.start(), name
        elif closes and inside in ("", name):
            gone = text.count("\n", at, mark.end())
            if inside:
                kept.append("\n" * gone)
            elif name == "granite":
                continue
            else:
                kept = ["\n" * (lines + gone)]
            lines += gone
            at, inside = mark.end(), ""
    return "".join([*kept, "\n" * text.count("\n", at) if inside else text[at:]])


def _without_marks(text: str) -> str:
    channels = list(_CHANNEL.finditer(text))
    if channels and (final := [c for c in channels if c[1].startswith("final")]):
        text = "\n" * text.count("\n", 0, final[-1].end()) + text[final[-1].end() :]
    elif channels:  # it thought, and never came to its answer
        text = text[: channels[0].start()] + "\n" * text.count("\n", channels[0].start())
    return _SPECIAL.sub("", _ROLE.sub("", text))


def _without_tags(text: str) -> str:
    """What stands in the tags of the answer, if that is code; the tags themselves are gone."""
    text = _CDATA.sub("", text)
    pieces: list[str] = []
    open_tags: list[str] = []
    at = begun = 0
    code = False
    for tag in _TAG.finditer(text):
        name = (tag["name"] or tag["end"]).lower()
        if tag["name"] and not tag["close"]:
            if not open_tags:
                pieces.append("\n" * text.count("\n", at, tag.start()))
                begun = tag.end()
            else:
                pieces.append(text[begun : tag.start()])
                begun = tag.end()
            if len(open_tags) < 64:
                open_tags.append(name)
            at = tag.end()
        elif name in open_tags:
            piece = text[begun : tag.start()]
            pieces.append(piece)
            code = code or "{" in piece or "```" in piece or "~~~" in piece
            del open_tags[open_tags.index(name) :]
            at = begun = tag.end()
    if open_tags:
        pieces.append(text[begun:])
        code = code or "{" in pieces[-1]
    return "".join(pieces) if code else text
