"""A run and a drawing in a notebook: they show themselves, and a run in place as it goes on.

    from fsm import view
    view.run("local")             # the last value of a cell
    view.diagram("pipeline")      # or the path of a .mmd file

A front end that shows no pictures gets the text that stands beside each. The kernel's IPython is used where there is one.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import Any

from fsm.config import environment_secrets
from fsm.errors import FsmError
from fsm.mermaid import MermaidError
from fsm.secrets import redactor
from fsm.speech import visible
from fsm.store import Store, open_store
from fsm.view import render
from fsm.view.elsewhere import ENDED, moment, said
from fsm.view.following import Following, State
from fsm.view.tree import Frame, tree

EVERY = 1.0  # seconds between two looks, and so between two pictures
WIDTH = 100  # columns of the text
HEIGHT = 60
RECENT = 10  # newest records in it

SVG, TEXT = "image/svg+xml", "text/plain"
Bundle = dict[str, str]


def run(
    name: str, store: str | os.PathLike[str] | Store | None = None, machine: str | None = None
) -> RunView:
    """A run, on the drawing of `machine`, or of the innermost in progress. `store` is $FSM_STORE or this directory.

    It need not have begun. Raises ConfigError where no run can have that name, or it has no such machine.
    """
    if store is None or isinstance(store, str | os.PathLike):
        store = open_store(os.fspath(store or os.environ.get("FSM_STORE", ".")))
    return RunView(Following(store, name), machine)


def diagram(what: str | os.PathLike[str]) -> DiagramView:
    """A drawing: of the machine of that name, or of a file or a page's fence (`page.md#name`).

    Raises NoSuchRun where there is neither, ConfigError, DiagramError, DrawingError, MermaidError.
    """
    return DiagramView(os.fspath(what))


class DiagramView:
    """A drawing, as text and as a picture."""

    def __init__(self, what: str) -> None:
        found = render.of_drawing(what)
        self.where = found.where
        self.text = found.drawn.text
        self.svg = render.picture_of(found)

    def __repr__(self) -> str:
        return visible(self.text)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        return {SVG: self.svg, TEXT: repr(self)}


class RunView:
    """A run that shows itself. For several threads at once.

    Where a kernel shows it, a thread follows the run from then on, and replaces what is shown wherever it was, until the run
    ends or `stop` is called.
    """

    def __init__(self, following: Following, machine: str | None) -> None:
        self._following = following
        self._machine = machine
        self._redact = redactor(environment_secrets())
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._display = f"fsm-{uuid.uuid4()}"
        self._look()
        if following.projection.machines and machine is not None:
            render.of_reading(following.reading, following.store, machine)

    @property
    def state(self) -> str:
        """How the run stands: absent, beginning, running, stopped, done, failed, newer format or unreadable."""
        return str(self._following.state)

    def stop(self) -> None:
        """Follow the run no longer; what is shown stays."""
        self._end.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until nothing more is to be shown, or so many seconds; returns whether the run has ended, and that is shown."""
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                return False
        return self._following.state in ENDED

    def __repr__(self) -> str:
        with self._lock:
            self._look()
            return self._text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        with self._lock:
            self._look()
            return self._bundle()

    def _ipython_display_(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True, display_id=self._display)
        # a terminal cannot take back what it has shown
        if self._thread is None and getattr(get_ipython(), "kernel", None) is not None:
            self._thread = threading.Thread(target=self._go_on, name=self._display, daemon=True)
            self._thread.start()

    def _go_on(self) -> None:
        from IPython.display import update_display

        shown: tuple[object, ...] = ()
        ended = False
        while not ended:
            ended = self._end.wait(EVERY)
            with self._lock:
                self._look()
                ended = ended or self._following.state in ENDED
                now = moment(self._following)
                bundle = self._bundle() if now != shown else {}
            if bundle:
                shown = now
                update_display(bundle, raw=True, display_id=self._display)

    def _look(self) -> None:
        """Read to the end of what there is."""
        while self._following.poll() and not self._following.caught_up:
            pass

    def _bundle(self) -> Bundle:
        text = self._text()
        if not self._following.projection.records:
            return {TEXT: text}
        try:
            found = render.of_reading(self._following.reading, self._following.store, self._machine)
            return {SVG: self._redact(render.picture_of(found)), TEXT: text}
        except (FsmError, MermaidError) as e:  # the text is as good as ever
            return {TEXT: f"{text}\n{visible(self._redact(str(e)))}"}

    def _text(self) -> str:
        following = self._following
        running = following.state == State.RUNNING
        status = "" if running or following.state in ENDED else str(following.state)
        p = following.projection
        frame = Frame(
            time.time() if running else p.latest,
            WIDTH,
            HEIGHT,
            final=not running,
            redact=self._redact,
            told=True,
            recent=RECENT,
            status=status,
        )
        why = said(following)
        return "\n".join(
            [*(line.plain for line in tree(p, frame)), *([visible(self._redact(why))] if why else [])]
        )
