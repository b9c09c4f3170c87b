"""Recursion, on a graph of who calls whom."""

from __future__ import annotations


def on_cycles(graph: dict[str, set[str]]) -> set[str]:
    """The nodes that lie on a cycle: strong components of several nodes (Tarjan 1972, without recursion), self-loops."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found = {node for node, to in graph.items() if node in to}
    for root in graph:
        if root in order:
            continue
        path = [(root, iter(sorted(graph[root])))]
        while path:
            node, edges = path[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                stack.append(node)
                on_stack.add(node)
            for to in edges:
                if to not in order:
                    path.append((to, iter(sorted(graph[to]))))
                    break
                if to in on_stack:
                    low[node] = min(low[node], order[to])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == order[node]:
                    component = stack[stack.index(node) :] if stack[-1] != node else [node]
                    del stack[-len(component) :]
                    on_stack.difference_update(component)
                    if len(component) > 1:
                        found.update(component)
    return found
