"""Which settings the past of a run was made with.

What is tracked: a handler is given the section of its phase, whether it looks at it or not; and each section of another phase
that it asks for (`ctx.section`) is named in the record of its visit. So a section counts as used from the first record of a
machine of its phase on, or from the record that names it; the run's seed from the first record on. What is not tracked: single keys of
a section, what a handler reads off `ctx.program` or `ctx.config_text`, and what it takes from the environment or from files.
A visit that was begun and not ended counts by what its record says later, where the run went on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SEED = "run"
"""The section that the seed stands in."""


@dataclass(frozen=True)
class Use:
    """The first use of a section: the record, and whose handler."""

    seq: int
    machine: str
    state: str

    def __str__(self) -> str:
        return f"record {self.seq}, {self.machine}: {self.state}"


def used(records: Iterable[Mapping[str, Any]], past: int, section_of: Callable[[str], str]) -> dict[str, Use]:
    """The first use of each section in the first `past` of some records; the later ones tell of visits that were under way.

    `section_of` is the section of a machine's phase.
    """
    found: dict[str, Use] = {}
    open_visits: dict[tuple[Any, ...], Use] = {}
    for number, record in enumerate(records):
        if "from" not in record:
            continue
        use = Use(record["seq"], record["machine"], record["from"])
        visit = (tuple(record["at"]), record["from"], record["visit"])
        left = record["kind"] == "transition"
        if number < past:
            found.setdefault(SEED, use)
            found.setdefault(section_of(record["machine"]), use)
            if left:
                _asked(found, record, use)
                for key in (visit, (*visit[:2], None)):
                    open_visits.pop(key, None)
            else:
                open_visits.setdefault(visit, use)
            for depth, step in enumerate(record["at"]):  # whoever called down is in the middle of its visit
                above = (tuple(record["at"][:depth]), step.partition("~")[0], None)
                open_visits.setdefault(above, use)
        elif left:
            for key in (visit, (*visit[:2], None)):
                if began := open_visits.pop(key, None):
                    _asked(found, record, began)
    return found


def _asked(found: dict[str, Use], record: Mapping[str, Any], use: Use) -> None:
    for section in record.get("uses") or ():
        found.setdefault(section, use)
