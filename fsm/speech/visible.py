r"""Text that a terminal shows and does not obey.

Labels, errors and what a model wrote may hold escape sequences (ECMA-48), which move a cursor, write a clipboard or
answer into the keyboard; controls of direction (Unicode annex 9), which show a line in another order than it has; and
lone surrogates, which no encoding takes. Each such character is written as JSON writes it, `\u001b`, so that a line of
JSON that is made visible is still the same JSON.
"""

from __future__ import annotations

import codecs
import re

ESCAPES = "fsm.escapes"  # the error handler of that name: what an encoding cannot spell, as JSON escapes it

_OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction
    "\u2028\u2029\ufff9-\ufffb"  # separators of lines, annotations
    "\ud800-\udfff]"
)
_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, moves
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    "|\x1b[ -/]*[0-Z\\\\^-~]"
)


def visible(text: str, keep: str = "\n\t") -> str:
    """The text with every character that a terminal would obey as its escape, but those in `keep`."""
    if text.isprintable():
        return text
    return _OBEYED.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def one_for_one(text: str, instead: str) -> str:
    """The text with such characters replaced by `instead` and white space by spaces: as many characters as before."""
    if text.isprintable():
        return text
    return _OBEYED.sub(lambda found: " " if found[0] in "\n\t\r" else instead, text)


def stripped(text: str) -> str:
    """The text without its escape sequences: libraries colour what they print."""
    return _SEQUENCE.sub("", text) if not text.isprintable() else text


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escape, error.object[error.start : error.end])), error.end


codecs.register_error(ESCAPES, _escapes)
