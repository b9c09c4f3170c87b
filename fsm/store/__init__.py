"""Where runs are kept: a directory, or a bucket."""

from fsm.store.base import Artifact, RunStore, Store, Taken, open_store

__all__ = ["Artifact", "RunStore", "Store", "Taken", "open_store"]
