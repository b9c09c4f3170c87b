"""Take the pictures of docs/live.md and of the README: a server of a store, a real browser, and the tree of the terminal.

    python docs/pictures/take.py --store . --run local [--epochs RUN] [--only NAME ...] [-o DIRECTORY]

`--run` is a run that is over, `--epochs` a distillation (left out: the newest of the store). Both are only read. The
error is one of the toy bakery's (tests/fsm/view/toys), which is run in a directory of its own. Needs what the tests of the page
need: `pip install -e '.[test]'` and Chromium.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from fsm.store import open_store  # noqa: E402
from tests.needs import listed  # noqa: E402

TOYS = ROOT / "tests" / "fsm" / "view"
PAGE = {"width": 1320, "height": 800}
COLOURS = 200  # of a picture: enough for words and lines, and a third of the bytes
LARGEST = 250_000  # bytes of a picture
COLUMNS, LINES = 100, 34
PATIENCE = 20_000  # ms


def main() -> int:
    """Take the pictures that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--store", default=".", metavar="URL", help="where the runs lie (default: this directory)"
    )
    parser.add_argument("--run", default="local", help="a run that is over (default: local)")
    parser.add_argument("--epochs", metavar="RUN", help="a distillation (default: the newest)")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=PICTURES, help=f"of {', '.join(PICTURES)}"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent, metavar="DIRECTORY")
    given = parser.parse_args()
    epochs = given.epochs or newest(given.store, given.run)
    with tempfile.TemporaryDirectory() as scratch:
        shots = Shots(given.store, given.run, epochs, given.output, Path(scratch))
        for name in given.only or PICTURES:
            PICTURES[name](shots)
    return 0


def newest(store: str, run: str) -> str:
    """The newest distillation of a store; where there is none, `run`."""
    command = [sys.executable, "-m", "fsm.cli", "runs", "--json", "--store", store]
    listed = subprocess.run(command, check=True, env=environment(), stdout=subprocess.PIPE, text=True).stdout
    rows = [json.loads(line) for line in listed.splitlines()]
    found = [row for row in rows if row.get("machine") == "distillation"]
    return str(min(found, key=lambda row: row["age"])["run"]) if found else run


class Shots:
    """What pictures are taken of, and where they go."""

    def __init__(self, store: str, run: str, epochs: str, output: Path, scratch: Path) -> None:
        self.store, self.run, self.epochs = store, run, epochs
        self.output, self.scratch = output, scratch

    def records(self, run: str) -> list[dict[str, Any]]:
        """The journal of a run."""
        return [json.loads(line) for line in open_store(self.store).run(run).records()]

    @contextmanager
    def page(self, address: str, dark: bool = False, **viewport: int) -> Iterator[Any]:
        """A page at an address, in a browser of its own."""
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=listed.chromium(), args=["--no-sandbox"])
            context = browser.new_context(
                viewport=PAGE | viewport, color_scheme="dark" if dark else "light", reduced_motion="reduce"
            )
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.goto(address)
            try:
                yield page
            finally:
                browser.close()

    def keep(self, page: Any, name: str) -> None:
        """What the page shows, with few colours."""
        from PIL import Image

        page.wait_for_timeout(500)  # what glides has arrived
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        few = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        path = self.output / f"{name}.png"
        few.save(path, optimize=True)
        size = path.stat().st_size
        assert size <= LARGEST, f"{path}: {size} bytes"
        print(f"{path}: {size // 1000} kB")


@contextmanager
def served(store: str) -> Iterator[str]:
    """`fsm watch` of a store; the address without a run."""
    command = [sys.executable, "-m", "fsm.cli", "watch", "--no-open", "--port", "0", "--store", store]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def environment() -> dict[str, str]:
    """With the toys at hand."""
    paths = [str(ROOT), str(TOYS), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}


def drawn(page: Any) -> None:
    """Wait for the drawing."""
    page.locator(".drawing [data-path]").first.wait_for()


def light(shots: Shots) -> None:
    """The loop of a distillation with its visits and times, and what is known of one state."""
    with (
        served(shots.store) as url,
        shots.page(f"{url}#run={shots.epochs}&machine=distillation&state=EpochN.Evaluate") as page,
    ):
        page.locator(".state-panel .records li").first.wait_for()
        page.locator(".drawing .fsm-selected").wait_for()
        shots.keep(page, "page_light")


def dark(shots: Shots) -> None:
    """The teacher's answers of the pipeline, while they come, in a dark room."""
    with (
        served(shots.store) as url,
        shots.page(f"{url}#run={shots.run}&seq={teacher(shots)}", dark=True) as page,
    ):
        page.locator(".slider.past").wait_for()
        page.locator('[role="tab"][data-machine="teacher_generation"][aria-selected="true"]').wait_for()
        drawn(page)
        shots.keep(page, "page_dark")


def error(shots: Shots) -> None:
    """A state that failed, its words and the way through the recovery."""
    store = shots.scratch / "bakery"
    (store / "work").mkdir(parents=True)
    said = {"mishap": "NoGas", "pause": 0.05}
    value = {
        "machine": "bakery",
        "plug": {"machines": "toys.machines", "phases": "toys.phases"},
        "recovery": "mishaps",
        "run": {"name": "bread"},
        "store": str(store),
        "work": str(store / "work"),
        "bakery": said,
        "oven": said,
    }
    config = store / "bread.yaml"
    config.write_text(json.dumps(value))  # JSON is YAML
    done = subprocess.run(
        [sys.executable, "-m", "toys.drive", str(config), "none"], env=environment(), check=False
    )
    assert done.returncode == 3, done
    with (
        served(str(store)) as url,
        shots.page(f"{url}#run=bread&machine=oven&state=CheckTemperature") as page,
    ):
        page.locator(".recovery li").first.wait_for()
        drawn(page)
        shots.keep(page, "page_error")


def past(shots: Shots) -> None:
    """A distillation as it was in the middle of its course."""
    seq = middle(shots.records(shots.epochs))
    with (
        served(shots.store) as url,
        shots.page(f"{url}#run={shots.epochs}&machine=distillation&seq={seq}") as page,
    ):
        page.locator(".slider.past").wait_for()
        page.locator(".drawing .fsm-active").first.wait_for()
        shots.keep(page, "page_past")


def teacher(shots: Shots) -> int:
    """A record in the middle of the teacher's answers; of a run without them, in its middle."""
    records = shots.records(shots.run)
    asked = [r for r in records if r["kind"] == "transition" and r["at"][:1] == ["TeacherGeneration"]]
    return middle(asked or records)


def middle(records: list[dict[str, Any]]) -> int:
    """A record inside a machine that a state of the outermost called, half-way."""
    deep = [r["seq"] for r in records if r["kind"] == "transition" and r["at"] and r["to"]]
    half = (records[0]["seq"] + records[-1]["seq"]) // 2
    return min(deep or [half], key=lambda seq: abs(seq - half))


def curves(shots: Shots) -> None:
    """The curves over the epochs."""
    with served(shots.store) as url, shots.page(f"{url}#run={shots.epochs}&panel=panels", height=900) as page:
        page.locator(".plot").first.wait_for()
        drawn(page)
        shots.keep(page, "page_curves")


def answers(shots: Shots) -> None:
    """An answer beside its correction, with the rules of its score."""
    with served(shots.store) as url, shots.page(f"{url}#run={shots.epochs}&panel=panels", height=900) as page:
        choose = page.locator(".panels select").first
        choose.wait_for()
        drawn(page)
        choose.select_option(index=1)
        page.locator(".answer").first.wait_for()
        page.get_by_text("Why this score").first.click()
        choose.evaluate("e => e.closest('section').scrollIntoView()")
        shots.keep(page, "page_answers")


def runs(shots: Shots) -> None:
    """The list."""
    with served(shots.store) as url, shots.page(url, height=300) as page:
        page.locator("table.runs tbody tr").first.wait_for()
        shots.keep(page, "page_runs")


def offline(shots: Shots) -> None:
    """The file that `fsm render -o x.html` writes, opened from the disk."""
    file = shots.scratch / "run.html"
    command = [sys.executable, "-m", "fsm.cli", "render", shots.run, "-o", str(file), "--store", shots.store]
    subprocess.run(command, check=True, env=environment())
    with shots.page(f"{file.as_uri()}#machine=pipeline&seq={teacher(shots)}") as page:
        drawn(page)
        shots.keep(page, "file")


def terminal(shots: Shots) -> None:
    """The tree, as it was in the middle of the run."""
    from rich.console import Console

    from fsm.journal import Journal
    from fsm.view.projection import Projection
    from fsm.view.report import drawings
    from fsm.view.tree import Frame, tree

    run = open_store(shots.store).run(shots.epochs)
    records = shots.records(shots.epochs)
    projection = Projection(drawings(Journal(run).header()))
    projection.name = shots.epochs
    projection.read(records[: middle(records) + 1])
    frame = Frame(projection.latest, COLUMNS, LINES, told=True, recent=10)
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), highlight=False, markup=False, emoji=False
    )
    for line in tree(projection, frame):
        console.print(line)
    path = shots.output / "terminal.svg"
    title = f"fsm watch {shots.epochs} --terminal"
    console.save_svg(str(path), title=title, unique_id="terminal")
    print(f"{path}: {path.stat().st_size // 1000} kB")


PICTURES: dict[str, Callable[[Shots], None]] = {
    f.__name__: f for f in (light, dark, error, past, curves, answers, runs, offline, terminal)
}

if __name__ == "__main__":
    sys.exit(main())
