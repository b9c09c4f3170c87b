"""A function is recursive if it lies on a cycle of calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phases.quality_scoring.callgraph import on_cycles

NODES = "abcdefgh"


@given(st.fixed_dictionaries({n: st.sets(st.sampled_from(NODES), max_size=4) for n in NODES}))
def test_a_node_is_found_if_and_only_if_it_reaches_itself(graph: dict[str, set[str]]) -> None:
    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo.extend(graph[node])
        return seen

    assert on_cycles(graph) == {n for n in NODES if n in reached(n)}
