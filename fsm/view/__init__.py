"""How a run is shown: one projection of its records, and the faces that are drawn from it.

`commands` and `render` are what the command line calls. The rest of the face is looked up when it is asked for: a face
needs libraries that the others do without. In a notebook `view.run("local")` and `view.diagram("pipeline")` show themselves.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsm.view.durations import duration
    from fsm.view.notebook import diagram, run
    from fsm.view.palette import NOTHING, TAKEN
    from fsm.view.render import Flow, write
    from fsm.view.report import is_alive
    from fsm.view.terminal import telling
    from fsm.view.web.beside import watching
    from fsm.view.web.panels import RunFiles
    from fsm.view.web.server import serve

__all__ = [
    "NOTHING",
    "TAKEN",
    "Flow",
    "RunFiles",
    "diagram",
    "duration",
    "is_alive",
    "run",
    "serve",
    "telling",
    "watching",
    "write",
]

_HOME = {
    "NOTHING": "palette",
    "TAKEN": "palette",
    "Flow": "render",
    "RunFiles": "web.panels",
    "diagram": "notebook",
    "duration": "durations",
    "is_alive": "report",
    "run": "notebook",
    "serve": "web.server",
    "telling": "terminal",
    "watching": "web.beside",
    "write": "render",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fsm.view' has no attribute {name!r}")
    return getattr(import_module(f"fsm.view.{_HOME[name]}"), name)
