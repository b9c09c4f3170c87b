"""The states of a run as the lines of a tree: phases, the present path opened, how far each is.

Reads a projection, knows the size it may take, and returns lines no wider and no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.cells import cell_len
from rich.text import Text

from fsm.drawing import ROOT
from fsm.engine import Machine
from fsm.journal import RECOVERY, base
from fsm.speech import one_for_one
from fsm.view.durations import duration, elapsed
from fsm.view.projection import Level, Progress, Projection, StateView
from fsm.view.rows import one_line, what

BAR = 20  # cells of a progress bar
NARROW = 60  # columns below which names are not aligned and bars are short
LONGEST = 200  # characters of an error in words
TALL = 20  # lines of a terminal that has room for records beside a tree that would fill it
LEAST = 4  # lines of those
TINY = 40  # columns below which there is no room for bars
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@dataclass(frozen=True)
class Glyphs:
    """The marks of the tree."""

    done: str = "✔"
    never: str = "○"
    failed: str = "✘"
    paused: str = "■"
    spinner: str = SPINNER
    bar: str = "━"
    rest: str = "─"
    dot: str = " · "
    arrow: str = "→"
    follows: str = "↳"
    more: str = "…"
    control: str = "\ufffd"  # for a character that a terminal would obey


UNICODE = Glyphs()
ASCII = Glyphs("+", "-", "x", "#", "|/-\\", "#", ".", " - ", "->", ">", "~", "?")


@dataclass
class _Row:
    """One line before it is laid out. `path` rows lead to what is in hand and are never folded away."""

    depth: int
    mark: str
    style: str
    name: Text
    details: list[Text] = field(default_factory=list)
    path: bool = False
    group: int = 0  # which list of siblings it is of
    state: str = "never"  # done, active, never, failed: what a fold of siblings counts
    aside: bool = False  # says more of the row above it, and goes first where room is short


@dataclass(frozen=True)
class Frame:
    """What the tree is drawn with: the time, the size, and which picture of the spinner is due."""

    now: float
    width: int
    height: int
    tick: int = 0
    final: bool = False  # the last picture: nothing turns any more
    glyphs: Glyphs = UNICODE
    redact: Callable[[str], str] = str
    told: bool = False  # errors in words, and the edges out of the state in hand
    recent: int = 0  # newest records below the tree, where there is room
    status: str = ""  # how the run stands, where that is not for the projection to say


def tree(projection: Projection, frame: Frame, below: Sequence[Text] = ()) -> list[Text]:
    """The lines of a run: a head, its states, and `below`; cropped to the frame."""
    head = _head(projection, frame)
    room = max(1, frame.height - 1 - len(below))
    rows = _Rows(projection, frame).all()
    recent = _recent(projection, frame, room - len(rows))
    rows = _fitted(rows, room - len(recent), frame)
    lines = [head, *_laid_out(rows, frame), *recent, *below]
    for line in lines:
        line.plain = one_for_one(line.plain, frame.glyphs.control)
        line.no_wrap = True
        line.truncate(max(1, frame.width), overflow="ellipsis")
    return lines[: max(1, frame.height)]


def _head(p: Projection, frame: Frame) -> Text:
    stack = p.stack()
    machine = stack[0].machine if stack else next(iter(p.tallies), "")
    dot = frame.glyphs.dot
    middle = [machine] if machine and machine != p.name and frame.width >= TINY else []
    if frame.height == 1 and stack:  # it is all there is room for
        middle = [_last(stack[-1].state)]
    tail = Text(style="bold")
    if p.began:
        seconds = (p.latest if p.ended or not stack else frame.now) - p.began
        tail.append(dot + elapsed(max(0.0, seconds)))
    if p.ended:
        good = p.ended["outcome"] == "done"
        tail.append(dot + p.ended["outcome"], style="bold green" if good else "bold red")
    elif frame.status or frame.final:
        tail.append(dot + (frame.status or "stopped"), style="bold yellow")
    words = [p.name, *middle] if p.name else middle
    text = Text(dot.join(words) if words else "", style="bold")
    text.truncate(max(1, frame.width - tail.cell_len), overflow="ellipsis")  # the end is what changes
    return text.append_text(tail if words else tail[len(dot) :])


class _Rows:
    """Collects the rows of a run and of those it follows."""

    def __init__(self, projection: Projection, frame: Frame, depth: int = 0) -> None:
        self.p = projection
        self.frame = frame
        self.depth = depth
        self.rows: list[_Row] = []
        self.groups = 0

    def all(self) -> list[_Row]:
        stack = self.p.stack()
        machine = stack[0].machine if stack else self._root()
        if machine:
            self._machine(machine, stack, self.depth)
        return self.rows

    def _root(self) -> str:
        """The machine a run that has ended was of: the first one seen."""
        return next(iter(self.p.tallies), "")

    def _machine(self, name: str, stack: list[Level], depth: int) -> None:
        """The states of one machine; `stack` begins with its own level."""
        machine = self.p.machines.get(name)
        views = self.p.states(name)
        if machine is None:
            shown = list(views)
            self._siblings(shown, views, None, stack, depth)
        else:
            self._siblings([s.path for s in machine.chart.children(ROOT)], views, machine, stack, depth)

    def _siblings(
        self,
        paths: list[str],
        views: dict[str, StateView],
        machine: Machine | None,
        stack: list[Level],
        depth: int,
    ) -> None:
        self.groups += 1
        group = self.groups
        beside = [lv for lv in stack if base(lv.at) == base(stack[0].at)]  # several where lines go at once
        standing = [p for lv in beside for p in lv.place]
        for path in paths:
            view = views.get(path, StateView(path))
            active = [p for p in standing if p == path or p.startswith(path + ".")]
            own = next((lv for lv in beside if lv.state == path), None)
            below = [
                lv for lv in stack if own and len(lv.at) > len(own.at) and lv.at[: len(own.at)] == own.at
            ]
            self.rows.append(self._state(view, bool(active), own, machine, stack, depth, group))
            if self.frame.told:
                self._aside(view, None if below else own, machine, depth + 1, group)
            if not active:
                continue
            if path not in standing and machine is not None:  # it stands in something inside
                inner = [s.path for s in machine.chart.children(path)]
                self._siblings(inner, views, machine, stack, depth + 1)
            elif own is not None:
                self._below(own, below, depth + 1)

    def _aside(
        self, view: StateView, own: Level | None, machine: Machine | None, depth: int, group: int
    ) -> None:
        """The error that a state failed by, and the edges out of it where the run stands in it."""
        glyphs = self.frame.glyphs
        if view.failing and view.error:
            said = Text(one_line(self.frame.redact(view.error), LONGEST), style="red")
            self.rows.append(_Row(depth, "!", "red", said, group=group, aside=True))
        if own is None or machine is None:
            return
        for edge in machine.chart.edges:
            if edge.source != view.path or edge.seen_outside:
                continue
            label = f"{edge.label} {glyphs.arrow} " if edge.label else ""
            name = Text(f"{label}{_last(edge.target) or '[*]'}", style="dim")
            taken = self.p.taken(machine.name, edge)
            details = [Text(_times(taken, glyphs), style="dim")] if taken else []
            self.rows.append(_Row(depth, glyphs.arrow, "dim", name, details, group=group, aside=True))

    def _below(self, level: Level, stack: list[Level], depth: int) -> None:
        """What a state in hand has called, or follows."""
        if stack:
            if stack[0].at[-1].endswith(RECOVERY):
                self._recovery(stack[0], depth)
            else:
                self._machine(stack[0].machine, stack, depth)
        followed = self.p.watched.get((*level.at, level.state))
        if followed is not None:
            dot = self.frame.glyphs.dot
            how = followed.ended["outcome"] if followed.ended else "" if followed.records else "not begun"
            name = Text(f"run {followed.name}") + Text(f"{dot}{how}" if how else "", style="dim")
            self.groups += 1
            self.rows.append(
                _Row(depth, self.frame.glyphs.follows, "cyan", name, path=True, group=self.groups)
            )
            below = _Rows(followed, self.frame, depth + 1)
            for row in below.all():
                row.group += self.groups
                self.rows.append(row)
            self.groups += below.groups

    def _recovery(self, level: Level, depth: int) -> None:
        self.groups += 1
        name = Text("recovering: ") + Text(_last(level.state), style="yellow")
        since = Text(elapsed(max(0.0, self.frame.now - level.since)), style="dim")
        mark = self.frame.glyphs.failed
        self.rows.append(_Row(depth, mark, "yellow", name, [since], path=True, group=self.groups))

    def _state(
        self,
        view: StateView,
        active: bool,
        own: Level | None,
        machine: Machine | None,
        stack: list[Level],
        depth: int,
        group: int,
    ) -> _Row:
        glyphs = self.frame.glyphs
        state, mark, style = "never", glyphs.never, "dim"
        if active and not self.frame.final:
            state, mark, style = "active", glyphs.spinner[self.frame.tick % len(glyphs.spinner)], "bold cyan"
        elif active:
            state, mark, style = "active", glyphs.paused, "yellow"
        elif view.visits and not view.failing:
            state, mark, style = "done", glyphs.done, "green"
        if view.failing and (not active or self.frame.final):
            state, mark, style = "failed", glyphs.failed, "red"
        name = Text(
            _last(view.path), style={"never": "dim", "active": "bold", "failed": "red"}.get(state, "")
        )
        if own and own.overview:
            name.append(self.frame.glyphs.dot + "/".join(map(_last, own.overview)), style="cyan")
        row = _Row(depth, mark, style, name, path=active, group=group, state=state)
        row.details = self._details(view, active, own, stack)
        return row

    def _details(self, view: StateView, active: bool, own: Level | None, stack: list[Level]) -> list[Text]:
        details = []
        if own and own.progress:
            details.append(_bar(own.progress, self.frame))
        if own:
            details.append(Text(elapsed(max(0.0, self.frame.now - own.since))))
            if own.visit > 1:
                details.append(Text(f"visit {own.visit}", style="cyan"))
        elif view.visits and not active:
            details.append(Text(duration(view.seconds), style="dim"))
            if view.visits > 1:
                details.append(Text(_times(view.visits, self.frame.glyphs)))
        if view.skipped:
            details.append(Text(f"{view.skipped} skipped", style="yellow"))
        if view.errors:
            details.append(Text(f"{view.errors} error{'s' if view.errors > 1 else ''}", style="red"))
        if view.label and not active:
            details.append(Text(f"{self.frame.glyphs.arrow} {view.label}", style="dim italic"))
        return details


def _times(count: int, glyphs: Glyphs) -> str:
    return f"×{count}" if glyphs is UNICODE else f"{count} times"


def _recent(p: Projection, frame: Frame, spare: int) -> list[Text]:
    """The newest records, newest last: as many as `spare` lines take, and on a tall terminal some in any case."""
    least = LEAST if frame.height >= TALL else 0
    count = min(frame.recent, max(spare, least) - 1)
    if count < 1 or not p.records:
        return []
    rows = p.recent[-count:]
    seq = max(len(str(row["seq"])) for row in rows)
    lines = [Text(f"newest of {p.records} records", style="dim")]
    for row in rows:
        at = datetime.fromisoformat(row["time"]).astimezone().strftime("%H:%M:%S")
        line = Text(f"{row['seq']:>{seq}} {at}  ", style="dim")
        if "place" in row:
            line.append(f"{_last(row['place'].rpartition(' > ')[2])}: ")
        style = {"error": "red", "verdict": "yellow"}.get(row["kind"], "")
        line.append(one_line(frame.redact(what(row, LONGEST)), LONGEST), style=style)
        if "took" in row:
            line.append(f"  {duration(row['took'])}", style="dim")
        lines.append(line)
    return lines


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _bar(progress: Progress, frame: Frame) -> Text:
    glyphs = frame.glyphs
    text = Text()
    if progress.total > 0:
        cells = BAR if frame.width >= NARROW else BAR // 2 if frame.width >= TINY else 0
        full = round(cells * min(1.0, max(0.0, progress.done / progress.total)))
        text.append(glyphs.bar * full, style="cyan").append(glyphs.rest * (cells - full), style="dim")
        text.append(f"{' ' if cells else ''}{progress.done:g}/{progress.total:g}")
    else:
        text.append(f"{progress.done:g}")
    if progress.note:
        text.append(f" {frame.redact(' '.join(progress.note.split()))}", style="dim")
    return text


def _fitted(rows: list[_Row], room: int, frame: Frame) -> list[_Row]:
    """At most `room` rows: siblings beside the path are counted instead of listed, the middle of the tree first."""
    if len(rows) > room:
        rows = [row for row in rows if not row.aside]
    groups = list(dict.fromkeys(row.group for row in rows))
    order = [*groups[1:-1], *groups[:1], *groups[-1:]] if len(groups) > 1 else groups
    for group in order:
        if len(rows) <= room:
            return rows
        rows = _folded(rows, group, frame)
    if len(rows) > room:
        rows = [row for row in rows if row.path] or rows
    return rows[-room:]


def _folded(rows: list[_Row], group: int, frame: Frame) -> list[_Row]:
    """The rows with those of a group that are not on the path counted, before it and after it."""
    out: list[_Row] = []
    run: list[_Row] = []

    def flush() -> None:
        if len(run) < 2:
            out.extend(run)
        else:
            out.append(_counted(run, frame))
        run.clear()

    for row in rows:
        if row.group == group and not row.path:
            run.append(row)
        else:
            flush()
            out.append(row)
    flush()
    return out


def _counted(run: list[_Row], frame: Frame) -> _Row:
    """Siblings in one row."""
    words = {"done": "done", "failed": "failed", "never": "not visited", "active": "active"}
    counts = {state: sum(row.state == state for row in run) for state in words}
    said = ", ".join(f"{n} {words[state]}" for state, n in counts.items() if n)
    style = "red" if counts["failed"] else "dim"
    return _Row(run[0].depth, frame.glyphs.more, style, Text(said, style="dim"), group=run[0].group)


def _laid_out(rows: list[_Row], frame: Frame) -> list[Text]:
    aligned = frame.width >= NARROW
    widest = max((2 * row.depth + 2 + cell_len(row.name.plain) for row in rows if row.details), default=0)
    column = min(widest, frame.width // 2) if aligned else 0
    lines = []
    for row in rows:
        line = Text("  " * row.depth)
        line.append(row.mark + " ", style=row.style)
        line.append_text(row.name)
        if row.details:
            line.append(" " * max(2, column + 2 - cell_len(line.plain)))
            for i, detail in enumerate(row.details):
                line.append("  " if i else "")
                line.append_text(detail)
        lines.append(line)
    return lines
