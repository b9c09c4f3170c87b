"""Answers are kept as they come: what a kill tears is one line, and that is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from phases.student.generate import Output
from phases.student.kept import Kept

ONE, TWO = (Output(f"Write {n}.", f"int {n};\u2028\x00", 3, False, False) for n in ("a", "b"))


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    with Kept(tmp_path / "kept") as kept:
        kept.add(ONE)
        kept.add(TWO)
    with Kept(tmp_path / "kept") as kept:
        assert kept.found == {ONE.prompt: ONE, TWO.prompt: TWO}


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_line_is_cut_off_and_written_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "kept"
    with Kept(path) as kept:
        kept.add(ONE)
        kept.add(TWO)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with Kept(path) as kept:
        assert kept.found == {ONE.prompt: ONE}
        kept.add(TWO)
    assert path.read_bytes() == whole
