"""The runs whose records tell together where a run's data came from and went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fsm.journal import Journal, whole
from fsm.store import Store


def family(store: Store, name: str) -> dict[str, list[dict[str, Any]]]:
    """The records of a run by its name; before them those of the runs it came after, behind them those in its job.

    What ran in the jobs of the runs before is no part of it: `--from` brings what those runs themselves put. A run in the job may have no records yet. Raises NoSuchRun, for a run that another one came after too.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    before: str | None = name
    while before is not None and before not in found:
        journal = Journal(store.run(before))
        source = journal.header().get("config", {}).get("run", {}).get("source")
        found = {before: list(whole(journal.store)), **found}
        before = source or None
    for child in dict.fromkeys(_children(found[name])):
        if child not in found:
            begun = store.run(child).read_header() is not None
            found[child] = list(Journal(store.run(child)).records()) if begun else []
    return found


def _children(records: list[dict[str, Any]]) -> Iterator[str]:
    """The runs that jobs of these records did their work as."""
    for record in records:
        if record["kind"] == "transition" and record["machine"] == "pipeline":
            job = (record.get("data") or {}).get("set", {}).get("job")
            if job:
                yield job["run"]
