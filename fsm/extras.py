"""What is not installed, and the extra of an installed package that brings it, in one line.

The packages that are asked are those that bring something to `fsm`: whoever's phases need what is not there is told by that package's
own metadata how to get it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsm.errors import MissingExtra

if TYPE_CHECKING:
    from importlib.metadata import Distribution

BROUGHT_BY = {"re2": "google-re2", "yaml": "pyyaml"}
"""Modules that are named otherwise than the distribution that has them."""
LAST = ("test", "tests", "dev", "docs")
"""Extras for those who work on a package: named only where no other brings a module."""


def missing(error: BaseException) -> str | None:
    """What to install for an import that found nothing; None for any other error, and where no extra brings the module."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    from packaging.utils import canonicalize_name

    module = error.name.partition(".")[0]
    wanted = canonicalize_name(BROUGHT_BY.get(module, module))
    for one in sorted(_bringing(), key=lambda d: d.name):
        if extra := _extra(one, wanted):
            return f"The module {module} is not installed here. It comes with an extra: pip install '{one.name}[{extra}]'"
    return None


def wanting(error: BaseException, where: str) -> MissingExtra | None:
    """The error of a state that wants an extra which is not there; None for any other."""
    said = missing(error)
    return MissingExtra(f"{where}: {said}, and then give the same command again.") if said else None


def _bringing() -> Iterator[Distribution]:
    from importlib.metadata import distributions

    for one in distributions():
        if any(entry.group.partition(".")[0] == "fsm" for entry in one.entry_points):
            yield one


def _extra(one: Distribution, wanted: str) -> str | None:
    """The first extra of a distribution, as its metadata has them, that requires the wanted one; None where none does."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    extras: list[str] = one.metadata.get_all("Provides-Extra") or []
    required = [
        r for r in map(Requirement, one.requires or ()) if canonicalize_name(r.name) == wanted and r.marker
    ]
    for extra in sorted(extras, key=lambda e: e in LAST):
        if any(r.marker and r.marker.evaluate({"extra": extra}) for r in required):
            return extra
    return None
