"""From C text to a WebAssembly module that imports nothing: the function that is asked for, and a way to call it.

clang (of the package `ziglang`) reads the text as GCC does: through a pipe, in an empty directory, under limits, with
every directive taken out that could name a file. What is undefined traps. Behind the text stands its caller: a
structure of the arguments, a function that calls with them, and a table of the sizes and offsets in them.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import util
from pathlib import Path

from phases.quality_scoring import bounded
from phases.quality_scoring.behaviour import stand_ins
from phases.quality_scoring.behaviour.declarations import Declarations
from phases.quality_scoring.behaviour.signature import NotCallable, Signature, signature
from phases.quality_scoring.config import BehaviourConfig, CompilerLimits
from phases.quality_scoring.guard import guard
from phases.quality_scoring.heaps import Unreadable
from phases.quality_scoring.prelude import Prelude, read_prelude
from phases.quality_scoring.structure import Structure

STACK = (
    1 << 17
)  # bytes; it lies at the beginning of memory, so that a stack without end leaves memory, and traps

# Locals lie in memory at -O0, where the host can see to it what is in them before anything is written.
_COMPILE = (
    "-triple", "wasm64", "-O0", "-emit-obj", "-x", "c", "-std=gnu17", "-w", "-fgnu89-inline", "-fno-builtin", "-ffreestanding",
    "-nostdsysteminc", "-nobuiltininc", "-fno-gnu-inline-asm", "-ffp-contract=off", "-ferror-limit", "5",
    "-Wno-error=implicit-function-declaration", "-Wno-error=implicit-int", "-Wno-error=int-conversion",
    "-Wno-error=incompatible-pointer-types", "-target-feature", "+bulk-memory", "-target-feature", "+sign-ext",
)  # fmt: skip
_UNDEFINED = (
    "alignment,array-bounds,bool,builtin,enum,float-cast-overflow,integer-divide-by-zero,nonnull-attribute,null,"
    "pointer-overflow,return,returns-nonnull-attribute,shift-base,shift-exponent,signed-integer-overflow,unreachable,vla-bound"
)
_TRAPPING = (f"-fsanitize={_UNDEFINED}", f"-fsanitize-trap={_UNDEFINED}")
_LINK = ("-mwasm64", "--no-entry", "--stack-first", "-z", f"stack-size={STACK}", "--threads=1", "--gc-sections",
         "--export=__heap_base", "--export=__stack_pointer", "--export=sandbox_heap", "--export=sandbox_heap_end", "--export=sandbox_fill",
         "--export=sandbox_given")  # fmt: skip
_LINK_STAND_INS = tuple(f"--export={name}" for name in (stand_ins.BEGIN, stand_ins.NOTES, stand_ins.NOTED))
# What the caller and the stand-ins are written in: a text may have made something else of it.
_WORDS = (
    "sizeof", "struct", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "void", "const", "extern", "static",
    "if", "return", "default", "_Bool", "_Generic", "__typeof__", "__attribute__", "__builtin_offsetof", "__builtin_classify_type",
)  # fmt: skip
_LOCATED = re.compile(r"^[^\n:]*:(\d+):\d+: (?:fatal )?error: (.*)$", re.MULTILINE)
_LACKING = re.compile(r"undefined symbol: (\S+)")
_TAGGED = re.compile(r"typedef struct (\w+) \{")  # a text that has its own does not need the library's
_NUMBER = re.compile(r"(?<![\w.])(0[xX][0-9a-fA-F]{1,16}|0[0-7]*|[1-9][0-9]{0,18})(?=[uUlL]*\b)(?![.eE])")
_CHARACTER = re.compile(r"'([ -&(-\[\]-~])'")
_STRING = re.compile(r'"([^"\\\n%]{1,40})"')
_WORD = re.compile(r"\w+")
_SHIFT = re.compile(r"\b1[uUlL]*\s*<<\s*(\d{1,2})\b")
_MEMBER = re.compile(r"(?:->|\.)\s*([A-Za-z_]\w*)")
_ENOUGH_NUMBERS, _MOST_NUMBERS = 12, 100  # of the nearest texts; the next is looked at while there are fewer
_ENOUGH_STRINGS, _MOST_STRINGS = 4, 50
_MOST_KEPT = 512


@dataclass(frozen=True)
class Toolchain:
    """The program that is clang and the linker both."""

    program: str


@dataclass(frozen=True, slots=True)
class Hints:
    """What stands in a text, and where a mistake is therefore likely to show: its whole numbers, its strings, the members that
    it names. Those of the function come first, then those of the functions that it calls.
    """

    numbers: tuple[int, ...]
    strings: tuple[str, ...]
    members: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Program:
    """A module, the function in it, the names of its exports. Kept, so one is itself.

    lacking   what it calls that is nowhere, and traps        standing  what it calls that a stand-in is for
    """

    module: bytes
    signature: Signature
    call: str
    table: str
    hints: Hints
    lacking: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why there is no program. `fault`: it is the text's, and not a limit of the sandbox."""

    why: str
    fault: bool


@lru_cache(maxsize=1)
def find_toolchain() -> Toolchain | None:
    """The compiler of the extra `behaviour`, where it is installed together with a runtime; else None."""
    if util.find_spec("wasmtime") is None or (found := util.find_spec("ziglang")) is None:
        return None
    for place in found.submodule_search_locations or ():
        program = Path(place) / "zig"
        if program.is_file() and os.access(program, os.X_OK) and hasattr(os, "memfd_create"):
            return Toolchain(str(program))
    return None


@lru_cache(maxsize=_MOST_KEPT)
def compiled(
    code: str, name: str, config: BehaviourConfig, lent: str = "", standing: tuple[str, ...] | None = ()
) -> Program | Refusal:
    """The program of a function in a text; kept by the text. `code` is as `extract` leaves it.

    `lent` are declarations that stand before it and are not its own. `standing` are the functions that may be stood in for:
    None for all that it declares, calls and nobody defines.

    Raises RuntimeError where no toolchain is installed: ask `find_toolchain` first.
    """
    tools = find_toolchain()
    if tools is None:
        raise RuntimeError("the extra `behaviour` is not installed: pip install 'fsm-pipelines[behaviour]'")
    try:
        structure = Structure(f"{lent}\n{code}")
    except Unreadable as e:
        return Refusal(f"it cannot be read: {e}", fault=True)
    guarded = guard(code, lambda header: False)
    before = "\n".join(
        line
        for line in _library().lines(structure, lambda header: False)
        if not ((tag := _TAGGED.match(line)) and re.search(rf"\bstruct\s+{tag[1]}\s*{{", guarded.text))
    )
    before += "\n" + guard(lent, lambda header: False).text
    text = f'{before}\n# 1 "code.c"\n{guarded.text}\n'
    declared = Declarations(f"{before}\n{guarded.text}")
    if name not in declared.functions:
        return Refusal(f"it does not define `{name}`", fault=True)
    mark = hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()[:12]
    own = Declarations(guarded.text)
    try:
        found, caller = _caller(declared, name, mark)
    except NotCallable as e:
        # Whether it compiles at all is known only now: what cannot be called may not even be C.
        return _unless_broken(tools, text, config, Refusal(f"`{name}`: {e}", fault=False))
    stood = {} if standing == () else stand_ins.stand_ins(declared, name, _library_names(), standing)
    made = _object(tools, text + caller + stand_ins.text_of(stood), config.compiler)
    if isinstance(made, Refusal) and stood:  # what one is declared as may be no C that can be written again
        stood = {}
        made = _object(tools, text + caller, config.compiler)
    if isinstance(made, Refusal):
        return _unless_broken(
            tools, text, config, Refusal(f"`{name}` cannot be called from outside", fault=False)
        )
    module, said = _linked(tools, made, mark, config.compiler, with_stand_ins=bool(stood))
    if not module:
        return Refusal(f"it cannot be linked: {said}", fault=False)
    lacking = tuple(dict.fromkeys(_LACKING.findall(said)))
    return Program(module, found, f"call_{mark}", f"table_{mark}", _hints(own, name), lacking, tuple(stood))


def _hints(declared: Declarations, name: str) -> Hints:
    """What stands in the function, then in those that it calls, then in the rest of its text."""
    near = [declared.text(declared.functions[n]) for n in declared.nearest(name) if n in declared.functions]
    used = set(_WORD.findall(" ".join(near)))
    near += [text for text, names in declared.types() if text.lstrip().startswith("#") and names & used]
    numbers: dict[int, None] = {}
    strings: dict[str, None] = {}
    for text in [*near, declared.source.decode("utf-8", "replace")]:
        for n in _NUMBER.findall(text) if len(numbers) < _ENOUGH_NUMBERS else ():
            numbers[int(n, 8 if n[:1] == "0" and n.isdigit() else 0)] = None
        if len(numbers) < _ENOUGH_NUMBERS:
            numbers |= dict.fromkeys(1 << int(by) for by in _SHIFT.findall(text) if int(by) < 64)
            numbers |= dict.fromkeys(ord(c) for c in _CHARACTER.findall(text))
        if len(strings) < _ENOUGH_STRINGS:
            strings |= dict.fromkeys(_STRING.findall(text))
    members = frozenset(_MEMBER.findall(" ".join(near)))
    return Hints(tuple(numbers)[:_MOST_NUMBERS], tuple(strings)[:_MOST_STRINGS], members)


def _unless_broken(tools: Toolchain, text: str, config: BehaviourConfig, refusal: Refusal) -> Refusal:
    """The refusal, unless the text does not compile without its caller either."""
    made = _object(tools, text, config.compiler)
    return made if isinstance(made, Refusal) else refusal


def _caller(declared: Declarations, name: str, mark: str) -> tuple[Signature, str]:
    """(the signature, the C text that stands behind the function's own and calls it). Raises NotCallable.

    It takes nothing itself, for a call with arguments costs the host three times what one without does.
    """
    arguments = f"(*(struct arguments_{mark} *)0)"
    result = f"(*(struct result_{mark} *)0).value"
    found = signature(declared, name, arguments, result, f"bits_{mark}_")
    passed = ", ".join(f"a->{p.name}" for p in found.parameters)
    called = f"{name}({passed})"
    lines = [f"#undef {word}" for word in _WORDS]
    if found.parameters:
        lines.append(f"struct arguments_{mark} {{ {' '.join(p.member + ';' for p in found.parameters)} }};")
    else:
        lines.append(f"struct arguments_{mark} {{ char none; }};")
    if found.void:
        lines.append(f"struct result_{mark} {{ char value; }};")
    else:
        typed = ", ".join(f"({arguments}).{p.name}" for p in found.parameters)
        lines.append(f"struct result_{mark} {{ __typeof__({name}({typed})) value; }};")
        called = f"((struct result_{mark} *)sandbox_given[1])->value = {called}"
    taken = f"struct arguments_{mark} *a = sandbox_given[0]; (void)a;"
    lines.append(
        f"extern void *sandbox_given[2];\n"
        f'__attribute__((export_name("call_{mark}"), used)) void call_{mark}(void) {{ {taken} {called}; }}'
    )
    lines += found.objects
    table = ", ".join(f"(long long)({e})" for e in found.table) or "0"
    lines.append(f"__attribute__((used)) const long long table_{mark}[] = {{ {table} }};")
    return found, "\n".join(lines) + "\n"


@lru_cache(maxsize=1)
def _library() -> Prelude:
    """The declarations of the sandbox's library, and of prelude.h those that no header brings."""
    base, own = read_prelude(), read_prelude(Path(__file__).with_name("library.h"))
    names = {n: line for n, line in base.names.items() if line not in base.headers} | own.names
    return Prelude(names, frozenset(), base.uses | own.uses)


def _library_text() -> str:
    return Path(__file__).with_name("library.c").read_text("utf-8")


def _stand_ins_text() -> str:
    return Path(__file__).with_name("stand_ins.c").read_text("utf-8")


@lru_cache(maxsize=1)
def _library_names() -> frozenset[str]:
    """The functions that the library has, those that its macros write too."""
    text = _library_text()
    both = re.findall(r"BOTH2?\((\w+)\)", text)
    return frozenset(Declarations(text).functions) | {f"{name}f" for name in both}


@lru_cache(maxsize=2)
def _library_object(tools: Toolchain, limits: CompilerLimits) -> bytes:
    made = _object(tools, _library_text() + _stand_ins_text(), limits, trapping=False)
    assert not isinstance(made, Refusal), made.why
    return made


def _object(tools: Toolchain, text: str, limits: CompilerLimits, *, trapping: bool = True) -> bytes | Refusal:
    command = [
        tools.program,
        "-cc1",
        *_COMPILE,
        *(_TRAPPING if trapping else ()),
        "-main-file-name",
        "code.c",
        "-o",
        "-",
        "-",
    ]
    ended = bounded.run(command, text.encode("utf-8", "replace"), limits, makes=True)
    if ended.failure:
        return Refusal(f"the compiler could not read it: {ended.failure}", fault=True)
    if ended.code == 0 and ended.made:
        return ended.made
    said = ended.messages.decode("utf-8", "replace")
    if found := _LOCATED.search(said):
        line, message = found.groups()
        if "inline asm" in message or "GNU-style inline assembly" in message:
            return Refusal("it carries inline assembly, which the sandbox does not run", fault=False)
        return Refusal(f"it does not compile: line {line}: {message}", fault=True)
    return Refusal(f"the compiler ended with {ended.code}", fault=True)


def _linked(
    tools: Toolchain, made: bytes, mark: str, limits: CompilerLimits, *, with_stand_ins: bool
) -> tuple[bytes, str]:
    """(the module, what the linker said); no module where it failed. What is nowhere traps where it is called."""
    library = _library_object(tools, limits)
    files = [_in_memory(made), _in_memory(library)]
    try:
        command = [tools.program, "wasm-ld", *_LINK, f"--export=table_{mark}", "--warn-unresolved-symbols"]
        command += _LINK_STAND_INS if with_stand_ins else ()
        command += [*(f"/proc/self/fd/{fd}" for fd in files), "-o", "-"]
        ended = bounded.run(command, b"", limits, makes=True, files=files)
    finally:
        for fd in files:
            os.close(fd)
    said = ended.failure or ended.messages.decode("utf-8", "replace")
    return (ended.made if ended.code == 0 and not ended.failure else b""), said


def _in_memory(content: bytes) -> int:
    """A file that is nowhere on disk, for a program that reads its input by name."""
    fd = os.memfd_create("object")
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(content)
    return fd
