"""From what the compiler says to what SyntaxCheck counts: warnings, errors, errors of grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass

from phases.quality_scoring.compiler import CODE, PRELUDE, Compilation, Compiler, Diagnostic
from phases.quality_scoring.config import SyntaxConfig
from phases.quality_scoring.guard import Guarded, guard
from phases.quality_scoring.prelude import read_prelude
from phases.quality_scoring.structure import Structure

_UNKNOWN_TYPE = re.compile(r"unknown type name '(\w+)'")
_UNDECLARED = re.compile(r"'(\w+)' undeclared")
_OPAQUE = re.compile(
    r"(?:incomplete|undefined) type(?:def)?|storage size of|incomplete typedef|has incomplete type"
)
_GRAMMAR = re.compile(
    r"expected |stray |missing terminating|unterminated|extraneous|invalid (?:preprocessing directive|suffix)"
    r"|'else' without|.*before '|two or more data types|.*at end of input"
)
_CLASH = re.compile(
    r"conflicting types for|redefinition of|redeclar|redeclaration of|.* redeclared as|.* redefined$"
)
_AT_END = re.compile(r"at end of input$")
# A macro that nothing defines makes C that the compiler cannot read: `FOREACH(x, list) {`, `of(p, struct a, b)`.
_MACRO_NAME = re.compile(r"\b(?:[A-Z][A-Z0-9_]{2,}|__\w+)\b")
_MACRO_BLOCK = re.compile(r"\s*(?:\}\s*)?([A-Za-z_]\w*)\s*\(.*\)\s*\{?\s*")
_MACRO_TYPE = re.compile(
    r"expected expression before '(?:struct|union|enum|const|unsigned|signed|char|short|int|long)'"
)
_KEYWORDS = frozenset(["if", "for", "while", "switch", "return", "sizeof", "else", "do"])
_UNDECLARED_CALL = "-Wimplicit-function-declaration"
_MOST_TYPES = 64
_MOST_ROUNDS = 2  # the types of a signature hide those of the body from the compiler


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the text, once, and the line it stands in."""

    line: int
    note: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a text. `grammar` are those of `errors` that make it unreadable as C.

    failure  why the compiler could not read the text to its end; empty if it could
    """

    warnings: tuple[Fault, ...]
    errors: tuple[Fault, ...]
    grammar: int
    failure: str


NOTHING_WRONG = Diagnosis((), (), 0, "")


def diagnose(code: str, structure: Structure, compiler: Compiler, config: SyntaxConfig) -> Diagnosis:
    """Have the compiler read the code, with what the prelude gives it and without what it may not include.

    Types that nothing declares are one fault each: they are declared as opaque and the text is read again, so that
    what does not depend on them is checked too. Raises OSError where the compiler cannot be started.
    """
    guarded = guard(code, compiler.available)
    known = read_prelude(config.prelude)
    prelude = known.lines(structure, compiler.available)
    unknown: dict[str, int] = {}
    if not structure.includes and not structure.faults:  # nothing can declare them: one reading will do
        candidates = sorted(structure.foreign_types - known.names.keys())[:_MOST_TYPES]
        unknown = {name: structure.type_line(name) for name in candidates}
    for _ in range(_MOST_ROUNDS + 1):
        before = prelude + [f"typedef struct {name} {name};" for name in unknown]
        compilation = compiler.read(unit(before, guarded.text), config.warnings, config.limits)
        if not unknown.keys().isdisjoint(compilation.brought):  # a header of the prelude declares them
            unknown = {name: line for name, line in unknown.items() if name not in compilation.brought}
            continue
        found = _unknown_types(compilation, structure)
        if compilation.failure or not found.keys() - unknown.keys():
            break
        unknown |= found
    if prelude:  # what the text declares is its own affair, even if a header of the prelude declares it too
        kept = tuple(d for d in compilation.diagnostics if not (d.elsewhere and _CLASH.search(d.message)))
        compilation = Compilation(kept, compilation.failure)
    return _sort(compilation, structure, guarded, unknown)


def unit(before: list[str], code: str) -> str:
    """The translation unit: line markers keep the lines of the code, and what is before it out of the count."""
    return "\n".join([f'# 1 "{PRELUDE}"', *before, f'# 1 "{CODE}"', code, ""])


def _unknown_types(compilation: Compilation, structure: Structure) -> dict[str, int]:
    """Names that the text uses as types and nothing declares, with their first lines."""
    found: dict[str, int] = {}
    for d in compilation.diagnostics:
        name = _UNKNOWN_TYPE.match(d.message) or _UNDECLARED.match(d.message)
        if (
            name
            and name[1] in structure.types
            and name[1] not in structure.declared
            and len(found) < _MOST_TYPES
        ):
            found.setdefault(name[1], d.line)
    return found


def _sort(
    compilation: Compilation, structure: Structure, guarded: Guarded, unknown: dict[str, int]
) -> Diagnosis:
    lines = structure.source.decode("utf-8", "replace").split("\n")
    warnings = [Fault(d.line, f"no header {d.text}") for d in guarded.missing]
    errors = [Fault(d.line, f"refused: {d.text}") for d in guarded.refused]
    # What a header that is not here may well declare is not the text's fault a second time.
    excused = warnings if guarded.missing else errors
    excused += [Fault(line, f"unknown type {name}") for name, line in unknown.items()]
    grammar, seen = 0, set[tuple[object, ...]]()
    for d in compilation.diagnostics:
        line = lines[d.line - 1] if d.line <= len(lines) else ""
        spoils = d.kind != "warning" and _spoils(d, line, structure)
        key = _key(d, spoils)
        if key in seen or _follows(d, unknown):
            continue
        seen.add(key)
        grammar += spoils
        mild = d.kind == "warning" or (guarded.missing and _may_be_declared_elsewhere(d))
        (warnings if mild else errors).append(Fault(d.line, d.message))
    by_line = sorted(warnings, key=lambda f: f.line), sorted(errors, key=lambda f: f.line)
    return Diagnosis(tuple(by_line[0]), tuple(by_line[1]), grammar, compilation.failure)


def _follows(d: Diagnostic, unknown: dict[str, int]) -> bool:
    """Whether it only says again that nothing is known of a type."""
    if not unknown or not _OPAQUE.search(d.message):
        return False
    return d.message.startswith("storage size of") or any(f"'{name}'" in d.message for name in unknown)


def _spoils(d: Diagnostic, line: str, structure: Structure) -> bool:
    """Whether an error is one of grammar: the compiler stumbled, and the grammar of C does not hold there either.

    Where the grammar holds (tree-sitter reads types without knowing them), `expected` is the echo of an unknown name;
    where a macro of nobody's stands in the line, it is the echo of that.
    """
    if d.kind != "error":
        return True
    return bool(_GRAMMAR.match(d.message) and structure.faults) and not _stumbles_on_macro(d, line, structure)


def _stumbles_on_macro(d: Diagnostic, line: str, structure: Structure) -> bool:
    if _MACRO_TYPE.match(d.message):
        return True
    block = _MACRO_BLOCK.fullmatch(line)
    if block and d.message.startswith("expected ';' before"):
        return block[1] not in _KEYWORDS and block[1] not in structure.declared
    return any(name not in structure.declared for name in _MACRO_NAME.findall(line))


def _key(d: Diagnostic, spoils: bool) -> tuple[object, ...]:
    """The same for diagnostics that are one fault."""
    if d.option == _UNDECLARED_CALL:
        return (d.option,)  # what is missing is a header
    if _AT_END.search(d.message):
        return ("at end of input",)  # one for each block left open
    return (d.line, d.message) if spoils else (d.message,)


def _may_be_declared_elsewhere(d: Diagnostic) -> bool:
    name = _UNDECLARED.match(d.message)
    return bool(_OPAQUE.search(d.message)) or bool(name and name[1].isupper())
