"""The live tree: one thread that owns the terminal, fed through a queue.

The runner's thread only ever puts into the queue, which a signal cannot interrupt half-way; everything else, the
projection included, belongs to the painter's thread. So the terminal is put back however the run ends.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from fsm.errors import FsmError
from fsm.speech import MOST, NOT_READ, Outlet, stripped, visible
from fsm.view.projection import Projection, flat
from fsm.view.tree import ASCII, NARROW, UNICODE, Frame, tree

if TYPE_CHECKING:
    from fsm.engine import Machine
    from fsm.journal import Watch
    from fsm.store import RunStore

TICK = 0.15  # seconds between two pictures
BETWEEN_POLLS = 0.5  # seconds between two looks at a run that is followed
POLL_ELSEWHERE = 2.0  # the same of one in a bucket, where every look is a request
WARNINGS = 3  # lines below the tree
RECENT = 10  # newest records below the tree, where there is room
MARGIN = 3  # columns left free, for what a terminal echoes (^C)


class _Sheet(io.StringIO):
    """What a picture is drawn on before it goes to the terminal as one text."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def take(self) -> str:
        """The text since the last call."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class Painter:
    """Draws a projection until it is closed. `stray` gives stray lines; `redact` takes secrets out of what is shown.

    Pictures go to `outlet`, which leads to `terminal`, and only when it has nothing else to write: a terminal that is
    halted or slow is shown fewer of them, and nobody waits.
    """

    def __init__(
        self,
        projection: Projection,
        terminal: TextIO,
        outlet: Outlet,
        *,
        stray: Callable[[], list[str]] = list,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._projection = projection
        self._shown: tuple[Projection, str, str] | None = None
        self._terminal = terminal
        self._outlet = outlet
        self._sheet = _Sheet(terminal.encoding)
        self._console = console = Console(
            file=self._sheet, force_terminal=True, highlight=False, markup=False, emoji=False
        )
        self._stray = stray
        self._redact = redact
        self._changes: SimpleQueue[Callable[[Projection], None]] = SimpleQueue()
        self._lines: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._ready = threading.Event()  # the projection has what was there before
        self._above: deque[Text] = deque()
        self._dropped = 0  # lines above that a halted terminal could not be given
        self._below: deque[Text] = deque()
        self._end = threading.Event()
        self._tick = 0
        self._troubled = False
        self._handed = 0  # lines above the picture on the sheet
        self._drawn: list[int] = []  # cells of each line of the last picture
        self._width = 0
        self._glyphs = UNICODE if (console.encoding or "").lower().startswith("utf") else ASCII
        self._live = Live(
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._resized()
        self._thread = threading.Thread(target=self._paint, name="terminal", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Draw the last picture and give the terminal back. An interrupt meanwhile does not get in the way."""
        self._end.set()
        while self._thread.is_alive():
            try:
                self._thread.join()
            except KeyboardInterrupt:
                continue

    # From any thread

    def do(self, event: Callable[[Projection], None]) -> None:
        """Have something done to the projection, in the painter's thread."""
        self._changes.put(event)

    def begin_with(self, projection: Projection) -> None:
        """Show this projection, and do to it what was to be done meanwhile."""
        self._projection = projection
        self._ready.set()

    def show(self, projection: Projection, status: str, why: str) -> None:
        """Show this from here on, which nobody else touches any more, and not what is done by `do`.

        `status` is how the run stands, empty while it is being run; `why` stands below the tree.
        """
        self._shown = projection, status, why

    def line(self, level: str, line: str) -> None:
        """A line of the log: above the tree; a warning stays below it until newer ones push it up."""
        self._lines.put((level, line))

    # In the painter's thread

    def _paint(self) -> None:
        try:
            with self._live:
                while not self._end.wait(TICK):
                    self._drain()
                    if self._outlet.idle:  # or a picture would wait behind one that nobody has seen
                        self._draw()
                        self._hand_over()
                self._drain()
                self._outlet.wait()
                self._draw(final=True)
        finally:
            self._console.show_cursor(True)
            self._hand_over()

    def _hand_over(self) -> None:
        self._outlet.put(self._sheet.take(), lines=self._handed)
        self._handed = 0

    def _draw(self, final: bool = False) -> None:
        """Draw on the sheet: lines above, a picture below them."""
        lost = self._outlet.owed()
        if self._dropped:
            lost[NOT_READ], self._dropped = lost.get(NOT_READ, 0) + self._dropped, 0
        for why, count in lost.items():
            if count:
                said = f"{count} line{'s' if count > 1 else ''} of the log could not be shown: {why}."
                self._above.appendleft(Text(said, "yellow"))
        if final:  # in full, now that nothing is to follow
            self._above.extend(self._below)
            self._below.clear()
        self._resized()
        projection, status, why = self._shown or (self._projection, "", "")
        frame = Frame(
            time.time() if not status else projection.latest,
            max(1, self._console.width - MARGIN),
            10_000 if final else max(1, self._console.height - 1),
            self._tick,
            final or bool(status),
            self._glyphs,
            self._redact,
            told=True,
            recent=0 if final and not self._shown else RECENT,
            status=status,
        )
        below = [Text(line, "yellow") for line in wrap(visible(self._redact(why)), frame.width)]
        lines: list[Text] = []
        with self._mishaps():
            lines = tree(projection, frame, [*below, *self._below])
        self._tick += 1
        self._drawn = [line.cell_len for line in lines]
        self._live.update(Text("\n").join(lines))
        if self._above:
            self._handed = len(self._above)
            self._console.print(Text("\n").join(self._above), soft_wrap=True)
            self._above.clear()
        else:
            self._live.refresh()

    def _drain(self) -> None:
        with suppress(Empty):
            while self._ready.is_set():
                change = self._changes.get_nowait()
                with self._mishaps():
                    change(self._projection)
        with suppress(Empty):
            while True:
                self._line(*self._lines.get_nowait())
        for line in self._stray():
            self._above.append(Text(visible(self._redact(stripped(line))), style="dim"))
        while len(self._above) > MOST:
            self._above.popleft()
            self._dropped += 1

    @contextmanager
    def _mishaps(self) -> Iterator[None]:
        """A picture that cannot be drawn is no reason for the run to stop: said once, and the run goes on."""
        try:
            yield
        except Exception as e:
            if not self._troubled:
                self._above.append(
                    Text(f"The tree cannot be drawn ({e!r}); the run goes on without.", "yellow")
                )
            self._troubled = True

    def _line(self, level: str, line: str) -> None:
        text = Text.from_ansi(line)
        # a line below is cut where the terminal ends; one above is not
        if self._width < NARROW or level not in ("warning", "error", "critical") or "\n" in line:
            self._above.append(text)
            return
        self._below.append(text)
        if len(self._below) > WARNINGS:
            self._above.append(self._below.popleft())

    def _resized(self) -> None:
        """Ask how large the terminal is. One that became narrower has broken the lines that stand: go above them all."""
        try:
            width, height = os.get_terminal_size(self._terminal.fileno())
        except (OSError, ValueError):
            return
        if width <= 0 or height <= 0:  # a terminal that does not know
            width, height = 80, 24
        if self._width and width < self._width:
            more = sum(max(0, -(-cells // width) - 1) for cells in self._drawn)
            up = [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)] * min(more, height - 1)
            if up:
                # written past Live, which would draw its picture first
                self._sheet.write(str(Control((ControlType.ERASE_IN_LINE, 2), *up)))
        self._width = width
        self._console.size = (width, height)


class Teller:
    """The observer that feeds a painter, with what the journal held before and with the runs that are followed."""

    def __init__(
        self,
        painter: Painter,
        logger: Any,
        empty: Callable[[], Projection],
        machines: Callable[[Watch], Mapping[str, Machine]],
    ) -> None:
        self._painter = painter
        self._logger = logger
        self._empty = empty
        self._machines = machines
        self._end = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def opened(self, run: RunStore, records: int) -> None:
        self._start("journal", self._remember, run, records)

    def record(self, record: Mapping[str, Any]) -> None:
        from fsm.view.lines import tell

        self._painter.do(lambda p: p.apply(record))
        if record["kind"] in ("error", "verdict", "ask", "cancel"):
            tell(self._logger, flat(record))

    def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
        now = time.time()
        self._painter.do(lambda p: p.entered(at, machine, state, visit, now))

    def progress(self, at: list[str], state: str, done: float, total: float, note: str) -> None:
        self._painter.do(lambda p: p.progress(at, state, done, total, note))

    def watched(self, at: list[str], state: str, watch: Watch) -> None:
        from fsm.journal import Watch

        name = watch.run.name
        if name not in self._threads:
            below = Projection()
            below.name = name
            self._painter.do(lambda p: p.watch(at, state, below))
            self._start(name, self._follow, Watch(watch.run), below)

    def _start(self, name: str, do: Callable[..., None], *args: Any) -> None:
        self._threads[name] = threading.Thread(target=do, args=args, name=f"reads {name}", daemon=True)
        self._threads[name].start()

    def _remember(self, run: RunStore, records: int) -> None:
        """What happened before this process came, read beside the run so that it waits for nothing."""
        from fsm.journal import Journal

        projection = self._empty()
        try:
            projection.read(islice(Journal(run).records(), records))
        except FsmError as e:
            self._logger.warning("the journal so far cannot be shown", why=e.message)
        self._painter.begin_with(projection)

    def close(self) -> None:
        """Look at the followed runs a last time, if that is soon done."""
        self._end.set()
        for thread in self._threads.values():
            thread.join(BETWEEN_POLLS)

    def _follow(self, watch: Watch, below: Projection) -> None:
        every = POLL_ELSEWHERE if "://" in watch.run.url else BETWEEN_POLLS
        while True:
            ending = self._end.wait(every)
            try:
                live = watch.live()  # before the records, which then are no older
                new = watch.poll()
                if new and not below.machines:
                    below.machines = self._machines(watch)
            except FsmError as e:
                self._logger.warning("cannot be followed", run=watch.run.name, why=e.message)
                return
            self._painter.do(partial(_brought, below, new, live))
            if ending or watch.ended:
                return


def _brought(
    projection: Projection, records: list[dict[str, Any]], live: dict[str, Any] | None, _: Projection
) -> None:
    from fsm.view.report import say_now

    projection.read(records)
    if live:
        say_now(projection, live)
