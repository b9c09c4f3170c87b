"""Which labels a handler returns, as far as its source says so in plain words.

`return "Again"` and `return "Good" if enough else "Not yet"` do; a variable or a call does not, and is left to the run, which refuses a
label that is none of the state's.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

NEAR = 1 << 22  # bytes of source that are looked through for a word; a package that has more is left alone
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Returned:
    """Labels with the lines they stand in; `all_of_them` where no other can be returned. The label None is returning nothing."""

    file: str
    labels: tuple[tuple[str | None, int], ...]
    all_of_them: bool


def returned(handle: Callable[..., Any]) -> Returned | None:
    """What a handler returns; None where its source is not at hand."""
    code = getattr(inspect.unwrap(handle), "__code__", None)
    function = _functions(*_stamped(code.co_filename)).get(code.co_firstlineno) if code else None
    if code is None or function is None or function.name != code.co_name:
        return None
    labels: list[tuple[str | None, int]] = []
    known = True
    for value, line in _returns(function):
        for label in _constants(value):
            if label is Ellipsis:
                known = False
            else:
                labels.append((label, line))
    if _falls_through(function.body):
        labels.append((None, function.body[-1].lineno))
    return Returned(code.co_filename, tuple(labels), known)


def stands_near(handle: Callable[..., Any], label: str) -> bool:
    """Whether a label stands anywhere in the Python files beside a handler's and below, or all of its words do, for it may be made of
    them; True where the files are not at hand.
    """
    code = getattr(inspect.unwrap(handle), "__code__", None)
    text = _sources(str(Path(code.co_filename).parent)) if code else None
    return (
        text is None
        or label in text
        or all(re.search(rf"\b{re.escape(w)}\b", text) for w in re.findall(r"\w+", label))
    )


@lru_cache(maxsize=64)
def _sources(directory: str) -> str | None:
    texts, size = [], 0
    for path in sorted(Path(directory).rglob("*.py")):
        try:
            size += path.stat().st_size
            texts.append(path.read_text("utf-8", errors="replace"))
        except OSError:
            return None
        if size > NEAR:
            return None
    return "\n".join(texts) if texts else None


def _stamped(file: str) -> tuple[str, int, int]:
    """A file and what changes with its content."""
    try:
        status = Path(file).stat()
    except OSError:
        return file, 0, 0
    return file, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=256)
def _functions(file: str, changed: int, size: int) -> dict[int, Function]:
    """The functions of a file by the line that Python says they begin in: that of their first decorator."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    found = (node for node in ast.walk(tree) if isinstance(node, Function))
    return {min(n.lineno for n in (node, *node.decorator_list)): node for node in found}


def _falls_through(body: list[ast.stmt]) -> bool:
    """Whether a body may come to its end without returning; True where that is not plain."""
    last = body[-1]
    if isinstance(last, ast.Return | ast.Raise):
        return False
    if isinstance(last, ast.If):
        return not last.orelse or _falls_through(last.body) or _falls_through(last.orelse)
    return _falls_through(last.body) if isinstance(last, ast.With | ast.AsyncWith) else True


def _returns(function: Function) -> Iterator[tuple[ast.expr | None, int]]:
    """The values that a function itself returns; functions inside it return their own."""
    todo: list[ast.AST] = [*function.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Return):
            yield node.value, node.lineno
        elif not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            todo += ast.iter_child_nodes(node)


def _constants(value: ast.expr | None) -> Iterator[Any]:
    """The texts that an expression can be; None for nothing, and Ellipsis for what is not said in plain words."""
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        yield None
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from _constants(value.body)
        yield from _constants(value.orelse)
    else:
        yield ...
