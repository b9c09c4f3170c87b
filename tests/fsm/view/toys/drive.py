"""Run a configuration as `fsm.run` does: `python -m toys.drive CONFIG [LOG]`."""

import sys
from pathlib import Path

from fsm import config as configs
from fsm import session
from fsm.engine import Outcome, StopRequested
from fsm.speech import say, settle
from fsm.view.terminal import telling


def main() -> int:
    """The exit code of the run."""
    settle()
    config = configs.load(Path(sys.argv[1]))
    with telling(config, sys.argv[2] if len(sys.argv) > 2 else "auto") as (observer, logger):
        try:
            outcome = session.run(config, observer=observer, logger=logger)
        except StopRequested:
            outcome = Outcome("stopped", message="by a signal")
    say(f"ended: {outcome.outcome} {outcome.message}")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
