"""Everything that is wrong with a configuration is said at once, each thing with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm.cli import main
from fsm.config import load
from fsm.errors import ConfigError

WRONG = """\
machine: piepline
recovery: eror_recovery
sed: 3
run:
  name: ../escape
  seed: 042
store: s3://${NO_BUCKET_HERE}/fsm
teacher_generation:
  teacher:
    kind: bedrok
    region: ${NO_REGION_HERE}
    temperatur: 0.3
  workers: 0
  domains: [TSN, CAN]
  test: yes
quality_scoring:
  weights: {syntax: 0.5}
qlora_training: [1]
convergence:
  on: held_out
  lag: .inf
"""
PLACES = [
    ((1, 10), "did you mean 'pipeline'?"),
    ((2, 11), "did you mean 'error_recovery'?"),
    ((3, 1), "unknown key 'sed'"),
    ((5, 9), "run.name: '../escape' cannot name a run"),
    ((6, 9), "run.seed: 042"),
    ((7, 8), "store names the environment variable NO_BUCKET_HERE"),
    ((10, 11), "teacher_generation.teacher.kind: no teacher of kind 'bedrok'"),
    ((11, 13), "teacher_generation.teacher.region names the environment variable NO_REGION_HERE"),
    ((12, 5), "unknown key 'teacher_generation.teacher.temperatur'; did you mean 'temperature'?"),
    ((13, 12), "teacher_generation.workers: input should be greater than or equal to 1, not 0"),
    ((14, 18), "teacher_generation.domains.1: input should be 'TSN', 'AVB' or 'CARLA', not 'CAN'"),
    ((15, 9), "teacher_generation.test: yes"),
    ((17, 12), "quality_scoring.weights: the weights must be at least 0 and add up to 1"),
    ((18, 17), "qlora_training must be a mapping of keys, and is a list"),
    ((21, 8), "convergence.lag: .inf"),
]


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    return Path("wrong.yaml")


def test_one_error_has_all_mistakes_in_the_order_of_the_file(wrong: Path) -> None:
    with pytest.raises(ConfigError) as e:
        load(wrong)
    found = [((f.line, f.column), f.message) for f in e.value.mistakes]
    assert [place for place, _ in found] == [place for place, _ in PLACES]
    for (_, message), (_, said) in zip(found, PLACES, strict=True):
        assert said in message
    assert e.value.message.split("\n") == [f"wrong.yaml:{line}:{column}: {m}" for (line, column), m in found]


def test_check_prints_them_as_a_compiler_does(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(wrong)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(PLACES)
    assert lines[0].startswith("wrong.yaml:1:10: error[F301]: machine: there is no machine 'piepline'")


def test_check_gives_one_json_object_a_mistake(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(wrong), "--json"]) == 2
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(f["line"], f["column"]) for f in found] == [place for place, _ in PLACES]
    assert {(f["file"], f["code"], f["severity"]) for f in found} == {("wrong.yaml", "F301", "error")}


def test_run_tells_them_all_and_gives_the_list_in_its_json(
    wrong: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(wrong), "--json"]) == 2
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["code"] == "F301"
    assert [(f["line"], f["column"]) for f in said["mistakes"]] == [place for place, _ in PLACES]
    assert len(err.splitlines()) == len(PLACES)
    assert err.startswith("fsm: wrong.yaml:1:10: machine: ")


def test_what_the_command_line_gave_is_named_by_its_option(wrong: Path) -> None:
    with pytest.raises(ConfigError) as e:
        load(wrong, {"machine": "pipelin", "run.name": "a b", "store": "${NO_STORE_HERE}"})
    given = [f for f in e.value.mistakes if not f.line]
    assert {(f.file, f.message.split(" ")[0]) for f in given} == {
        ("--machine", "machine:"),
        ("--run", "run.name:"),
        ("--store", "store"),
    }
    assert not {(1, 10), (5, 9), (7, 8)} & {(f.line, f.column) for f in e.value.mistakes}, (
        "what was replaced is not judged"
    )


def test_a_variable_may_hold_what_a_field_makes_of_it_but_no_infinity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.yaml"
    path.write_text(
        "machine: qlora_training\nqlora_training: {learning_rate: '${RATE}', revision: '${REV}', offline: '${OFF}'}\n"
    )
    for name, value in {"RATE": "1e-3", "REV": "0123456", "OFF": "yes"}.items():
        monkeypatch.setenv(name, value)
    found = load(path).program.sections["qlora_training"]
    assert (found.learning_rate, found.revision, found.offline) == (0.001, "0123456", True)
    for value, said in (("inf", "inf is not finite"), ("many", "not 'many'")):
        monkeypatch.setenv("RATE", value)
        with pytest.raises(ConfigError) as e:
            load(path)
        (mistake,) = e.value.mistakes
        assert said in mistake.message
        assert mistake.message.endswith("(from the environment: RATE)")


def test_a_variable_that_is_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.yaml"
    path.write_text("machine: qlora_training\nstore: ${PLACE}\n")
    monkeypatch.setenv("PLACE", "caf\udce9")
    with pytest.raises(ConfigError, match="PLACE, which is not UTF-8"):
        load(path)


def test_no_message_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hf_abcdefgh")
    path = tmp_path / "v.yaml"
    path.write_text(
        "machine: teacher_generation\nteacher_generation: {workers: '${MY_TOKEN}', teacher: {kind: '${MY_TOKEN}'}}\n"
    )
    with pytest.raises(ConfigError) as e:
        load(path)
    assert len(e.value.mistakes) == 2
    assert "hf_abcdefgh" not in str(e.value)


def test_a_mistake_in_the_text_is_not_told_twice(tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    path.write_text("machine: !x pipeline\nmachine: piepline\nrun: {seed: !y 3, sed: 1}\nrecovery: nobody\n")
    with pytest.raises(ConfigError) as e:
        load(path)
    assert [(f.line, f.column) for f in e.value.mistakes] == [(1, 10), (2, 1), (3, 13), (3, 19), (4, 11)]


def test_a_plug_that_is_not_there_is_told_with_what_else_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    path.write_text("machine: x\nplug: {machines: no_such_package}\nrun: {seed: no}\n")
    with pytest.raises(ConfigError) as e:
        load(path)
    assert [f.message.split(" ")[0] for f in e.value.mistakes] == ["plug:", "run.seed:"]
