"""Where runs are kept: a directory, or a bucket."""

from fsm.store.base import RUN_NAME, Artifact, RunStore, Store, Taken, open_store, run_name

__all__ = ["RUN_NAME", "Artifact", "RunStore", "Store", "Taken", "open_store", "run_name"]
