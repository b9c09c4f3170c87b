"""The configuration: YAML to pydantic, unknown keys refused with the nearest known name, all that is wrong at once.

    machine: pipeline                  # what to run
    plug: {machines: machines, phases: phases}    # packages; or files beside this one: {drawing: x.mmd, handlers: x.py}
    recovery: error_recovery           # where exceptions go; leave out for none
    run: {name: local, seed: 42}
    store: .                           # a directory, or s3://bucket/prefix
    notify: {command: [./tell.sh]}     # who is told when the run ends, stops or asks, and webhook: URL likewise; leave out for none
    telemetry: {endpoint: http://localhost:4318}  # the collector that is sent the run's trace (OTLP); leave out for none
    work: work                         # scratch on this machine: checkpoints, caches
    data_preparation: {...}            # a section for each phase, read by the phase's own model

The file is YAML of the core schema of YAML 1.2. A value may name an environment variable, `${NAME}` or `${NAME:-default}`.
What the variable holds is used, and kept out of the journal and the logs wherever it looks like a secret or enters a field
that is one.
"""

from fsm.config.beside import Beside, findable
from fsm.config.environment import SECRET_NAME, VARIABLE, environment_secrets
from fsm.config.load import load, read_values
from fsm.config.model import Config, Engine, Notify, Plug, Run, Telemetry

__all__ = [
    "SECRET_NAME",
    "VARIABLE",
    "Beside",
    "Config",
    "Engine",
    "Notify",
    "Plug",
    "Run",
    "Telemetry",
    "environment_secrets",
    "findable",
    "load",
    "read_values",
]
