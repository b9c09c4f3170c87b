"""A drawing by itself is checked for all that needs neither a machine nor handlers."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
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


def test_sarif_names_each_finding_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.mmd").write_text(f"{SOUND}Lost --> A\nEnd --> Lost\n")
    assert main(["check", "x.mmd", "--format", "sarif"]) == 2
    said = json.loads(capsys.readouterr().out)
    (run,) = said["runs"]
    assert said["version"] == "2.1.0"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["C101"]
    first = run["results"][0]
    assert (first["ruleId"], first["ruleIndex"], first["level"]) == ("C101", 0, "error")
    place = first["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "x.mmd"}, "region": {"startLine": 5, "startColumn": 1}}


def test_it_is_checked_again_whenever_it_is_saved(tmp_path: Path) -> None:
    drawing = tmp_path / "x.mmd"
    drawing.write_text(SOUND)
    process = subprocess.Popen(
        [sys.executable, "-m", "fsm.cli", "check", "x.mmd", "--watch"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert next(lines) == "x.mmd: a drawing that can be run, nothing to complain of\n"
        assert next(lines) == "fsm: watching; Ctrl-C ends it\n"
        saved = time.monotonic()
        found = queue.Queue[str]()

        def read() -> None:
            for line in lines:
                found.put(line)

        threading.Thread(target=read, daemon=True).start()
        while (
            found.empty() and time.monotonic() - saved < 60
        ):  # the watch begins at some moment after its words
            drawing.write_text(f"{SOUND}Lost --> A\n")
            time.sleep(0.5)
        assert found.get(timeout=60) == "fsm: x.mmd was saved\n"
        assert found.get(timeout=60).startswith("x.mmd:5:1: error[C101]: Lost cannot be reached.")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
