"""What an unquoted word of YAML means: by the core schema of YAML 1.2, which is the measure, and by YAML 1.1.

Most readers still hold to YAML 1.1, where `042` is 34, `1:30` is 90, `no` is false and `1e3` a text. People mean neither
version but what they write, so a word that the versions read differently is refused where it matters, with the way to write
either meaning.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

Kinds = frozenset[str]
"""What a key takes, of: text, secret (a text that is not shown), whole, number, truth, nothing, other, any."""

_NULL = ("", "~", "null", "Null", "NULL")
_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NAN = (".nan", ".NaN", ".NAN")
_YES = ("yes", "on", "y")  # YAML 1.1's words for true and false; PyYAML leaves y and n out
_NO = ("no", "off", "n")
_SHOWN = 60
_WORDS = {"whole": "a whole number", "number": "a number", "truth": "true or false", "text": "a text"}


def core(word: str) -> Any:
    """The value of an unquoted word by the core schema (YAML 1.2.2, 10.3.2).

    Raises ValueError for an integer of thousands of digits.
    """
    if word in _NULL:
        return None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    if _DECIMAL.fullmatch(word):
        return int(word)
    if _OCTAL.fullmatch(word):
        return int(word[2:], 8)
    if _HEXADECIMAL.fullmatch(word):
        return int(word[2:], 16)
    if _FLOAT.fullmatch(word):
        return float(word)
    if _INFINITY.fullmatch(word):
        return -math.inf if word.startswith("-") else math.inf
    return math.nan if word in _NAN else word


def former(word: str) -> Any:
    """The value of an unquoted word by YAML 1.1, as PyYAML reads it; the word itself where that fails."""
    loader = yaml.SafeLoader("")
    try:
        tag = loader.resolve(yaml.ScalarNode, word, (True, False))  # type: ignore[no-untyped-call]
        return loader.construct_object(yaml.ScalarNode(tag, word))
    except (yaml.YAMLError, ValueError):  # `2024-13-45` looks like a date
        return word


def misfit(value: Any, written: str | None, kinds: Kinds) -> str:
    """What is wrong with a scalar where `kinds` are wanted, and what to write instead; empty where it fits.

    `written` is the word as it stands in the file; None for what stands there in quotes, or not in the file.
    """
    numeric = kinds & {"whole", "number"} or "any" in kinds
    if isinstance(value, int | float) and not isinstance(value, bool) and numeric:
        return _number(value, written)
    if "any" in kinds or not kinds & _WORDS.keys():
        return ""  # what is no scalar is the model's to judge
    wanted = " or ".join(_WORDS[k] for k in _WORDS if k in kinds)
    hidden = "secret" in kinds
    if isinstance(value, str):
        return "" if "text" in kinds else _text(value, written is None, kinds, wanted)
    if value is None:
        if "nothing" in kinds:
            return ""
        or_so = "write '' for an empty one" if "text" in kinds else "give one"
        return f"{written or 'nothing'} is no value to YAML, and this key takes {wanted}: {or_so}, or leave the key out"
    if isinstance(value, bool) and "truth" in kinds:
        return ""
    shown = written if written is not None else str(value)
    what = (
        "true or false"
        if isinstance(value, bool)
        else f"the number {value}"
        if str(value) != shown
        else "a number"
    )
    if "text" not in kinds:
        return f"{shown[:_SHOWN]} is {what} to YAML, and this key takes {wanted}"
    if hidden:
        return "what stands here is not a text to YAML, and this key takes one: write it in quotes"
    return f"{shown[:_SHOWN]} is {what} to YAML, and this key takes {wanted}: write it in quotes, '{shown[:_SHOWN]}'"


def _number(value: float, written: str | None) -> str:
    """What is wrong with a number that stands where one is wanted."""
    shown = (written if written is not None else str(value))[:_SHOWN]
    if isinstance(value, float) and not math.isfinite(value):
        return f"{shown} is not finite, and no setting can be: write a number"
    if written is None:
        return ""
    then = former(written)
    if isinstance(then, int | float) and then != value:
        return f"{shown} is {value} to YAML 1.2 and {then} to YAML 1.1: write {value} or {then}, whichever is meant"
    return ""


def _text(value: str, quoted: bool, kinds: Kinds, wanted: str) -> str:
    """Why a text is not the number or the truth value that is wanted."""
    shown = repr(value[:_SHOWN])
    if quoted:
        meant = _read(value)
        if not isinstance(meant, str) and not misfit(meant, value, kinds):
            return f"{shown} in quotes is a text, and this key takes {wanted}: write {value} without quotes"
        return f"{shown} is a text, and this key takes {wanted}"
    word = value.lower()
    if "truth" in kinds and word in (*_YES, *_NO):
        meant = "true" if word in _YES else "false"
        return f"{value} is a text to YAML 1.2, and this key takes {wanted}: write {meant}"
    then = former(value)
    number = isinstance(then, int | float) and not isinstance(then, bool) and math.isfinite(then)
    if number and kinds & {"whole", "number"}:
        return f"{value} is a text to YAML 1.2 (and {then} to YAML 1.1), and this key takes {wanted}: write {then}"
    if then != value:
        return f"{value} is a text to YAML 1.2 (to YAML 1.1 a {type(then).__name__}), and this key takes {wanted}"
    return f"{shown} is a text, and this key takes {wanted}"


def _read(value: str) -> Any:
    try:
        return core(value)
    except ValueError:
        return value
