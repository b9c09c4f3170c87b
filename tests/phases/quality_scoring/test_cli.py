"""`fsm score` shows any C file's scores, as a table or as one JSON line a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from phases.quality_scoring.behaviour import judging
from phases.quality_scoring.cli import add_parser
from tests.needs import needing

CODE = (
    "static uint8_t gate_of(uint8_t pcp, uint16_t vlan)\n{\n    goto out;\nout:\n    return pcp + vlan;\n}\n"
)


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["score", *words])
    return int(args.do(args))


def test_one_json_line_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.c", "b.c"):
        (tmp_path / name).write_text(CODE)
    assert command(str(tmp_path / "a.c"), str(tmp_path / "b.c"), "--prompt", "for TSN", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["file"]).name for line in lines] == ["a.c", "b.c"]
    assert lines[0]["protocol"] == 10.0
    assert lines[0]["safety"] == 7 - 3 + 0.5 + 0.5 + 0.3
    assert {"syntax", "protocol", "safety", "style", "overall", "reasons"} <= set(lines[0])
    assert {"rule": "SafetyCheck.GotoCheck", "line": 3, "points": -3.0, "note": "goto"} in lines[0]["reasons"]


def test_the_table_names_rule_line_and_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.c").write_text(CODE)
    assert command(str(tmp_path / "a.c")) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "GotoCheck" in line)
    assert row.split() == ["SafetyCheck.GotoCheck", "3", "-3.00", "goto"]


def test_a_file_that_is_not_there_does_not_hide_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.c").write_bytes(CODE.encode() + b"/* \xff */")
    assert command(str(tmp_path / "none.c"), str(tmp_path / "a.c"), "--json") == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["file"].endswith("a.c")
    assert "none.c: cannot be read" in err


def test_what_is_not_installed_is_said_beside_the_lines_and_not_among_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "find_toolchain", lambda: None)
    judging.say_missing.cache_clear()
    (tmp_path / "a.c").write_text(CODE)
    assert command(str(tmp_path / "a.c"), "--reference", str(tmp_path / "a.c"), "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["behaviour"] is None
    assert "behaviour is not measured" in err


@needing("behaviour")
def test_beside_a_reference_the_first_input_that_tells_them_apart_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, wrong = tmp_path / "right.c", tmp_path / "wrong.c"
    right.write_text("uint32_t next_slot(uint32_t slot) { return (slot + 1U) % 8U; }\n")
    wrong.write_text("uint32_t next_slot(uint32_t slot) { return (slot + 1U) % 16U; }\n")
    asked = ("--prompt", "Write `next_slot`.", "--reference", str(right))
    assert command(str(wrong), str(right), *asked, "--json") == 0
    told, same = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert 0 < told["behaviour"] < 10
    assert told["behaved"]["first"]["expected"] != told["behaved"]["first"]["got"]
    assert same["behaviour"] == 10.0
    assert command(str(wrong), *asked) == 0
    assert "the reference: " in capsys.readouterr().out
    assert command(str(wrong), "--reference", str(tmp_path / "nowhere.c")) == 2
    assert "nowhere.c: cannot be read" in capsys.readouterr().err
