"""Its machines."""

from tests.fsm.engine.lines import machines

WORKS, BENCH, RESCUE = machines().values()
NAMES = {name: f"tests.crash.lines.machines:{name.upper()}" for name in machines()}
