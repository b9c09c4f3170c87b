"""A drawing and a file of handlers beside a configuration are a pipeline, without a package."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm import config as configs
from fsm.check import check
from fsm.cli import main
from fsm.errors import ConfigError

DRAWING = "stateDiagram-v2\n    [*] --> Grind\n    Grind --> Taste\n    Taste --> Grind : Too weak\n    Taste --> [*] : Good\n"
MACHINE = (
    "from pathlib import Path\nfrom fsm.engine import Context, Machine, Phase\n"
    "MACHINE = Machine('coffee', Path(__file__).with_name('coffee.mmd'), bounds={('Taste', 'Too weak'): 'the bag'})\n"
)
PHASE = "from fsm.engine import Context, Phase\nPHASE = Phase('coffee')\n"
GRIND = "@PHASE.state('Grind')\ndef grind(ctx: Context) -> None:\n    ctx.data['grams'] = ctx.data.get('grams', 14) + 2\n"
TASTE = (
    "@PHASE.state('Taste')\ndef taste(ctx: Context) -> str:\n"
    "    return 'Too weak' if ctx.data['grams'] < 18 else 'Good'\n"
)


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a drawing in it, looked at from outside."""
    monkeypatch.chdir(tmp_path)
    Path("kitchen").mkdir()
    Path("kitchen/coffee.mmd").write_text(DRAWING)
    return Path("kitchen")


def plugged(kitchen: Path, plug: str, handlers: str = MACHINE + PHASE + GRIND + TASTE) -> Path:
    (kitchen / "coffee.py").write_text(handlers)
    file = kitchen / "coffee.yaml"
    file.write_text(f"plug: {plug}\nrun: {{name: coffee}}\n")
    return file


def test_it_runs_and_is_seen_from_every_side(kitchen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = plugged(kitchen, "{handlers: coffee.py}")
    assert main(["check", str(file)]) == 0
    assert main(["run", str(file), "--log", "none"]) == 0
    capsys.readouterr()
    assert main(["render", "coffee"]) == 0
    assert "%% taken once: Taste --> Grind : Too weak" in capsys.readouterr().out
    assert main(["status", "coffee"]) == 0
    assert main(["run", str(file), "--log", "none"]) == 0, "done is done"


def test_a_run_whose_files_are_gone_is_still_told(kitchen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(plugged(kitchen, "{handlers: coffee.py}")), "--log", "none"]) == 0
    (kitchen / "coffee.py").unlink()
    (kitchen / "coffee.mmd").unlink()
    capsys.readouterr()
    assert main(["status", "coffee"]) == 0
    assert "done" in capsys.readouterr().out
    assert main(["render", "coffee"]) == 2
    assert "its drawing is not at hand" in capsys.readouterr().err


def test_a_drawing_with_nothing_to_say_of_it_needs_no_machine(kitchen: Path) -> None:
    (kitchen / "page.md").write_text("# Tea\n```mermaid\nstateDiagram-v2\n[*] --> Boil\nBoil --> [*]\n```\n")
    boil = "from fsm.engine import Context, Phase\nPHASE = Phase('tea')\n@PHASE.state('Boil')\ndef boil(ctx: Context) -> None: ...\n"
    config = configs.load(plugged(kitchen, "{drawing: page.md#tea, handlers: coffee.py}", boil))
    assert config.program.root == "tea"
    assert check(config.program) == []


def test_what_is_missing_is_printed_to_be_pasted_and_then_suffices(kitchen: Path) -> None:
    file = plugged(kitchen, "{drawing: coffee.mmd}")
    (missing,) = [f for f in check(configs.load(file).program) if f.code == "C204"]
    pasted = missing.message.partition("begins so:\n\n")[2]
    assert 'return "Too weak"  # or "Good"' in pasted
    file = plugged(kitchen, "{handlers: coffee.py}", MACHINE + pasted)
    assert [f.code for f in check(configs.load(file).program)] == ["C206"], "it takes the first edge only"
    file = plugged(kitchen, "{handlers: coffee.py}", MACHINE + PHASE + GRIND)
    (missing,) = check(configs.load(file).program)
    assert str(missing).startswith("kitchen/coffee.mmd:3:15: error[C201]: Taste has no handler. Paste this")
    file = plugged(
        kitchen, "{handlers: coffee.py}", MACHINE + PHASE + GRIND + missing.message.partition(":\n\n")[2]
    )
    assert [f.code for f in check(configs.load(file).program)] == ["C206"]


@pytest.mark.parametrize(
    ("plug", "handlers", "said"),
    [
        ("{handlers: tea.py}", "", "plug.handlers: kitchen/tea.py cannot be read: No such file or directory"),
        ("{handlers: .}", "", "plug.handlers: kitchen cannot be read: Is a directory"),
        ("{handlers: coffee.py}", "", "plug.handlers: kitchen/coffee.py holds no Phase. Begin it with"),
        (
            "{handlers: coffee.py}",
            "x = (\n",
            "plug.handlers: kitchen/coffee.py:1: this is not Python: '(' was never closed",
        ),
        (
            "{handlers: coffee.py}",
            "x = 1\ny = x / 0\n",
            "kitchen/coffee.py:2: it fails when it is imported: ZeroDivisionError",
        ),
        (
            "{handlers: coffee.py}",
            "import no_such\n",
            "kitchen/coffee.py:1: it fails when it is imported: ModuleNotFoundError",
        ),
        (
            "{handlers: coffee.py}",
            MACHINE + PHASE + GRIND + GRIND,
            "coffee.py:9: it fails when it is imported: phases/coffee: Grind has two",
        ),
        ("{handlers: coffee.py}", PHASE + PHASE.replace("PHASE", "OTHER"), "holds two Phases named 'coffee'"),
        (
            "{handlers: coffee.py}",
            MACHINE.replace("Too weak", "Weak") + PHASE,
            "machines/coffee: Taste has no edge 'Weak'",
        ),
        ("{drawing: tea.mmd}", "", "plug.drawing: kitchen/tea.mmd: the diagram cannot be read (No such file"),
        ("{drawing: .}", "", "plug.drawing: kitchen/coffee.mmd"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line_with_its_place(
    kitchen: Path, plug: str, handlers: str, said: str
) -> None:
    if plug == "{drawing: .}":  # a directory of one drawing is that drawing
        assert configs.load(plugged(kitchen, plug, handlers)).program.root == "coffee"
        return
    with pytest.raises(ConfigError) as refused:
        configs.load(plugged(kitchen, plug, handlers))
    (mistake,) = refused.value.mistakes
    assert (mistake.line, mistake.column) == (1, plug.index(":") + 9)
    assert said in mistake.message


def test_modules_beside_a_configuration_are_found_and_hide_no_installed_one(kitchen: Path) -> None:
    (kitchen / "json.py").write_text("raise SystemExit('hidden')\n")
    (kitchen / "beans_beside.py").write_text("GRAMS = 16\n")
    grind = GRIND.replace("    ctx", "    import beans_beside, json\n    ctx").replace(
        "14", "beans_beside.GRAMS"
    )
    file = plugged(kitchen, "{handlers: coffee.py}", MACHINE + PHASE + grind + TASTE)
    assert main(["run", str(file), "--log", "none"]) == 0
