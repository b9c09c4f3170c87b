"""Texts that are refused because looking into them takes too long."""

from __future__ import annotations

from tree_sitter import Parser, Tree

_HEAP = 4096
_STEPS = 50_000  # of tree-sitter's progress; a file of 70 kB takes some five hundred


class Unreadable(ValueError):
    """A text so far from C that it is not worth the time to look into it."""


def parse_long(parser: Parser, source: bytes) -> Tree:
    """The tree of a long text (its nodes know their places, not their text). Raises Unreadable where the parser takes far more steps than code of this length takes.

    On some texts (thousands of lines such as `1: x`) the time of tree-sitter's recovery from errors is quadratic.
    """
    most = min(_STEPS, 5_000 + len(source) // 2)
    steps = 0

    def stop(_offset: int, _error: bool) -> bool:
        nonlocal steps
        steps += 1
        return steps > most

    try:
        return parser.parse(lambda at, _point: source[at : at + 65536], progress_callback=stop)
    except ValueError as e:  # how it says that it was stopped
        raise Unreadable("the grammar of C goes astray in it over and over") from e
    finally:
        parser.reset()


def refuse_heaps(tree: Tree) -> None:
    """Raises Unreadable for thousands of bare tokens in a row, or of levels: a query's time is quadratic in both.

    tree-sitter 0.26: at every node, `ts_tree_cursor_current_status` looks through the siblings for a named one, and
    `ts_query_cursor__advance` through the states of all levels above.
    """
    cursor = tree.walk()
    runs = [0]
    while True:
        runs[-1] = 0 if cursor.node is None or cursor.node.is_named else runs[-1] + 1
        if runs[-1] > _HEAP:
            raise Unreadable(f"{_HEAP} signs in a row that belong to nothing")
        if cursor.goto_first_child():
            runs.append(0)
            if len(runs) > _HEAP:
                raise Unreadable(f"more than {_HEAP} levels, one in another")
            continue
        while not cursor.goto_next_sibling():
            runs.pop()
            if not cursor.goto_parent():
                return
