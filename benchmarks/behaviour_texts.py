"""Functions that are compared with themselves, and with themselves changed in one place."""

from __future__ import annotations

import random
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_c
from tree_sitter import Language, Node, Parser

from benchmarks.common import BUILD, ROOT
from benchmarks.quality_scoring_texts import fetch
from benchmarks.trees import archive
from phases.quality_scoring.behaviour.declarations import inside, name_of
from phases.quality_scoring.structure import Structure

_C = Language(tree_sitter_c.language())
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)".*$', re.MULTILINE)
_OTHER = {
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "<<": ">>", ">>": "<<", "&": "|", "|": "&", "^": "|",
    "&&": "||", "||": "&&", "==": "!=", "!=": "==", "<": ">=", ">": "<=", "<=": ">", ">=": "<",
    "+=": "-=", "-=": "+=", "|=": "&=", "&=": "|=", "<<=": ">>=", ">>=": "<<=", "++": "--", "--": "++",
}  # fmt: skip
# what GCC has and clang has not, for a target on which it knows none of them
_DEFINED = ("-D_GNU_SOURCE", "-DVER=0", "-DHAVE_CLOCK_ADJTIME", "-DHAVE_POSIX_SPAWN", "-DHAVE_ONESTEP_SYNC", "-DHAVE_ONESTEP_P2P",
            "-D_Float32=float", "-D_Float64=double", "-D_Float32x=double", "-D_Float64x=double", "-D_Float128=double")  # fmt: skip
_LABEL = re.compile(r'__asm__\s*\((?:\s*"[^"]*")+\s*\)')
_SWAP = re.compile(r'__asm__\s*\("bswap([lq]) %0" : "=r" \(val\) : "0" \(val\)\)')
_OFF_BY_ONE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


@dataclass(frozen=True)
class Function:
    """A function in the text that it needs: `where` is the package and the file."""

    where: str
    name: str
    text: str

    @property
    def prompt(self) -> str:
        """What would ask for it."""
        return f"Write the C function `{self.name}`."


@dataclass(frozen=True)
class Mutant:
    """The text with one thing changed: which kind of change, and what stands there now."""

    kind: str
    change: str
    text: str


def corpus() -> Iterator[Function]:
    """The functions of the shipped corpus, each in its file, with what its headers declare."""
    files = sorted((ROOT / "configs" / "corpus").rglob("*.[ch]"))
    texts = {path.name: path.read_bytes().decode("latin-1") for path in files}
    for path in files:
        if path.suffix == ".c":
            yield from _functions(f"corpus/{path.name}", texts[path.name], texts)


def linuxptp() -> Iterator[Function]:
    """Those of linuxptp, each in its file as GCC's preprocessor leaves it: with all that the system's headers declare."""
    fetch()
    where = BUILD / "debian" / "linuxptp"
    with tarfile.open(archive("linuxptp")) as packed:
        packed.extractall(where, filter="data")
    for path in sorted(where.rglob("*.c")):
        command = ["gcc", "-E", "-P", *_DEFINED, f"-I{path.parent}", str(path)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode == 0:
            own = [f.name for f in Structure(path.read_text("utf-8", "replace")).functions]
            needs = Needs(_plain(made.stdout))
            for name in own:
                yield Function(f"linuxptp/{path.name}", name, needs.of(name))


class Needs:
    """What of a preprocessed text a function needs: its declarations, each with the names in it."""

    def __init__(self, text: str) -> None:
        source = text.encode()
        self.parts: list[bytes] = []
        self.uses: list[frozenset[str]] = []
        self.where: dict[str, list[int]] = {}
        for at, node in enumerate(Parser(_C).parse(source).root_node.named_children):
            self.parts.append(source[node.start_byte : node.end_byte])
            kinds = ("identifier", "type_identifier")
            words = [n.text.decode() for n in inside(node) if n.type in kinds and n.text]
            self.uses.append(frozenset(words))
            for name in _declares(node):
                self.where.setdefault(name, []).append(at)

    def of(self, name: str) -> str:
        """The text of the function and of all that it needs, in the order in which they stand."""
        kept: set[int] = set()
        todo = {name}
        seen: set[str] = set()
        while todo:
            seen.add(one := todo.pop())
            for at in self.where.get(one, ()):
                if at not in kept:
                    kept.add(at)
                    todo |= self.uses[at] - seen
        ends = (b"\n" if part.endswith((b";", b"}")) and not part.startswith((b"struct", b"union", b"enum")) else b";\n"
                for part in (self.parts[at] for at in sorted(kept)))  # fmt: skip
        return b"".join(self.parts[at] + end for at, end in zip(sorted(kept), ends, strict=True)).decode(
            "utf-8", "replace"
        )


def _declares(node: Node) -> Iterator[str]:
    """The names that a declaration at the top of a text declares: its own, and those of the types and constants in it."""
    for inner in inside(node) if node.type != "function_definition" else ():
        if inner.type in ("struct_specifier", "union_specifier", "enum_specifier", "enumerator"):
            name, body = inner.child_by_field_name("name"), inner.child_by_field_name("body")
            if (
                name is not None
                and name.text
                and (body is not None or inner.type == "enumerator" or inner == node)
            ):
                yield name.text.decode()
    for declarator in node.children_by_field_name("declarator"):
        if (name := name_of(declarator)) is not None and name.text:
            yield name.text.decode()


def _plain(text: str) -> str:
    """Preprocessed text without the assembly of the machine's own headers."""
    swapped = _SWAP.sub(lambda m: f"val = __builtin_bswap{'64' if m[1] == 'q' else '32'}(val)", text)
    return _LABEL.sub("", swapped)


def inlined(text: str, files: Mapping[str, str], seen: frozenset[str] = frozenset()) -> str:
    """The text with the project's own headers in it, each once."""
    had = set(seen)

    def put(match: re.Match[str]) -> str:
        name = Path(match[1]).name
        if name in had or name not in files:
            return ""
        had.add(name)
        return inlined(files[name], files, frozenset(had))

    return _INCLUDE.sub(put, text)


def _functions(where: str, text: str, files: Mapping[str, str]) -> Iterator[Function]:
    whole = inlined(text, files)
    for function in Structure(text).functions:
        yield Function(where, function.name, whole)


def mutants(function: Function, seed: int = 0) -> Iterator[Mutant]:
    """All changes of the function, each in one place, in a seeded order that takes the kinds in turn."""
    source = function.text.encode()
    root = Parser(_C).parse(source).root_node
    body = next(
        (n for n in inside(root) if n.type == "function_definition" and _named(n) == function.name), None
    )
    kinds: dict[str, list[Mutant]] = {"operator": [], "constant": [], "condition": [], "off by one": []}
    for node in inside(body.child_by_field_name("body")) if body is not None else ():  # type: ignore[arg-type]
        for kind, start, end, instead in _changes(node):
            was = source[start:end].decode("utf-8", "replace")
            text = (source[:start] + instead.encode() + source[end:]).decode("utf-8", "replace")
            kinds[kind].append(Mutant(kind, f"{was} -> {instead}", text))
    rng = random.Random(f"{seed} {function.where} {function.name}")
    for found in kinds.values():
        rng.shuffle(found)
    order = [k for k in kinds if kinds[k]]
    rng.shuffle(order)
    while any(kinds.values()):
        for kind in order:
            if kinds[kind]:
                yield kinds[kind].pop()


def _changes(node: Node) -> Iterator[tuple[str, int, int, str]]:
    if node.type in ("binary_expression", "assignment_expression", "update_expression"):
        operator = node.child_by_field_name("operator")
        text = operator.text.decode() if operator is not None and operator.text else ""
        if operator is not None and text in _OTHER:
            yield "operator", operator.start_byte, operator.end_byte, _OTHER[text]
        if operator is not None and text in _OFF_BY_ONE:
            yield "off by one", operator.start_byte, operator.end_byte, _OFF_BY_ONE[text]
    elif (
        node.type == "number_literal"
        and node.text
        and not _is_null(node)
        and (match := re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)", node.text.decode()))
    ):
        digits = match[1]
        value = int(digits, 8 if digits[0] == "0" and digits.isdigit() else 0)
        yield "constant", node.start_byte, node.end_byte, f"{value + 1}{match[2]}"
    elif node.type in ("if_statement", "while_statement", "conditional_expression"):
        condition = node.child_by_field_name("condition")
        if condition is not None and condition.text:
            yield (
                "condition",
                condition.start_byte,
                condition.end_byte,
                f"(!({condition.text.decode('utf-8', 'replace')}))",
            )


def _is_null(literal: Node) -> bool:
    """Whether it is the 0 of a null pointer, preprocessed: in `((T *)0)->member` of a `typeof` it is no number at all."""
    cast = literal.parent
    kind = cast.child_by_field_name("type") if cast is not None and cast.type == "cast_expression" else None
    return kind is not None and b"*" in (kind.text or b"")


def _named(definition: Node) -> str:
    node = definition.child_by_field_name("declarator")
    while node is not None and node.type != "identifier":
        node = node.child_by_field_name("declarator")
    return node.text.decode() if node is not None and node.text else ""
