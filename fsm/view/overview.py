"""Where an overview stands while its detail runs: the refinement of `fsm.machine.Detail`, seen from above."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fsm.drawing import END, Chart, Edge, join, parent_of
from fsm.engine import Detail


def overview_states(detail: Detail, place: Iterable[str]) -> tuple[str, ...]:
    """The overview states (paths below the composite) that stand for a place of the detail.

    Several where one place of the detail is several of the overview's; none where the detail has ended.
    """
    place = tuple(place)
    return tuple(
        inner
        for inner, stands in detail.stands.items()
        if any(_stands(where, p) for where in stands for p in place)
    )


def _stands(where: str, path: str) -> bool:
    """Whether a path is what `stands` names: a state, or with `.*` a composite and all below it."""
    if where.endswith(".*"):
        return path == where[:-2] or path.startswith(where[:-1])
    return path == where


def path_between(
    chart: Chart, composite: str, was: tuple[str, ...], is_: tuple[str, ...], label: str | None
) -> list[Edge]:
    """The edges of the overview from where it stood to where it stands now.

    `was` may be several states that the detail does not tell apart; they are passed through in the order drawn. An
    empty `is_` is the end of the composite. Nothing where it stood nowhere before, or where no edge leads there.
    """
    if not was:
        return []
    prefix = composite + "."
    goals = {prefix + inner for inner in is_} if is_ else {join(composite, END)}
    through = {prefix + inner for inner in was}
    todo: list[tuple[str, list[Edge]]] = [(prefix + was[0], [])]
    seen = {prefix + was[0]}
    while todo:
        at, taken = todo.pop(0)
        edges = chart.out.get(at, ())
        for edge in sorted(
            edges, key=lambda e: e.label != label
        ):  # the detail's own label decides between two
            for way, reached in _follow(chart, [edge], composite):
                if reached in goals:
                    return taken + way
                if reached in through and reached not in seen:
                    seen.add(reached)
                    todo.append((reached, taken + way))
    return []


def _follow(chart: Chart, way: list[Edge], composite: str) -> Iterator[tuple[list[Edge], str]]:
    """Where the last edge of `way` comes to rest: composites are entered, and left by the edges of their own."""
    target = way[-1].target
    scope = parent_of(target)
    if target in chart.states:
        yield from ((way, inner) for inner in _entered(chart, target))
    elif scope == composite or not scope:
        yield way, target
    else:
        for edge in chart.out.get(scope, ()):
            yield from _follow(chart, [*way, edge], composite)


def _entered(chart: Chart, path: str) -> Iterator[str]:
    initial = chart.states[path].initial if path in chart.states else ()
    if initial:
        for inner in initial:
            yield from _entered(chart, inner)
    else:
        yield path
