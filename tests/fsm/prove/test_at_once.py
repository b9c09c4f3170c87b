"""A pipeline whose branches go at once is proved like any other: its lines take turns, so that a moment comes again."""

from __future__ import annotations

from pathlib import Path

from fsm.prove import prove

CONFIG = """
machine: works
plug: {machines: tests.crash.lines.machines, phases: tests.crash.lines.phases}
recovery: rescue
run: {name: works, seed: 7}
"""


def test_what_goes_at_once_is_safe_wherever_it_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "works.yaml"
    file.write_text(CONFIG)
    states = prove(file, sample=24)
    assert sum(state.kills for state in states) == 24
    assert {state.state: state.unsafe for state in states if state.unsafe} == {}
