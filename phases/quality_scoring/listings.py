"""Code as tools show it: patches, numbered lines, quotes, files written by a shell. Lines keep their numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

_HUNK = re.compile(r"@@(?: -\d+(?:,\d+)? \+\d+(?:,\d+)?)? ?@@|@@ ?\Z|@@ [^;{}]*\Z")
_PATCH_MARK = re.compile(
    r"^(?:@@ -\d|\*\*\* (?:Begin Patch|Add File|Update File)|<{5,9} ?\w*$|diff --git )", re.MULTILINE
)
_HEADER = re.compile(
    r"diff |index [0-9a-f]+\.\.|(?:new|deleted|old) (?:file )?mode|similarity |rename |--- |\+\+\+ |\\ No newline|"
    r"\*\*\* |Index: |={20,}"
)
_NAME = re.compile(r"(?:\+\+\+ (?:b/)?|\*\*\* (?:Add|Update) File: )([^\s]+)")
_C_FILE = re.compile(r"\.(?:c|h|cc|cpp|cxx|hpp|hh|inc)$", re.IGNORECASE)
_CONFLICT = {"<": "old", "=": "new", ">": ""}
_CONFLICT_LINE = re.compile(r"(<{5,9}|={5,9}|>{5,9})(?: ?\w[^\n;{}()]*)?$")
_NUMBERED = re.compile(r"[ \t]*(\d{1,6})(?:[ \t]*[|:\u2502](?:[ \t]|$)|[.)](?:[ \t]|$)|[ \t]+|[ \t]*$)")
_HEREDOC = re.compile(r"<<-?[ \t]*(['\"]?)(\w{1,40})\1")


def is_patch(text: str) -> bool:
    """Whether it holds a diff, a patch or a conflict."""
    return bool(_PATCH_MARK.search(text))


def patched(lines: Sequence[str]) -> list[str]:
    """What a patch makes of a file: the lines it adds and those it leaves, each where it stands in the patch.

    Of several files only those of C, if there is one by its name. Counts in the heads of hunks are not believed.
    """
    if any(line.startswith("<<<<<") for line in lines):
        return _resolved(lines)
    hunks = any(_HUNK.match(line) for line in lines) or any(line.startswith("*** ") for line in lines)
    of_c = any((name := _NAME.match(line)) and _C_FILE.search(name[1]) for line in lines)
    inside, wanted = not hunks, True
    result = [""] * len(lines)
    for n, line in enumerate(lines):
        if _HUNK.match(line):
            inside = True
        elif _HEADER.match(line) and not (inside and line.startswith("--- ") and line.rstrip().endswith(";")):
            if name := _NAME.match(line):
                wanted = not of_c or bool(_C_FILE.search(name[1]))
            inside = not hunks or line.startswith(("*** Add", "*** Update", "\\"))
        elif inside and wanted and line[:1] in ("+", " ", "\t"):
            result[n] = line[1:] if line[0] != "\t" else line
        elif inside and line and line[0] != "-":
            inside = not hunks
            result[n] = line if inside and wanted else ""
    return result


def _resolved(lines: Sequence[str]) -> list[str]:
    """The new side of search-and-replace blocks and of conflicts; text around them is left out."""
    side = ""
    result = [""] * len(lines)
    for n, line in enumerate(lines):
        mark = _CONFLICT_LINE.match(line)
        if mark and (line[0] == "<" or side):
            side = _CONFLICT[line[0]]
        elif side == "new":
            result[n] = line
    return result


def without_numbers(lines: Sequence[str]) -> list[str] | None:
    """The lines without the numbers before them; None where they are not numbered one after the other."""
    numbers = [_NUMBERED.match(line) for line in lines if line.strip()]
    if len(numbers) < 3 or not all(numbers):
        return None
    counted = [int(m[1]) for m in numbers if m]
    if any(b - a < 1 or b - a > 50 for a, b in pairwise(counted)):
        return None
    return [
        "" if not line.strip() else line[m.end() :]
        for line in lines
        if (m := _NUMBERED.match(line) or _NOTHING)
    ]


_NOTHING = re.match("", "")


def without_quotes(lines: Sequence[str]) -> list[str] | None:
    """The lines without the `>` of a quotation before them; None where the quotation is not of two lines or more."""
    if sum(line.startswith(">") for line in lines) < 2:
        return None
    return [re.sub(r"^(?:> ?)+", "", line) for line in lines]


def written(lines: Sequence[str]) -> list[str] | None:
    """What a shell writes into files of C (`cat > gate.c <<'EOF'`); None where it writes none."""
    end = ""
    found = False
    result = [""] * len(lines)
    for n, line in enumerate(lines):
        if end:
            if line.strip() == end:
                end = ""
            else:
                result[n] = line
        elif (begins := _HEREDOC.search(line)) and re.search(r"\.(?:c|h|cc|cpp|hpp)\b", line):
            end, found = begins[2], True
    return result if found else None
