"""The fenced blocks of a model's answer.

CommonMark, and what models write that is not quite that: fences that begin behind words or end behind code, blocks in
lists that are not indented as the list is, a block that begins before the last one ended. (A parser of CommonMark
reads such answers as it must, and takes prose for code. On what is well formed, the tests hold this to one.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_OPEN = re.compile(
    r"(?P<lead>(?:[ \t]*+(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t])))*+[ \t]*+)(?P<fence>`{3,}+|~{3,}+)(?P<info>.*)$"
)
_BEHIND_WORDS = re.compile(r"(?P<lead>[^`]*[^\s`][ \t]+)(?P<fence>`{3,})(?P<info>[\w+#./:{}=-]*)[ \t]*$")
_INLINE = re.compile(r"```([^`\n]+)```")
_C_WORD = re.compile(
    r"(?:ansi|gnu|iso|embedded|modern|plain|pure|standard|misra|c)?[-_ ]?"
    r"(?:c|h|c\+\+|cpp|cxx|cc|hpp|hh|hxx|h\+\+|ino|arduino|objective-?c|objc)"
    r"(?:[-_: ]?(?:k&r|ansi|[0-9][0-9a-z]))?"
    r"|(?:gnu|iso|ansi)[-_]?c?(?:\+\+)?[0-9][0-9a-z]|ansi"
)
_C_FILE = re.compile(
    r"(?:.*[/\\:=\"'])?[\w.+-]*\.(?:c|h|cc|cpp|cxx|c\+\+|hpp|hh|hxx|ino)[\"']?", re.IGNORECASE
)
_OTHERS = frozenset(
    [
        "ada",
        "asm",
        "assembly",
        "awk",
        "bash",
        "bat",
        "batch",
        "bib",
        "bibtex",
        "bnf",
        "clojure",
        "cmake",
        "cmd",
        "console",
        "cs",
        "csharp",
        "css",
        "csv",
        "cypher",
        "d",
        "dart",
        "diff",
        "docker",
        "dockerfile",
        "dot",
        "ebnf",
        "elixir",
        "erlang",
        "f90",
        "fish",
        "fortran",
        "gdb",
        "gitignore",
        "go",
        "golang",
        "gradle",
        "graphql",
        "groovy",
        "haskell",
        "hcl",
        "html",
        "http",
        "ini",
        "java",
        "javascript",
        "jinja",
        "js",
        "json",
        "json5",
        "jsonc",
        "jsonl",
        "jsx",
        "julia",
        "kconfig",
        "kotlin",
        "latex",
        "ld",
        "less",
        "linker",
        "lisp",
        "log",
        "lua",
        "make",
        "makefile",
        "markdown",
        "math",
        "matlab",
        "md",
        "mdx",
        "mermaid",
        "meson",
        "nasm",
        "nginx",
        "nix",
        "objdump",
        "ocaml",
        "output",
        "pascal",
        "patch",
        "perl",
        "php",
        "plantuml",
        "powershell",
        "properties",
        "proto",
        "protobuf",
        "ps1",
        "py",
        "python",
        "python3",
        "r",
        "rb",
        "regex",
        "rest",
        "rs",
        "rst",
        "ruby",
        "rust",
        "sass",
        "scala",
        "scheme",
        "scss",
        "sh",
        "shell",
        "shell-session",
        "sql",
        "stdout",
        "svelte",
        "svg",
        "swift",
        "systemverilog",
        "tcl",
        "terminal",
        "tex",
        "toml",
        "ts",
        "tsx",
        "typescript",
        "verilog",
        "vhdl",
        "vim",
        "vue",
        "wasm",
        "xml",
        "yaml",
        "yml",
        "zig",
        "zsh",
    ]
)
_PLAIN = frozenset(["text", "txt", "plain", "plaintext", "code", "none", "raw"])
_CODE_IN_INFO = re.compile(
    r"(?i:c|cpp|c\+\+)[ \t]+(?P<code>(?:#[ \t]*include|[a-z_]\w*[ \t*]+\w).*[;{)>])[ \t]*$"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code in an answer.

    language  "c" for C and C++, "" where its fence says nothing, else what it says
    first     the line of the text that `lines` begin in, from 0
    before    the words that lead to it, in small letters
    closed    whether it has an end of its own
    """

    language: str
    first: int
    lines: tuple[str, ...]
    before: str = ""
    closed: bool = True

    @property
    def code(self) -> str:
        return "\n".join(self.lines)


def has_fences(text: str) -> bool:
    """Whether the text may have fenced blocks."""
    return "```" in text or "~~~" in text


def blocks(text: str, first: int = 0) -> list[Block]:
    """The fenced blocks of a text whose first line has the number `first`; linear in its length."""
    lines = text.split("\n")
    found: list[Block] = []
    last = 0  # where the words before the next block begin
    opened: tuple[re.Match[str], int, list[str]] | None = None
    for n, line in enumerate(lines):
        fenced = "```" in line or "~~~" in line
        if opened is None:
            if fenced and (mark := _opening(line, lines[n - 1] if n else "")):
                code = _CODE_IN_INFO.match(mark["info"].strip())
                opened = (mark, n, [code["code"]] if code else [])
            continue
        mark, begun, code_lines = opened
        kept = None if not fenced else _closing(line, mark)
        if kept is None:
            code_lines.append(_without(mark["lead"], line))
            continue
        if kept:
            code_lines.append(_without(mark["lead"], kept))
        found.append(_block(lines, mark, begun, code_lines, last, first))
        last, opened = n + 1, None
        if (again := _opening(line, "")) and _says_something(again["info"]):
            opened = (again, n, [])
    if opened is not None:
        mark, begun, code_lines = opened
        found.append(_block(lines, mark, begun, code_lines, last, first, closed=False))
    return found or _inline(lines, first)


def _block(
    lines: list[str],
    mark: re.Match[str],
    begun: int,
    code: list[str],
    last: int,
    first: int,
    *,
    closed: bool = True,
) -> Block:
    at = begun if _CODE_IN_INFO.match(mark["info"].strip()) else begun + 1
    words = [line for line in lines[max(last, begun - 6) : begun] if line.strip()][-3:]
    before = " ".join([*words, mark["lead"]])[-400:].lower()
    return Block(language(mark["info"]), first + at, tuple(code), before, closed)


def _opening(line: str, before: str) -> re.Match[str] | None:
    """The fence that a line opens, alone in it or behind words. Not one in a comment that shows an example."""
    mark = _OPEN.match(line) or _BEHIND_WORDS.match(line)
    if mark is None or (mark["fence"][0] == "`" and "`" in mark["info"]):
        return None
    lead = mark["lead"].lstrip()
    if lead.startswith(("//", "/*")) or (lead.startswith("*") and before.lstrip().startswith(("*", "/*"))):
        return None
    return mark


def _closing(line: str, mark: re.Match[str]) -> str | None:
    """None where the line does not end the block, else what of it still belongs to it."""
    fence = mark["fence"]
    bare = line.strip(" \t>")
    if bare[:1] == fence[0]:
        rest = bare.lstrip(fence[0])
        if len(bare) - len(rest) < len(fence) or fence[0] in rest:
            return None
        # an opening fence, or words, where nothing but the end can stand
        return "" if not rest or _says_something(rest) or " " in rest.strip() else None
    code = line.rstrip().rstrip(fence[0])
    if len(line.rstrip()) - len(code) < len(fence) or "//" in code or code.lstrip().startswith("*"):
        return None
    return code if code.rstrip().endswith(("}", ";", "*/", ">")) else None


def _says_something(info: str) -> bool:
    return language(info) != "" or info.strip().lower() in _PLAIN


def _without(lead: str, line: str) -> str:
    """A line of a block without what stands before its fence: the marks of quotes, the indentation of lists."""
    quotes = lead.count(">")
    at = 0
    while quotes:
        mark = re.match(r"[ \t]*>", line[at:])
        if mark is None:
            break
        at += mark.end()
        quotes -= 1
    rest = lead.rpartition(">")[2]
    width = len(rest) if not rest.strip() or _OPEN.match(rest + "```") else 0
    for _ in range(width):
        if line[at : at + 1] not in (" ", "\t"):
            break
        at += 1
    return line[at:]


def language(info: str) -> str:
    """ "c" for C and C++ and their files, "" for a fence that says nothing known, else the language it says."""
    bare = info.strip().strip("{}").strip().lower()
    if not bare:
        return ""
    words = [word.strip(".,;:(){}[]\"'") for word in re.split(r"[\s,]+|(?<=\w)[{(\[]", bare) if word]
    words = [re.sub(r"^(?:language|lang|highlight|code)[-=:]\"?", "", word) for word in words if word]
    name = words[0] if words else ""
    if _C_WORD.fullmatch(name) or any(_C_WORD.fullmatch(part) for part in name.split("/", 1)[:1]):
        return "c"
    if name in _OTHERS:
        return name
    if any(_C_FILE.fullmatch(word) for word in words):
        return "c"
    head = re.split(r"[:=/]", name, maxsplit=1)[0]
    if _C_WORD.fullmatch(head):
        return "c"
    suffix = name.rpartition(".")[2]
    if head in _OTHERS:
        return head
    return suffix if suffix != name and suffix in _OTHERS else ""


def _inline(lines: Sequence[str], first: int) -> list[Block]:
    found = []
    for n, line in enumerate(lines):
        if "```" in line and (codes := _INLINE.findall(line)):
            code = " ".join(re.sub(r"^(?i:c|cpp|c\+\+)\s", "", code) for code in codes)
            found.append(Block("c", first + n, (code,)))
    return found
