"""How a run is shown: one projection of its journal, and its faces."""
