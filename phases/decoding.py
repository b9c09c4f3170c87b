"""From bytes to text: UTF-8 first, then Latin-1, and what is neither.

Latin-1 gives a character to every byte, so decoding it never fails by itself. What tells text from anything
else is the control characters: no text holds NUL and its like, and Latin-1 keeps 0x80 to 0x9F for controls
that nobody types. Bytes that would decode to such characters are not text, in either encoding.
"""

from __future__ import annotations

import codecs
import re

_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")  # tab, line ends, form feed are text

_CONTROL_BYTES = bytes(code for code in range(128) if _CONTROLS.match(chr(code)))


class NotText(Exception):
    """Bytes that an encoding gives no text for; the message says where."""


def decode_utf8(content: bytes) -> str:
    """Text of UTF-8 bytes, without a byte order mark.

    Raises:
        NotText: a byte sequence is not UTF-8, or stands for a control character.
    """
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if content.startswith(mark):
            raise NotText("its byte-order mark says UTF-16")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotText(f"byte {error.start}: {error.reason}") from None
    if content.isascii() and len(content.translate(None, _CONTROL_BYTES)) == len(content):
        return text  # as nearly every file is; the search below takes ten times as long
    return _without_controls(text)


def decode_latin1(content: bytes) -> str:
    """Text of Latin-1 bytes.

    Raises:
        NotText: a byte stands for a control character.
    """
    return _without_controls(content.decode("latin-1"))


def _without_controls(text: str) -> str:
    if found := _CONTROLS.search(text):
        raise NotText(f"character {found.start()} is the control character U+{ord(found.group()):04X}")
    return text
