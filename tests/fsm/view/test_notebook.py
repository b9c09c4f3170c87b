"""A run and a drawing in a notebook: executed by a real kernel, and looked at as a front end gets them."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from fsm import view
from fsm.errors import ConfigError, NoSuchRun
from fsm.view.notebook import SVG, TEXT
from tests.fsm.view.test_terminal import HERE, ROOT

BAKERY = HERE / "toys" / "bakery.mmd"


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pictures are drawn once for these tests: it takes seconds."""
    base = tmp_path_factory.getbasetemp() / "pictures"
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))


def executed(*cells: str) -> list[list[dict[str, Any]]]:
    """The outputs of each cell of a notebook, after all of them were executed."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    path = os.pathsep.join([str(ROOT), str(HERE)])
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}})
    client.create_kernel_manager().transport = "ipc"  # as private as the directory its sockets are in
    client.execute(env=os.environ | {"PYTHONPATH": path, "IPYTHONDIR": os.environ["XDG_CACHE_HOME"]})
    return [cell.outputs for cell in notebook.cells]


def looks(svg: str) -> dict[str, str]:
    """The look of each state that a picture has marked, by its title."""
    found = {}
    for group in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}g"):
        title = group.find("{http://www.w3.org/2000/svg}title")
        marks = [c for c in (group.get("class") or "").split() if c.startswith("fsm-") and c != "fsm-badge"]
        if title is not None and marks:
            found[(title.text or "").partition(":")[0]] = marks[0].removeprefix("fsm-")
    return found


def test_a_notebook_shows_a_run_in_place_until_it_ends(bakery: Any) -> None:
    file = bakery.file(pause=0.4)
    [[shown], [first, then]] = executed(
        f"from fsm import view\nbread = view.run('bread', store={bakery.store!r})\nbread",
        f"""
import subprocess, sys, threading
from IPython.display import display
display(bread)
runner = subprocess.Popen([sys.executable, '-m', 'toys.drive', {str(file)!r}, 'none'])
seen = set()
while bread.state not in ('done', 'failed'):
    threading.Event().wait(0.1)
    seen.add(bread.state)
assert bread.join(60)
print(sorted(seen), runner.wait())
""",
    )
    assert first["data"] == shown["data"]  # one run, shown twice: both were replaced
    assert set(looks(first["data"][SVG]).values()) <= {"visited", "never"}
    assert looks(first["data"][SVG])["Deliver"] == "visited"
    head, *rows = first["data"][TEXT].splitlines()
    assert (head.startswith("bread · bakery"), head.endswith("done")) == (True, True)
    assert any("Deliver: Delivered -> [*]" in row for row in rows)
    assert "'running'" in then["text"]
    assert "'absent'" in then["text"]


def test_a_run_that_a_notebook_begins_shows_itself_is_awaited_and_interrupted(bakery: Any) -> None:
    file = str(bakery.file(pause=0.2))
    interrupting = f"""
import asyncio, os, signal
async def interrupt():
    async for record in again:
        if record['seq'] == 1:
            os.kill(os.getpid(), signal.SIGINT)
again = load({file!r}, name='again').start()
following = asyncio.create_task(interrupt())
try:
    await again.wait()
except asyncio.CancelledError:
    print('interrupted')
"""
    [[shown], [awaited], [interrupted], [rested]] = executed(
        f"from fsm import load\nbread = load({file!r}).start()\nbread",
        "print((await bread.wait()).outcome, bread.status)\n"
        "import threading\nfor thread in threading.enumerate():\n    if thread.name.startswith('fsm-'):\n        thread.join()",
        interrupting,
        "print((await again.wait()).outcome, again.status, (await again.resume().wait()).outcome)",
    )
    assert looks(shown["data"][SVG])["Deliver"] == "visited", "it followed the run to its end"
    assert shown["data"][TEXT].splitlines()[0].startswith("bread · bakery")
    assert awaited["text"].split() == ["done", "done"]
    assert interrupted["text"].split() == ["interrupted"]
    assert rested["text"].split() == ["stopped", "stopped", "done"]


def test_a_notebook_shows_a_drawing(bakery: Any) -> None:
    [[by_path], [by_name]] = executed(
        f"from fsm import view\nview.diagram({str(BAKERY)!r})", "view.diagram('convergence')"
    )
    assert by_path["output_type"] == "execute_result"
    assert by_path["data"][TEXT] == BAKERY.read_text()
    assert ET.fromstring(by_path["data"][SVG]).tag.endswith("svg")
    assert by_name["data"][TEXT] == (ROOT / "diagrams" / "convergence.mmd").read_text()
    assert ET.fromstring(by_name["data"][SVG]).tag.endswith("svg")


def test_a_run_that_stands_shows_where_and_why(bakery: Any, quiet: Any) -> None:
    bakery.run(logger=quiet, mishap="NoGas")
    found = view.run("bread", bakery.store)
    bundle = found._repr_mimebundle_()
    marks = looks(bundle[SVG])
    assert found.state == "stopped"
    assert (marks["CheckTemperature"], marks["Preheat"], marks["TakeOut"]) == ("failed", "visited", "never")
    assert "the recovery ended at Mishaps.CallThePlumber" in bundle[TEXT]
    assert "the recovery ended at Mishaps.CallThePlumber" in repr(found)
    above = view.run("bread", Path(bakery.store), machine="bakery")._repr_mimebundle_()
    assert looks(above[SVG])["Prepare"] == "visited"


def test_a_run_goes_on_where_it_is_looked_at_again(bakery: Any, quiet: Any) -> None:
    found = view.run("bread", bakery.store)
    assert (found.state, list(found._repr_mimebundle_())) == ("absent", [TEXT])
    assert "There is no run bread" in repr(found)
    bakery.run(logger=quiet)
    assert repr(found).splitlines()[0].endswith("done")
    assert found.join()


def test_a_run_of_the_store_of_the_environment(
    bakery: Any, quiet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery.run(logger=quiet)
    monkeypatch.setenv("FSM_STORE", bakery.store)
    assert view.run("bread").state == "done"


def test_what_is_not_there_is_said_at_once(bakery: Any, quiet: Any) -> None:
    bakery.run(logger=quiet)
    with pytest.raises(ConfigError, match=r"has no machine 'ovne'; did you mean 'oven'\?"):
        view.run("bread", bakery.store, machine="ovne")
    with pytest.raises(ConfigError, match="cannot name a run"):
        view.run("../bread", bakery.store)
    with pytest.raises(NoSuchRun, match="'no_such' is no machine"):
        view.diagram("no_such")


def test_a_run_whose_machines_are_not_here_is_shown_as_text(bakery: Any, quiet: Any) -> None:
    bakery.run(logger=quiet)
    program = f"from fsm import view; b = view.run('bread', {bakery.store!r})._repr_mimebundle_(); print(*b); print(b['text/plain'])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    kinds, *rows = done.stdout.splitlines()
    assert kinds == "text/plain"
    assert rows[0].endswith("done")
    assert "machines that are not installed here" in done.stdout


def test_a_secret_of_the_environment_is_in_neither(
    bakery: Any, quiet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bakery.run(logger=quiet, mishap="sesame-open-the-door")
    monkeypatch.setenv("SHOP_TOKEN", "sesame-open-the-door")
    bundle = view.run("bread", bakery.store)._repr_mimebundle_()
    assert "sesame" not in str(bundle)
    assert "**********" in bundle[TEXT]
