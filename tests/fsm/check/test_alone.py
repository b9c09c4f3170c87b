"""A drawing by itself is checked for all that needs neither a machine nor handlers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm.check import Finding, alone
from fsm.cli import main
from fsm.mermaid import Source

SOUND = "stateDiagram-v2\n[*] --> A\nA --> B : on\nB --> [*]\n"


def found(text: str, line: int = 1, fence: str = "") -> list[Finding]:
    return alone(Source(Path("x.mmd"), text, line, fence))


def test_a_sound_drawing_is_clean() -> None:
    assert found(SOUND) == []


@pytest.mark.parametrize(
    ("text", "severity", "code", "line"),
    [
        ("stateDiagram-v2\n[*] --> A\nA --> [*]\nLost --> A\n", "error", "C101", 4),
        ("stateDiagram-v2\n[*] --> A\nA --> B\nB --> A\n", "error", "C103", 2),
        ("stateDiagram-v2\n[*] --> A\nA --> B\n", "warning", "C102", 3),
        ("stateDiagram-v2\nA --> B\nB --> [*]\n", "warning", "C107", 1),
        ("stateDiagram-v2\n[*] --> A\nA --> A : again\nA --> [*] : out\n", "warning", "C108", 3),
        (
            "stateDiagram-v2\n[*] --> A\nA --> B : x\nA --> C : x\nB --> [*]\nC --> [*]\n",
            "warning",
            "C104",
            4,
        ),
        ("stateDiagram-v2\n[*] -> A\n", "error", "F100", 2),
        ("stateDiagram-v2\n[*] --> [*]\n", "error", "F101", 2),
        ("sequenceDiagram\nA->>B: hello\n", "error", "F100", 1),
        ("", "error", "F100", 1),
    ],
    ids=[
        "unreachable",
        "no end",
        "loose end",
        "no start",
        "loop",
        "one label twice",
        "grammar",
        "nothing",
        "other kind",
        "empty",
    ],
)
def test_what_a_machine_could_say_is_a_warning_and_the_rest_an_error(
    text: str, severity: str, code: str, line: int
) -> None:
    assert (severity, code, line) in [(f.severity, f.code, f.line) for f in found(text)]


def test_of_a_page_the_lines_are_the_page_s_and_other_pictures_are_let_be() -> None:
    (lost,) = found("stateDiagram-v2\n[*] --> A\nA --> [*]\nLost --> A\n", 41, "loop")
    assert str(lost).startswith("x.mmd:44:1: error[C101]: Lost cannot be reached.")
    assert [f.severity for f in found("sequenceDiagram\nA->>B: hello\n", 41, "talk")] == ["warning"]
    pictured = found("flowchart TD\nA --> B\nC --> B\n", 41, "imports")
    assert {f.severity for f in pictured} == {"warning"}


def test_check_takes_drawings_pages_and_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.mmd").write_text(SOUND)
    Path("page.md").write_text(f"# Good\n```mermaid\n{SOUND}```\n# Bad\n```mermaid\n{SOUND}Lost --> A\n```\n")
    assert main(["check", "x.mmd", "page.md#good"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "x.mmd: a drawing that can be run, nothing to complain of",
        "page.md#good: a drawing that can be run, nothing to complain of",
    ]
    assert main(["check", ".", "--json"]) == 2
    (said,) = capsys.readouterr().out.splitlines()
    assert (json.loads(said)["file"], json.loads(said)["line"]) == ("page.md", 14)
    assert main(["check", "gone.mermaid"]) == 2
    assert "gone.mermaid: the diagram cannot be read (No such file or directory)" in capsys.readouterr().err
