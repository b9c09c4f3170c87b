"""The machine: what it is, its two ceilings, its clock and its memory."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.granite_8b.sizes import Sizes
from phases.student import processor


def machine(sizes: Sizes) -> dict[str, Any]:
    """What this is measured on, and its two ceilings: FLOP/s of a matrix product, bytes/s read and written by a copy."""
    import torch

    gpu = torch.cuda.is_available()
    found = {
        "device": torch.cuda.get_device_name() if gpu else f"CPU ({processor.kind()})",
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory if gpu else None,
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "versions": processor.versions(),
        "flash_attn": installed("flash-attn"),
        "flops_ceiling": _matrix_product(sizes.matmul),
        "bandwidth_ceiling": _copy(sizes.matmul**2 * 32),
    }
    release()
    return found


def _matrix_product(n: int) -> float:
    """FLOP/s of a product of random n by n matrices, in bf16 on a GPU and fp32 elsewhere."""
    import torch

    place, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    a, b = (torch.randn(n, n, device=place, dtype=dtype) for _ in range(2))
    return 2 * n**3 / timed(lambda: a @ b)


def _copy(size: int) -> float:
    """Bytes/s of a copy of `size` bytes, those read and those written both counted."""
    import torch

    block = torch.empty(size, device="cuda" if torch.cuda.is_available() else "cpu", dtype=torch.uint8)
    other = torch.empty_like(block)
    return 2 * size / timed(lambda: other.copy_(block))


def timed(do: Callable[[], Any], repeats: int = 5) -> float:
    """The median seconds of a call, after three calls that do not count."""
    taken = []
    for i in range(3 + repeats):
        synchronize()
        started = time.perf_counter()
        do()
        synchronize()
        if i >= 3:
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def synchronize() -> None:
    """Wait for the GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def release() -> None:
    """Give back what no one holds any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def peak() -> Iterator[dict[str, int | None]]:
    """The peak of the GPU's memory inside, in bytes: `allocated` by tensors, `reserved` by the allocator."""
    import torch

    found: dict[str, int | None] = {"allocated": None, "reserved": None}
    release()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    yield found
    if torch.cuda.is_available():
        found["allocated"] = torch.cuda.max_memory_allocated()
        found["reserved"] = torch.cuda.max_memory_reserved()


def installed(package: str) -> str | None:
    """The version of a package, None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
