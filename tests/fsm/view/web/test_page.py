"""The page in a real browser: what lights up, what is told, what is lived through."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fsm.engine import Machine, Registry
from fsm.view.projection import Projection
from tests.fsm.view.web.works import Opened, Works, until

WATCH_LOOKS = """() => {
  window.lit = [];
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const path = target.dataset?.path;
      if (path && target.classList.contains("fsm-active") && window.lit.at(-1) !== path) window.lit.push(path);
    }
  }).observe(document.body, { subtree: true, attributes: true, attributeFilter: ["class"] });
}"""


@pytest.fixture
def configured(bakery: Any, works: Works) -> Callable[..., Path]:
    """Writes a configuration of the bakery whose runs are the works' own."""
    bakery.directory, bakery.store = works.directory, str(works.directory)

    def write(**said: Any) -> Path:
        path: Path = bakery.file(**said)
        return path

    return write


def projected(works: Works, run: str, last: int, machine: str) -> dict[str, str]:
    """How the states of a machine look after a record, by the one projection."""
    machines = Registry("toys.machines", Machine)
    projection = Projection({name: machines[name] for name in ("bakery", "oven", "mishaps")})
    projection.read(works.records(run)[: last + 1])
    return {path: view.look for path, view in projection.states(machine).items()}


def test_states_light_up_in_the_journals_order_while_the_run_goes_on(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    config = configured(pause=0.4)
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=bakery")
    opened.page.get_by_text("There is no run bread").wait_for()
    opened.page.evaluate(WATCH_LOOKS)
    works.run(config)
    opened.status("running")
    opened.status("done")
    simple = ["Prepare.Weigh", "Prepare.Knead", "Bake.Heat", "Bake.InOven", "Bake.Cool", "Deliver"]
    lit = list(dict.fromkeys(path for path in opened.page.evaluate("window.lit") if path in simple))
    assert lit == simple[-len(lit) :]  # the first may be over before the page has read that there is a run
    assert len(lit) >= 3
    assert opened.looks() == projected(works, "bread", 1000, "bakery")


def test_the_tabs_go_with_the_machines_of_the_stack(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    config = configured(pause=0.5)
    _, url = works.serve("bread")
    works.run(config)
    opened.page.goto(url)
    opened.page.locator('[role="tab"][data-machine="oven"][aria-selected="true"]').wait_for()
    opened.state("Preheat").wait_for()
    opened.page.locator('.stack li:has-text("Bake")').wait_for()
    opened.status("done")
    opened.page.locator('[role="tab"][data-machine="bakery"][aria-selected="true"]').wait_for()


def test_a_run_that_is_followed_has_its_machines_among_the_tabs_now_and_in_the_past(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    _, url = works.serve("bread")
    opened.page.goto(url)
    works.run(configured(follow="van"))
    opened.page.locator('.stack li:has-text("Deliver")').wait_for()
    van = works.start("-m", "toys.drive", str(configured(run="van", machine="oven", pause=0.8)), "none")
    tab = opened.page.locator('[role="tab"][data-machine="van/oven"]')
    opened.page.locator('[role="tab"][data-machine="van/oven"][aria-selected="true"]').wait_for()
    opened.page.evaluate(WATCH_LOOKS)
    opened.page.locator('.stack li:has-text("van/oven")').wait_for()
    opened.state("CheckTemperature").wait_for()
    assert van.wait(60) == 0
    opened.status("done")
    assert "CleanOven" in opened.page.evaluate("window.lit")
    tab.click()
    until(lambda: opened.looks() == projected(works, "van", 1000, "oven"))
    records = works.records("bread")
    opened.page.get_by_role("slider", name="Record of the journal").focus()
    opened.page.keyboard.press("ArrowLeft")
    opened.page.keyboard.press("ArrowLeft")
    opened.page.locator(f'output:text("record {len(records) - 3} of")').wait_for()
    moment = records[-3]["time"]
    last = sum(record["time"] <= moment for record in works.records("van")) - 1
    until(lambda: opened.looks() == projected(works, "van", last, "oven"))
    until(lambda: f"seq={len(records) - 3}" in opened.address())
    looks, link = opened.looks(), opened.address()
    opened.page.goto("about:blank")
    opened.page.goto(link)
    opened.page.locator('[role="tab"][data-machine="van/oven"][aria-selected="true"]').wait_for()
    until(lambda: opened.looks() == looks)
    opened.page.get_by_role("button", name="Now", exact=True).click()
    opened.state("Preheat").click()
    opened.page.locator(".state-panel").get_by_text("in oven").wait_for()
    opened.page.get_by_role("button", name=re.compile("Go to record")).first.click()
    opened.page.locator("h1", has_text="van").wait_for()
    opened.page.goto(url)  # the follower has ended, and still says whom it followed
    tab.wait_for()
    opened.page.locator('[role="tab"][data-machine="bakery"][aria-selected="true"]').wait_for()


def test_an_error_is_seen_with_its_words_its_traceback_and_its_recovery(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    config = configured(mishap="NoGas")
    assert works.run(config).wait(60) == 3
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=oven&state=CheckTemperature")
    opened.status("stopped")
    opened.state("CheckTemperature").wait_for()
    assert opened.looks()["CheckTemperature"] == "failed"
    side = opened.page.locator(".state-panel")
    side.get_by_text("Mishap: NoGas").first.wait_for()
    side.get_by_text("Traceback").first.click()
    side.get_by_text("raise Mishap(ctx.config.mishap)").wait_for()
    side.locator(".recovery").get_by_text("Mishaps.CallThePlumber").first.wait_for()
    assert "failed" in opened.state("CheckTemperature").get_attribute("aria-label")
    assert "✕" in opened.page.locator(".fsm-pill.fsm-failed").first.text_content()


def test_the_slider_moved_back_shows_what_the_projection_says_of_that_record(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    config = configured(mishap="Burnt")
    assert works.run(config).wait(60) == 0
    last = len(works.records("bread")) - 1
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=oven")
    opened.state("Preheat").wait_for()
    slider = opened.page.get_by_role("slider", name="Record of the journal")
    for seq in (last - 3, 8, 5, 3, 9, 0, last):
        slider.evaluate(
            "(e, seq) => { e.value = seq; e.dispatchEvent(new Event('input', {bubbles: true})); }", seq
        )
        opened.page.locator(f'output:text("record {seq} of {last}")').wait_for()
        assert opened.looks() == projected(works, "bread", seq, "oven"), seq
        said = f"seq={seq}"
        until(lambda: said in opened.address())  # noqa: B023 - it is asked at once
    opened.page.get_by_role("button", name="Now", exact=True).click()
    until(lambda: "seq=" not in opened.address())


def test_records_of_every_kind_are_told_in_words(works: Works, opened: Opened) -> None:
    ask = {"until": 1_800_000_000.0, "question": "May it rise?", "labels": ["Yes", "No"]}
    told = {
        "asks: May it rise?": {"kind": "ask", **ask},
        "answered Yes by ada: gladly": {"kind": "answer", "label": "Yes", "by": "ada", "note": "gladly"},
        "answered No by nobody in time": {"kind": "answer", "label": "No", "by": None},
        "waits until 2027-01-15T08:00:00.000Z": {"kind": "wait", "until": ask["until"]},
        "has waited": {"kind": "waited"},
        "cancelled by ada: too dear": {"kind": "cancel", "end": {"by": "ada", "why": "too dear"}},
        "Burnt: black; again in 2.5 s": {
            "kind": "error",
            "error": "Burnt",
            "message": "black",
            "recovery": None,
            "retry": {"of": "Burnt", "seconds": 2.5},
        },
        "at once: A, B": {"kind": "split", "branches": {"A": ["A"], "B": ["B"]}},
        "at once: 3 items through oven": {"kind": "split", "items": 3, "calls": "oven", "key": "0"},
        "all items have ended": {"kind": "join", "key": "0"},
        "all branches have joined → Deliver": {"kind": "join", "to": ["Deliver"]},
        "Good → [*]": {"kind": "transition", "label": "Good", "to": []},
    }
    _, url = works.serve("bread")
    opened.page.goto(url)
    words = "async (rows) => { const state = await import('/static/state.js'); return rows.map(state.what); }"
    assert opened.page.evaluate(words, list(told.values())) == list(told)


def test_a_link_says_what_one_sees(configured: Callable[..., Path], works: Works, opened: Opened) -> None:
    assert works.run(configured()).wait(60) == 0
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=oven")
    opened.state("TakeOut").click()
    opened.page.get_by_role("button", name=re.compile("Go to record")).first.click()
    opened.page.locator(".slider.past").wait_for()
    until(lambda: "seq=" in opened.address())
    link, looks = opened.address(), opened.looks()
    opened.page.goto("about:blank")
    opened.page.goto(link)
    opened.page.locator(".slider.past").wait_for()
    opened.page.locator("h2", has_text="TakeOut").wait_for()
    opened.page.locator('.fsm-selected[data-path="TakeOut"]').wait_for()
    assert opened.looks() == looks


def test_a_drawing_too_large_to_be_read_whole_is_opened_where_the_run_stood(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    assert works.run(configured()).wait(60) == 0
    records = works.records("bread")
    seq = next(r["seq"] for r in records if r.get("from") == "Preheat")
    _, url = works.serve("bread")
    opened.page.emulate_media(reduced_motion="reduce")
    opened.page.set_viewport_size({"width": 1100, "height": 460})
    opened.page.goto(f"{url}&machine=oven&seq={seq}")
    opened.page.locator('.drawing .fsm-active[data-path="CheckTemperature"]').wait_for()
    opened.page.locator('.drawing[style*="scale"]').wait_for()
    until(lambda: opened.scale() >= 0.7)
    stage = opened.page.locator(".stage").bounding_box()
    until(lambda: inside(opened.state("CheckTemperature").bounding_box(), stage))
    opened.page.get_by_role("button", name="The whole diagram").click()
    until(lambda: opened.scale() < 0.45)
    opened.page.set_viewport_size({"width": 1100, "height": 900})
    until(lambda: opened.scale() > 0.5)  # the whole stays the whole


def inside(box: dict[str, float], around: dict[str, float]) -> bool:
    """Whether a box lies in another one."""
    return around["y"] <= box["y"] and box["y"] + box["height"] <= around["y"] + around["height"]


def test_the_journal_is_played(configured: Callable[..., Path], works: Works, opened: Opened) -> None:
    assert works.run(configured()).wait(60) == 0
    last = len(works.records("bread")) - 1
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=oven&seq=0")
    opened.state("Preheat").wait_for()
    opened.page.get_by_label("Records a second").select_option("100")
    opened.page.get_by_role("button", name="Play the journal").click()
    opened.page.locator(f'output:text("record {last} of {last}")').wait_for()
    assert opened.looks() == projected(works, "bread", last, "oven")


def test_a_killed_and_resumed_run_goes_on_in_the_same_page(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    config = configured(pause=0.3)
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=bakery")
    first = works.run(config)
    opened.status("running")
    until(lambda: any(r.get("machine") == "oven" for r in works.records("bread")))
    first.send_signal(signal.SIGKILL)
    opened.status("stopped")
    works.run(config)
    opened.status("running")
    opened.status("done")
    until(lambda: opened.looks().get("Deliver") == "visited")


def test_a_run_begun_anew_is_shown_from_its_beginning(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    config = str(configured())
    assert works.run(Path(config)).wait(60) == 0
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=bakery&seq=5")
    opened.status("done")
    opened.state("Deliver").wait_for()
    oven = ("--fresh", "--log", "none", "--machine", "oven", "--run", "bread")
    assert works.start("-m", "fsm.run", config, *oven).wait(60) == 0
    opened.state("Preheat").wait_for()
    opened.status("done")
    assert "seq=" not in opened.address()


def test_a_server_that_was_gone_is_found_again(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    config = configured(pause=0.3)
    server, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=bakery")
    works.run(config)
    opened.status("running")
    opened.state("Deliver").wait_for()
    opened.away = True
    server.send_signal(signal.SIGINT)
    assert server.wait(20) == 0
    opened.page.get_by_text("No connection").wait_for()
    until(lambda: works.records("bread")[-1].get("end"))
    works.serve("bread", port=urlsplit(url).port or 0)
    opened.status("done")
    until(lambda: opened.looks() == projected(works, "bread", 1000, "bakery"))
    opened.page.get_by_text("No connection").wait_for(state="hidden")


def test_composites_fold_and_unfold(configured: Callable[..., Path], works: Works, opened: Opened) -> None:
    assert works.run(configured()).wait(60) == 0
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=bakery")
    opened.state("Prepare.Weigh").wait_for()
    drawn, high = opened.geometry()
    opened.page.get_by_role("button", name="Fold").click()
    opened.state("Prepare.Weigh").wait_for(state="hidden")
    assert opened.state("Prepare").is_visible()
    assert opened.state("Deliver").is_visible()
    assert opened.geometry()[1] < 0.8 * high  # what is left has moved together
    opened.page.get_by_role("button", name="Unfold").click()
    opened.state("Prepare.Weigh").wait_for()
    assert opened.geometry() == (drawn, high)


def test_the_page_is_used_by_keys_alone(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    assert works.run(configured()).wait(60) == 0
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=bakery")
    opened.state("Prepare").wait_for()
    keys = opened.page.keyboard
    opened.page.locator('[role="tab"][data-machine="bakery"]').focus()
    keys.press("ArrowRight")
    until(lambda: opened.page.evaluate("document.activeElement.dataset.machine") not in (None, "bakery"))
    keys.press("ArrowLeft")
    opened.state("Prepare").wait_for()
    opened.page.locator('.drawing [data-path][tabindex="0"]').focus()
    keys.press("ArrowDown")
    keys.press("Enter")
    opened.page.locator(".state-panel h2").wait_for()
    assert opened.page.locator(".state-panel h2").inner_text() == list(opened.looks())[1]
    opened.page.get_by_role("slider", name="Record of the journal").focus()
    keys.press("ArrowLeft")
    opened.page.locator(".slider.past").wait_for()


def test_artifacts_are_shown_and_one_that_is_gone_is_said(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    assert works.run(configured()).wait(60) == 0
    _, url = works.serve("bread")
    opened.page.goto(f"{url}&machine=bakery&state=Prepare.Knead")
    opened.page.get_by_role("button", name="dough.txt").click()
    opened.page.get_by_text("flour, water, salt").wait_for()
    for file in (works.directory / "runs" / "bread" / "artifacts").iterdir():
        file.unlink()
    opened.away = True  # the browser itself tells of the answer 404
    opened.page.get_by_role("button", name="Close the artifact").click()
    opened.page.get_by_role("button", name="dough.txt").click()
    opened.page.get_by_role("alert").filter(has_text="is gone").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_rules_of_axe_are_kept(
    configured: Callable[..., Path], works: Works, opened: Opened, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    assert works.run(configured(mishap="NoGas")).wait(60) == 3
    _, url = works.serve()
    opened.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    opened.page.goto(url)
    opened.page.get_by_role("link", name="bread").wait_for()

    def check(where: str) -> None:
        found = axe.run(opened.page)
        assert found.violations_count == 0, f"{where}: {found.generate_report()}"

    check("the list")
    opened.page.goto(f"{url}#run=bread&machine=oven&state=CheckTemperature")
    opened.page.locator(".recovery").wait_for()
    opened.state("Preheat").wait_for()
    check("a state in error")
    opened.page.goto(f"{url}#run=bread&machine=bakery&seq=4")
    opened.page.locator(".slider.past").wait_for()
    opened.state("Prepare").wait_for()
    check("a past moment")


def test_the_file_of_a_run_opens_offline_with_the_same_slider(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    assert works.run(configured(mishap="Burnt")).wait(60) == 0
    target = works.directory / "bread.html"
    words = ["render", "bread", "--store", str(works.directory), "--machine", "oven", "--at", "5"]
    assert works.start("-m", "fsm.cli", *words, "-o", str(target)).wait(60) == 0
    opened.page.goto(target.as_uri())
    opened.page.locator(".slider.past").wait_for()
    opened.state("Preheat").wait_for()
    assert opened.looks() == projected(works, "bread", 5, "oven")
    opened.page.get_by_role("button", name="Now", exact=True).click()
    until(lambda: opened.looks() == projected(works, "bread", 1000, "oven"))
    opened.state("CheckTemperature").click()
    opened.page.locator(".records .error").first.wait_for()
    assert opened.page.locator(".recovery > li .place").all_inner_texts() == [
        f" Mishaps.{state}: " for state in ("Burnt", "OpenWindow", "TryAgain")
    ]
    assert all(url.startswith("file:") for url in opened.asked)


def test_the_file_of_a_run_has_those_that_it_follows(
    configured: Callable[..., Path], works: Works, opened: Opened
) -> None:
    follower = works.run(configured(follow="van"))
    until(lambda: works.records("bread"))
    assert works.run(configured(run="van", machine="oven")).wait(60) == 0
    assert follower.wait(60) == 0
    target = works.directory / "bread.html"
    words = ["render", "bread", "--store", str(works.directory), "-o", str(target)]
    assert works.start("-m", "fsm.cli", *words).wait(60) == 0
    opened.page.goto(target.as_uri())
    opened.page.locator('[role="tab"][data-machine="van/oven"]').click()
    until(lambda: opened.looks() == projected(works, "van", 1000, "oven"))
    slider = opened.page.get_by_role("slider", name="Record of the journal")
    slider.focus()
    opened.page.keyboard.press("Home")
    until(lambda: set(opened.looks().values()) == {"never"})
    opened.page.get_by_role("button", name="Now", exact=True).click()
    opened.state("Preheat").click()
    opened.page.locator(".state-panel").get_by_text("in oven").wait_for()
    opened.page.get_by_role("button", name=re.compile("Go to record")).first.click()
    opened.page.locator("h1", has_text="van").wait_for()
    assert all(url.startswith("file:") for url in opened.asked)


REFUSED = """stateDiagram-v2
    [*] --> constructor
    constructor --> Walls : built
    Walls --> [*]
"""

BUILDING = """
from pathlib import Path
from fsm.engine import Context, Machine, Phase
NAMES = {"house": "building:HOUSE"}
HOUSE = Machine("house", Path(__file__).with_name("house.mmd"))
"""

BUILDERS = """
from fsm.engine import Context, Phase
NAMES = {"house": "builders:PHASE"}
PHASE = Phase("house")

@PHASE.state("constructor", "Walls")
def build(ctx: Context):
    pass
"""


def test_what_is_wrong_with_a_run_is_said_and_the_rest_stays_usable(works: Works, opened: Opened) -> None:
    for name, text in (("house.mmd", REFUSED), ("building.py", BUILDING), ("builders.py", BUILDERS)):
        (works.directory / name).write_text(text)
    config = works.directory / "house.yaml"
    config.write_text(
        f"machine: house\nplug: {{machines: building, phases: builders}}\nrun: {{name: house}}\n"
        f"store: {works.directory}\nwork: {works.directory / 'work'}\n"
    )
    assert works.run(config).wait(60) == 0
    (works.directory / "house.mmd").write_text(REFUSED.replace("Walls", "Roof"))
    runs = works.directory / "runs"
    header = json.loads((runs / "house" / "run.json").read_text())
    (runs / "later").mkdir()
    (runs / "later" / "run.json").write_text(json.dumps(header | {"format": 999, "name": "later"}))
    journal = (runs / "house" / "journal.jsonl").read_bytes()
    _, url = works.serve()
    page, alert = opened.page, opened.page.get_by_role("alert")
    opened.away = True  # the browser itself tells of the answer 422
    page.goto(f"{url}#run=house&machine=house")
    alert.filter(has_text="Drawn otherwise than when the run was begun: house").wait_for()
    alert.filter(has_text="There is no picture of house: Mermaid refuses").wait_for()
    page.locator(".outline li", has_text="constructor").get_by_text("visited").wait_for()
    page.locator(".outline").get_by_role("button", name="constructor").click()
    page.locator(".state-panel").get_by_text("built → Walls").wait_for()
    page.get_by_role("slider", name="Record of the journal").focus()
    page.keyboard.press("Home")
    page.locator(".outline li", has_text="constructor").get_by_text("never").wait_for()
    page.get_by_role("button", name="Now", exact=True).click()

    # the journal can no longer be read: what was read stays, and goes on when it can be
    (runs / "house" / "journal.jsonl").rename(runs / "aside")
    (runs / "house" / "journal.jsonl").mkdir()
    opened.status("unreadable")
    alert.filter(has_text="cannot be read").wait_for()
    page.get_by_role("slider", name="Record of the journal").focus()
    page.keyboard.press("Home")
    page.locator(".outline li", has_text="constructor").get_by_text("never").wait_for()
    (runs / "house" / "journal.jsonl").rmdir()
    (runs / "aside").rename(runs / "house" / "journal.jsonl")
    opened.status("done")

    page.goto(f"{url}#run=later")
    alert.filter(has_text="format 999").wait_for()
    (runs / "begun").mkdir()
    (runs / "begun" / "run.json").write_text(json.dumps(header | {"name": "begun"}))
    page.goto(f"{url}#run=begun")
    alert.filter(has_text="The run is being begun; its first record is awaited.").wait_for()
    page.locator(".outline li", has_text="constructor").get_by_text("never").wait_for()
    of_house = page.locator("tr", has=page.get_by_role("link", name="house", exact=True))
    page.get_by_role("link", name="Runs").click()
    page.locator("tr", has_text="later").get_by_text("unreadable").wait_for()
    of_house.get_by_text("done").wait_for()
    runs.rename(works.directory / "aside")
    runs.write_text("no directory")
    alert.filter(has_text="cannot be listed").wait_for()
    assert of_house.is_visible()
    assert journal == (works.directory / "aside" / "house" / "journal.jsonl").read_bytes()


HOSTILE = "<img src=x onerror=window.taken=1>"

DRAWING = """stateDiagram-v2
    [*] --> Ask
    Ask --> Answer : <img src=x onerror=window.taken=1>
    Answer --> [*] : </text><script>window.taken=1</script>
"""

MACHINES = """
from pathlib import Path
from fsm.engine import Machine
NAMES = {"asking": "asking:ASKING"}
ASKING = Machine("asking", Path(__file__).with_name("asking.mmd"))
"""

PHASES = """
from fsm.engine import Context, Phase
NAMES = {"asking": "asking_phases:PHASE"}
PHASE = Phase("asking")
BAD = "<img src=x onerror=window.taken=1>"
SVG = ('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="window.taken=1"><script>window.taken=1</script>'
       '<rect width="9" height="9"/></svg>')

@PHASE.state("Ask")
def ask(ctx: Context):
    ctx.put("a.txt", BAD)
    ctx.put("b.c", f"/* {BAD} */ int main(void) {{ return 0; }}")
    ctx.put("c.jsonl", '{"text": "%s"}' % BAD)
    ctx.put("d.svg", SVG)
    ctx.data[BAD] = BAD

@PHASE.state("Answer")
def answer(ctx: Context):
    raise RuntimeError(BAD)
"""


def test_hostile_labels_artifacts_and_errors_are_shown_as_text(works: Works, opened: Opened) -> None:
    for name, text in (("asking.mmd", DRAWING), ("asking.py", MACHINES), ("asking_phases.py", PHASES)):
        (works.directory / name).write_text(text)
    config = works.directory / "asking.yaml"
    config.write_text(
        f"machine: asking\nplug: {{machines: asking, phases: asking_phases}}\nrun: {{name: asked}}\n"
        f"store: {works.directory}\nwork: {works.directory / 'work'}\n"
    )
    assert works.run(config).wait(60) == 3
    _, url = works.serve("asked")
    opened.page.goto(f"{url}&machine=asking&state=Ask")
    opened.page.locator(".drawing text", has_text="onerror").first.wait_for()
    side = opened.page.locator(".state-panel")
    side.get_by_text("Outputs and data").click()
    side.locator("dd", has_text=HOSTILE).first.wait_for()
    for name in ("a.txt", "b.c", "c.jsonl"):
        side.get_by_role("button", name=name).click()
        side.locator(".artifact-body", has_text=HOSTILE).wait_for()
    side.get_by_role("button", name="d.svg").click()
    picture = side.locator("img.artifact-picture")
    picture.wait_for()
    until(lambda: picture.evaluate("(e) => e.complete && e.naturalWidth > 0"))
    opened.state("Answer").click()
    side.get_by_text(f"RuntimeError: {HOSTILE}").first.wait_for()
    assert opened.page.evaluate("window.taken") is None
    assert opened.page.locator("#app img:not(.artifact-picture)").count() == 0
    assert opened.page.locator("body script").count() == 0
