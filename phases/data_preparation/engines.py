"""Who works on the chunks: this process, worker processes beside it, or Ray. The results come in the order of the chunks.

No more chunks are begun than there are workers for, and two more (processes.py).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from phases.data_preparation.planning import Chunk
from phases.data_preparation.processes import WAITING, ordered, several
from phases.data_preparation.working import Done, Settings, work
from phases.errors import ContainerError, NotProvided

Map = Callable[[Iterable[Chunk]], Iterator[Done]]
"""What is done of chunks, in their order."""
Kind = Literal["local", "ray"]
PACKAGES = ("fsm", "machines", "phases")


@contextmanager
def engine(kind: Kind, workers: int, settings: Settings, address: str | None = None) -> Iterator[Map]:
    """The way to get chunks done, by so many workers at a time; what was begun for it ends with it."""
    if kind == "ray":
        with _ray(workers, settings, address) as mapping:
            yield mapping
    else:
        with several(workers, settings) as each:
            yield lambda chunks: each(_work, chunks)


def _work(settings: Settings, chunk: Chunk) -> Done:
    return work(settings, chunk, chunk.contents())


# Ray


@contextmanager
def _ray(workers: int, settings: Settings, address: str | None) -> Iterator[Map]:
    """On a cluster at an address, or on one of this machine alone. A cluster is given the code, and the files' bytes."""
    try:
        import ray
    except ImportError as error:
        raise NotProvided(
            "data_preparation.engine is ray, and Ray is not installed here. Install it with the extra `ray` "
            "(pip install 'fsm-pipelines[ray]'), or set data_preparation.engine: local."
        ) from error
    here: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
    handler = signal.getsignal(signal.SIGTERM)
    code = {"py_modules": [str(Path(_of(name)).parent) for name in PACKAGES]} if address else None
    try:
        ray.init(
            address=address or "local",
            runtime_env=code,
            log_to_driver=False,
            configure_logging=False,
            **here,
        )
    except ConnectionError as error:
        raise ContainerError(
            f"data_preparation.ray_address is {address!r}, and no Ray cluster answers there: {error}. Start it, or correct the address."
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's own ends the process where it stands
    try:
        remote = ray.remote(work)
        given = ray.put(settings)
        most = (int(ray.cluster_resources().get("CPU", 1)) if address else workers) + WAITING
        yield lambda chunks: ordered(
            chunks, lambda c: remote.remote(given, c, c.contents()), lambda ref: ray.get(ref), most
        )
    finally:
        ray.shutdown()


def _of(package: str) -> str:
    file = import_module(package).__file__
    assert file is not None
    return file
