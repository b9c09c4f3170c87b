"""Texts that are refused because looking into them takes too long."""

from __future__ import annotations

from tree_sitter import Tree

_HEAP = 4096


class Unreadable(ValueError):
    """A text so far from C that it is not worth the time to look into it."""


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
