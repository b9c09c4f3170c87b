"""A pipeline of one's own, run to its end, for tests that go back into it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fsm.cli import main
from fsm.new import make

HANDLERS = """
from fsm.engine import Context, Machine, Phase
from pathlib import Path

HERE = Path(__file__).parent
MACHINE = Machine("mill", HERE / "mill.mmd", bounds={("Grind", "coarse"): "three rounds"}, calls={"Grind": ("stone",)})
STONE = Machine("stone", HERE / "stone.mmd")
PHASE, BELOW, BAG = Phase("mill"), Phase("stone"), Phase("bag")


@PHASE.state("Fill")
def fill(ctx: Context) -> None:
    ctx.put("grain.txt", "grain " * ctx.config["grains"])


@PHASE.state("Grind")
def grind(ctx: Context) -> str:
    turned = ctx.run("stone").data["turned"]
    ctx.data["flour"] = ctx.data.get("flour", 0) + turned
    return "fine" if ctx.visit == 3 else "coarse"


@PHASE.state("Pack")
def pack(ctx: Context) -> None:
    bag = ctx.section("bag")
    ctx.put("flour.txt", f"{ctx.data['flour']} in {bag['of']}, of {len(ctx.open('grain.txt').read_text())}")


@BELOW.state("Turn")
def turn(ctx: Context) -> None:
    ctx.data["turned"] = ctx.config["turns"]


BAG.state("none")(lambda ctx: None)
"""
MILL = "stateDiagram-v2\n    [*] --> Fill\n    Fill --> Grind\n    Grind --> Grind : coarse\n    Grind --> Pack : fine\n    Pack --> [*]\n"
STONE = "stateDiagram-v2\n    [*] --> Turn\n    Turn --> [*]\n"
FORK = """stateDiagram-v2
    state F <<fork>>
    state J <<join>>
    [*] --> Fill
    Fill --> F
    F --> Left
    F --> Right
    Left --> J
    Right --> J
    J --> Pack
    Pack --> [*]
"""
CONFIG = """\
machine: mill
plug: {handlers: mill.py}
run: {name: mill}
mill: {grains: 4}
stone: {turns: 10}
bag: {of: paper}
"""


@dataclass
class Mill:
    """A pipeline in a directory: Fill, three times Grind (which calls stone), Pack."""

    capsys: pytest.CaptureFixture[str]

    def give(self, *words: str) -> tuple[int, str, str]:
        """Give a command: its exit code and what it said."""
        code = main(list(words))
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def run(self, *words: str) -> tuple[int, str, str]:
        return self.give("run", "mill.yaml", "--log", "none", *words)

    def history(self, run: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.give("history", run, "--json")[1].splitlines()]

    def records(self, run: str) -> list[dict[str, Any]]:
        """The records as they stand in the journal."""
        return [json.loads(line) for line in Path("runs", run, "journal.jsonl").read_bytes().splitlines()]

    def kept(self, run: str, name: str) -> str:
        """What an artifact of a run says."""
        from fsm.journal import Journal
        from fsm.store import open_store

        opened = open_store(".").run(run)
        return opened.artifact(Journal(opened).load().files[name]["sha256"]).read_text()

    def redraw(self, old: str, new: str) -> None:
        """Change the drawing, and nothing else."""
        text = Path("mill.mmd").read_text()
        assert old in text
        Path("mill.mmd").write_text(text.replace(old, new))
        # a process reads a drawing once: as the next one does, have the file that names it read again
        Path("mill.py").write_text(Path("mill.py").read_text() + "# redrawn\n")

    def rehandle(self, old: str, new: str) -> None:
        text = Path("mill.py").read_text()
        assert old in text
        Path("mill.py").write_text(text.replace(old, new))

    def goes_apart(self) -> None:
        """Draw a fork in place of Grind, whose branches run at once."""
        Path("mill.mmd").write_text(FORK)
        self.rehandle(
            'bounds={("Grind", "coarse"): "three rounds"}, calls={"Grind": ("stone",)}', 'concurrent={"F"}'
        )
        self.rehandle(
            '@PHASE.state("Grind")',
            '@PHASE.state("Left", "Right")\ndef side(ctx): pass\n\n\ndef gone(ctx): pass\n\n',
        )
        self.rehandle("{ctx.data['flour']} in", "flour in")

    def cut(self, run: str, records: int) -> None:
        """Leave only that many records: as a kill at that moment does."""
        journal = Path("runs", run, "journal.jsonl")
        journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:records]))


@pytest.fixture
def mill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mill:
    """The pipeline, not run yet."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "mill.py": HANDLERS,
        "mill.mmd": MILL,
        "stone.mmd": STONE,
        "mill.yaml": CONFIG,
    }.items():
        Path(name).write_text(text)
    return Mill(capsys)


@pytest.fixture
def ground(mill: Mill) -> Mill:
    """The pipeline after a run: claim, Fill, (Turn, Grind) three times, Pack: records 0 to 8."""
    assert mill.run()[0] == 0
    return mill


@pytest.fixture
def dice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mill:
    """What `fsm new` makes, after a run."""
    monkeypatch.chdir(tmp_path)
    make("dice")
    made = Mill(capsys)
    assert made.give("run", "dice/dice.yaml", "--log", "none")[0] == 0
    return made
