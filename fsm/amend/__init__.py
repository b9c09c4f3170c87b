"""Another program or other settings for a run that has begun: forked from a record, or accepted from here on."""

from fsm.amend.forking import Forked, fork, settings_of
from fsm.amend.program import Changes, changes, hold, in_force, texts

__all__ = ["Changes", "Forked", "changes", "fork", "hold", "in_force", "settings_of", "texts"]
