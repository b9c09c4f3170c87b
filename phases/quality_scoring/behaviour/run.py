"""Programs run: in wasmtime, with so much memory and so many instructions, and nothing to reach.

What the stack and the unused memory hold is chosen by the host (`fill`): a program that gives different results with
different fills has read what nobody wrote.
"""

from __future__ import annotations

import atexit
import ctypes
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from phases.quality_scoring.behaviour import stand_ins
from phases.quality_scoring.behaviour.compile import STACK, Program
from phases.quality_scoring.behaviour.inputs import Value
from phases.quality_scoring.behaviour.memory import Look, Stretch
from phases.quality_scoring.behaviour.signature import (
    Array,
    Bits,
    Number,
    Pointer,
    Shape,
    Structure,
    resolved,
)

FILLS = (0xA5, 0x3C)
_ARENA = 1 << 19  # bytes between the module's own data and what malloc takes from
_PAGE = 65536
_POINTER = 8  # bytes
_LARGEST = (
    1 << 16
)  # bytes: the arguments, what one of them points to, the result, a variable that is looked at
_STEP = 1 << 18  # the arena begins at a multiple of it: mostly at the same place in the two programs
_NOWHERE = 1 << 12  # bytes at a null pointer: what is volatile the compiler's check lets through
_FRESH = 1 << 16  # bytes of the stack, from its beginning, that are filled before each call


class Unrunnable(Exception):
    """Why a module cannot be run at all, in half a sentence."""


@dataclass(frozen=True)
class Layout:
    """A signature with its numbers: the parameters by name (offset, shape), the result, the size of the arguments, the values
    of the enumerators that the function names, the variables outside of functions (address, shape).
    """

    parameters: Mapping[str, tuple[int, Shape]]
    result: Shape | None
    size: int
    result_size: int
    named: tuple[int, ...] = ()
    globals: Mapping[str, tuple[int, Shape]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of a call: `failure` is empty, or says how it ended; else what it gave and what it left behind.

    left   what is now in the things that were given by pointer, and in variables outside of functions, and is no longer as it
           was, by its path
    calls  of each function that a stand-in is for, what it was given
    """

    failure: str = ""
    endless: bool = False
    result: Value = None
    left: Mapping[str, Value] | None = None
    calls: Mapping[str, Value] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for outcomes that are the same."""
        return repr((self.result, self.left, self.calls))


_MAKING = threading.Lock()


def _engine() -> Any:
    """One for all threads: what two engines have made cannot meet."""
    with _MAKING:
        return _made()


@lru_cache(maxsize=1)
def _made() -> Any:
    import wasmtime

    config = wasmtime.Config()
    config.wasm_memory64 = True
    config.consume_fuel = True
    config.cranelift_opt_level = "none"
    config.cranelift_nan_canonicalization = True
    config.parallel_compilation = False
    atexit.register(_forget)  # before the interpreter takes the library apart, of which they are
    return wasmtime.Engine(config)


def _forget() -> None:
    _module.cache_clear()
    _made.cache_clear()


@lru_cache(maxsize=256)
def _module(code: bytes) -> Any:
    import wasmtime

    try:
        module = wasmtime.Module(_engine(), code)
    except wasmtime.WasmtimeError as e:
        raise Unrunnable(f"it is no module: {str(e).splitlines()[0]}") from None
    if wanted := [i.name for i in module.imports]:
        raise Unrunnable(
            f"it asks for {', '.join(map(str, wanted[:3]))} from outside, and there is no outside"
        )
    return module


class Instance:
    """A program that has begun: what it keeps, it keeps for the calls that follow."""

    def __init__(self, program: Program, fill: int, memory_mb: int) -> None:
        """Raises Unrunnable."""
        import wasmtime

        self.program, self.fill, self._traps = program, fill, (wasmtime.Trap, wasmtime.WasmtimeError)
        self.store = wasmtime.Store(_engine())
        self.store.set_limits(
            memory_size=memory_mb << 20, instances=1, memories=1, tables=4, table_elements=10_000
        )
        self.store.set_fuel(1_000_000)
        try:
            instance = wasmtime.Instance(self.store, _module(program.module), [])
            exports = instance.exports(self.store)
            self._memory, self._call = exports["memory"], exports[program.call]
            heap = exports["__heap_base"].value(self.store)
            more = (memory_mb << 20) // _PAGE - self._memory.size(self.store)
            self._memory.grow(self.store, more)
        except (KeyError, AttributeError, *self._traps) as e:
            raise Unrunnable(f"it does not begin: {str(e).splitlines()[0]}") from None
        self.base = -(-heap // _STEP) * _STEP
        self._size, self._used = self._memory.data_len(self.store), 0
        if self.base + 2 * _ARENA > self._size:
            raise Unrunnable("its own data fill the memory")
        ctypes.memset(self._address() + self.base, fill, _ARENA)
        places: tuple[str, ...] = (
            "sandbox_heap",
            "sandbox_heap_end",
            "sandbox_fill",
            "sandbox_given",
            program.table,
        )
        if program.standing:
            places += (stand_ins.NOTES, stand_ins.NOTED)
            self._begin = exports[stand_ins.BEGIN]
        self._places = {name: exports[name].value(self.store) for name in places}
        self._put("sandbox_heap_end", (self._size - _PAGE).to_bytes(8, "little"))
        self._put("sandbox_fill", bytes([fill]))
        self.rewind()

    def rewind(self) -> None:
        """Take back what malloc gave. What the module itself keeps stays."""
        self._put("sandbox_heap", (self.base + _ARENA).to_bytes(8, "little"))

    def _put(self, name: str, content: bytes) -> None:
        ctypes.memmove(self._address() + self._places[name], content, len(content))

    def _address(self) -> int:
        return ctypes.addressof(self._memory.data_ptr(self.store).contents)

    def _view(self) -> memoryview:
        return memoryview((ctypes.c_ubyte * self._size).from_address(self._address())).cast("B")

    def layout(self) -> Layout:
        """The signature with the numbers that the compiler filled in. Raises Unrunnable where it takes more than can be made."""
        found = self.program.signature
        count = len(found.table)
        table = self._places[self.program.table]
        numbers = struct.unpack(f"<{count}q", self._memory.read(self.store, table, table + 8 * count))
        read = partial(self._memory.read, self.store)
        parameters = {p.name: (numbers[p.offset], resolved(p.shape, numbers, read)) for p in found.parameters}
        result = None if found.result is None else resolved(found.result, numbers, read)
        size = numbers[found.size] if found.parameters else 1
        result_size = numbers[found.result_size] if result else 1
        if max(size, result_size, *(_extent_behind(shape) for _, shape in parameters.values()), 0) > _LARGEST:
            raise Unrunnable(f"what it takes or gives is larger than {_LARGEST >> 10} KiB")
        named = tuple(numbers[i] for i in found.named)
        variables = {name: (numbers[at], resolved(shape, numbers, read)) for name, at, shape in found.globals}
        kept = {name: of for name, of in variables.items() if _extent(of[1]) <= _LARGEST}
        return Layout(parameters, result, size, result_size, named, kept)

    def stretch(self, layout: Layout, values: Mapping[str, Value], labels: Mapping[str, str]) -> Stretch:
        """The values, by the names of the parameters, as they lie in memory; first the arguments, then room for the result.

        `labels` are what things are called in the outcome.
        """
        stretch = Stretch(self.base, self.fill)
        at = stretch.room(layout.size)
        stretch.room(layout.result_size, given=False)
        for name, (offset, shape) in layout.parameters.items():
            stretch.write(at + offset, shape, values[name], labels[name])
        stretch.end()
        return stretch

    def call(self, layout: Layout, stretch: Stretch, fuel: int, seed: int) -> Outcome:
        """Call with what `stretch` made. `seed` is what stand-ins make their answers from."""
        (at, _), (gives, _) = stretch.taken[:2]
        if len(stretch.content) > _ARENA:
            return Outcome(failure="its arguments are too large")
        before = bytes(stretch.content)
        memory = self._address()
        ctypes.memset(memory + self.base, self.fill, self._used)  # what the calls before left there
        self._used = len(before)
        ctypes.memset(memory + STACK - _FRESH, self.fill, _FRESH)
        ctypes.memset(memory, self.fill, _NOWHERE)
        ctypes.memmove(memory + self.base, before, len(before))
        self._put("sandbox_given", struct.pack("<QQ", self.base + at, self.base + gives))
        view = self._view()
        kept = {name: Look(view, stretch).value(at, shape) for name, (at, shape) in layout.globals.items()}
        self.store.set_fuel(fuel)
        try:
            if self.program.standing:
                self._begin(self.store, seed)
            self._call(self.store)
        except self._traps as e:
            return self._ended(e)
        view = self._view()
        if view[:_NOWHERE].tobytes() != bytes([self.fill]) * _NOWHERE:
            return Outcome(failure="it writes through a null pointer")
        after = bytes(view[self.base : self.base + len(before)])
        if stretch.trespassed(after):
            return Outcome(failure="it writes outside of what it was given")
        look = Look(view, stretch)
        result = None if layout.result is None else look.value(self.base + gives, layout.result)
        left = self._left(look, Look(memoryview(before), stretch, self.base), before, after)
        for name, (address, shape) in layout.globals.items():
            if (now := look.value(address, shape)) != kept[name]:
                left[name] = now
        return Outcome(result=result, left=left, calls=self._calls(look))

    def _left(self, now: Look, given: Look, before: bytes, after: bytes) -> dict[str, Value]:
        """What has changed in the things that were given, and not only in what lies between members."""
        left: dict[str, Value] = {}
        for t in now.stretch.things:
            if after[t.at : t.end] == before[t.at : t.end]:
                continue
            if isinstance(t.shape, Number):
                left[t.path] = now.several(self.base + t.at, t.shape, t.size, t.count)
                continue
            for i, at in enumerate(range(t.at, t.end, t.size)):
                if after[at : at + t.size] != before[at : at + t.size]:
                    is_, was = (look.value(self.base + at, t.shape) for look in (now, given))
                    if is_ != was:
                        left[f"{t.path}[{i}]" if t.count > 1 else t.path] = is_
        return left

    def _calls(self, look: Look) -> Mapping[str, Value]:
        if not self.program.standing:
            return {}
        notes, noted = self._places[stand_ins.NOTES], self._places[stand_ins.NOTED]
        view = look.memory
        count = min(int.from_bytes(view[noted : noted + 8], "little"), stand_ins.MOST)
        return stand_ins.told(bytes(view[notes : notes + 16 * count]), self.program.standing, look.where)

    def _ended(self, error: Exception) -> Outcome:
        import wasmtime

        code = error.trap_code if isinstance(error, wasmtime.Trap) else None
        if code == wasmtime.TrapCode.OUT_OF_FUEL:
            return Outcome(failure="it does not come to an end", endless=True)
        if code == wasmtime.TrapCode.STACK_OVERFLOW:
            return Outcome(failure="it traps: the stack overflows")
        if code == wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS:
            return Outcome(failure="it traps: it reaches outside of memory")
        lacking = self.program.lacking
        also = f", or it calls what is nowhere ({', '.join(lacking[:3])})" if lacking else ""
        return Outcome(failure=f"it traps: undefined behaviour{also}")


def _extent(shape: Shape) -> int:
    """The bytes of a shape, gaps left out."""
    match shape:
        case Number():
            return shape.size
        case Bits():
            return 0  # of the structure that it is in
        case Structure():
            return sum(_extent(inner) for _, _, inner in shape.fields)
        case Array():
            return shape.count * shape.size
        case Pointer():
            return _POINTER


def _extent_behind(shape: Shape) -> int:
    """The bytes of one of what a pointer points to; 0 of what is none."""
    return shape.size if isinstance(shape, Pointer) else 0
