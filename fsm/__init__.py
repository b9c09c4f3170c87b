"""A durable finite-state-machine engine whose programs are Mermaid diagrams.

    from fsm import Context, Machine, Phase     # what a pipeline is made of
    from fsm import Run, load                   # how it is run from Python: docs/library.md

Each name is looked up when it is asked for: `import fsm` imports nothing. Help for tests of pipelines is in `fsm.testing`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsm.engine import COUNTED, ELSEWHERE, Context, Detail, Machine, Outcome, Phase, Verdict
    from fsm.errors import FsmError
    from fsm.library import Run, load

__all__ = [
    "COUNTED",
    "ELSEWHERE",
    "Context",
    "Detail",
    "FsmError",
    "Machine",
    "Outcome",
    "Phase",
    "Run",
    "Verdict",
    "load",
]

_HOME = {"FsmError": "errors", "Run": "library", "load": "library"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fsm' has no attribute {name!r}")
    return getattr(import_module(f"fsm.{_HOME.get(name, 'engine')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
