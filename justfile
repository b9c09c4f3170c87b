# The daily commands: https://just.systems

python := ".venv/bin/python"

# what CI says first: lint, format, types
check:
    {{python}} -m ruff check .
    {{python}} -m ruff format --check .
    {{python}} -m mypy

# some tests: `just test tests/fsm/check -k sound`
test *what:
    {{python}} -m pytest {{what}}

# everything, as CI does
suite:
    {{python}} -m tests

# the whole pipeline on this machine
local:
    {{python}} -m fsm.run configs/local.yaml

# draw the rooms of docs/architecture.md anew
rooms:
    {{python}} -m tests.rooms

# the site of docs/, in build/site
site:
    {{python}} -m mkdocs build --strict
