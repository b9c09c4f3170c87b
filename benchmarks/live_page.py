"""What the page of a run does in a real browser: the measures of `benchmarks.live` that need Chromium.

Times on a page are its own clock's, set against this process's by a question in between. A pixel counts as changed in the
task after the frame (requestAnimationFrame) that follows the change of the page.
"""

from __future__ import annotations

import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.common import BUILD
from benchmarks.picture import large
from fsm.drawing import load
from fsm.journal import GENESIS, digest, encode
from fsm.view.picture import of_file
from fsm.view.svg import size
from fsm.view.web.pictures import for_a_page
from tests.needs import listed

VIEW = {"width": 1500, "height": 950}
PATIENCE = 120  # seconds
LOADS = 500  # ms in which a page has what is around a record that it stays at

# Notes when each record was on the screen, and tasks of the main thread that took 50 ms or longer
WATCHING = """
(() => {
  const clock = () => performance.timeOrigin + performance.now();
  const later = (then) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => then(clock());
    port2.postMessage(0);
  };
  const asked = requestAnimationFrame.bind(window);
  let inFrame = false; // what is changed now is painted in this frame, and not in the next one
  window.requestAnimationFrame = (does) => asked((now) => {
    inFrame = true;
    later(() => (inFrame = false));
    does(now);
  });
  const after = (then) => (inFrame ? later(then) : asked(() => later(then)));
  const bench = (window.bench = { clock, after, seen: [], long: [], dragged: [], here: -1, waiting: null });
  const moved = (e) => (bench.drag = [Number(e.target.value), clock(), performance.timeOrigin + e.timeStamp]);
  window.addEventListener("input", moved, true);
  new PerformanceObserver((list) => list.getEntries().forEach((e) => bench.long.push([e.startTime, e.duration]))).observe({ type: "longtask", buffered: true });
  const look = () => {
    const found = /record (\\d+) of/.exec(document.querySelector("output.moment")?.textContent ?? "");
    if (!found || Number(found[1]) === bench.here) return;
    const seq = (bench.here = Number(found[1]));
    const changed = clock();
    const by = bench.drag?.[0] === seq ? bench.drag : null;
    after((pixel) => {
      bench.seen.push([seq, changed, pixel]);
      if (by) bench.dragged.push([changed - by[1], pixel - by[1], pixel - by[2]]);
      if (bench.waiting?.[0] === seq) bench.waiting[1]([changed, pixel]);
    });
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
  bench.seek = (seq) => new Promise((done) => {
    const range = document.querySelector(".track input");
    if (bench.here === seq) return done(null);
    range.value = String(seq);
    bench.waiting = [seq, ([changed, pixel]) => done([changed - from, pixel - from])];
    const from = clock();
    range.dispatchEvent(new Event("input", { bubbles: true }));
  });
})();
"""

# Does one thing a frame, and measures the frame: script, style, layout and paint of the main thread, and from frame to frame
FRAMES = """
async ([base, what, rounds]) => {
  const [{ Picture }, drawn] = [await import("/static/picture.js"), window.drawn];
  document.body.replaceChildren();
  const picture = new Picture("large", drawn.picture, drawn.chart, () => {});
  document.body.append(picture.element);
  picture.element.style.height = "900px";
  picture.canvas.fit();
  const paths = Object.keys(drawn.picture.states);
  const edges = Object.keys(drawn.picture.edges);
  const moment = { m: { large: { s: {}, e: {} } } };
  const marks = (n) => {
    const own = moment.m.large;
    const [was, is] = [paths[(n * 7) % paths.length], paths[((n + 1) * 7) % paths.length]];
    own.s[was] = { look: "visited", visits: n + 1, seconds: n / 3 };
    own.s[is] = { look: "active", active: true, visits: n + 1, seconds: n / 3 };
    own.e[edges[(n * 5) % edges.length]] = n + 2;
    picture.mark(moment);
  };
  for (let n = 0; n < paths.length; n++) moment.m.large.s[paths[n]] = { look: "visited", visits: 2, seconds: 1 };
  for (let n = 0; n < edges.length; n++) moment.m.large.e[edges[n]] = 2;
  picture.mark(moment);
  const { canvas } = picture;
  const acts = {
    mark: marks,
    "mark all": (n) => {
      for (const path of paths) moment.m.large.s[path] = { look: ["visited", "active", "failed"][n % 3], visits: n + 1, seconds: n };
      for (const edge of edges) moment.m.large.e[edge] = n + 2;
      picture.mark(moment);
    },
    pan: (n) => { canvas.x += n % 2 ? 40 : -35; canvas.y += 3 * Math.sin(n); canvas.apply(); },
    zoom: (n) => canvas.zoom(Math.exp(0.15 * Math.sin(n / 5))),
    nothing: () => {},
  };
  const act = acts[what];
  await new Promise((done) => setTimeout(done, 500));
  const work = [], between = [];
  let last = null;
  for (let n = 0; n < rounds; n++) {
    await new Promise((done) => requestAnimationFrame((now) => {
      if (last !== null) between.push(now - last);
      last = now;
      const from = performance.now();
      act(n);
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => { work.push(performance.now() - from); done(); };
      port2.postMessage(0);
    }));
  }
  return [work, between];
}
"""


@contextmanager
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    command = listed.chromium()
    if command is None:
        raise SystemExit("There is no Chromium here: `python -m tests.needs` sets it up.")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=command, args=["--no-sandbox"])
        with suppress(
            OSError
        ):  # it begins a session of its own, which is to go before others as this one does
            processes = found.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
            ours = Path("/proc/self/autogroup").read_text().split()[-1]
            for process in processes:
                Path(f"/proc/{process['id']}/autogroup").write_text(ours)
        yield found
        found.close()


@contextmanager
def served(store: Path) -> Iterator[str]:
    """`fsm watch` of a store; gives its address."""
    with serving(store) as (_, address):
        yield address


@contextmanager
def serving(store: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The same with its process."""
    BUILD.mkdir(parents=True, exist_ok=True)
    words = ["-m", "fsm.cli", "watch", "--store", str(store), "--no-open", "--port", "0"]
    one = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )
    assert one.stdout is not None
    try:
        yield one, one.stdout.readline().strip()
    finally:
        one.terminate()
        one.wait(30)


def environment() -> dict[str, str]:
    """Of a server: what it keeps is of this benchmark alone."""
    return os.environ | {"XDG_CACHE_HOME": str(BUILD / "cache")}


@contextmanager
def page(chromium: Any) -> Iterator[Any]:
    """A page of a browser's context of its own, that is watched."""
    context = chromium.new_context(viewport=VIEW)
    context.set_default_timeout(1000 * PATIENCE)
    context.add_init_script(WATCHING)
    one = context.new_page()
    yield one
    context.close()


def ahead(one: Any) -> float:
    """Seconds that the page's clock is ahead of this process's: the closest of several questions."""
    found: list[tuple[float, float]] = []
    for _ in range(20):
        before = time.time()
        there = one.evaluate("bench.clock()") / 1000
        after = time.time()
        found.append((after - before, there - (before + after) / 2))
    return min(found)[1]


def holds(one: Any, what: str) -> None:
    """Wait until something is true of a page. Its policy lets no text be run, so it is asked from here."""
    end = time.monotonic() + PATIENCE
    while not one.evaluate(f"Boolean({what})"):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def shows(one: Any, seq: int) -> None:
    """Wait until a record and the drawing are on the page."""
    holds(one, f"bench.seen.some(([seq]) => seq === {seq}) && document.querySelector('.drawing')")


def told(numbers: list[float], digits: int = 1) -> dict[str, float]:
    """p50 and p95."""
    return {
        "p50": round(statistics.median(numbers), digits),
        "p95": round(statistics.quantiles(numbers, n=20, method="inclusive")[-1], digits),
    }


# Measures


def pixels(store: Path, journal: Path, records: Iterator[dict[str, Any]], rate: float, seconds: float) -> dict[str, Any]:  # fmt: skip
    """Records written by the clock to the end of a journal, until each is on the screen of a page."""
    written: dict[int, float] = {}
    prev = GENESIS
    with journal.open("ab", buffering=0) as f:

        def write() -> int:
            nonlocal prev
            record = next(records) | {"prev": prev, "time": time.time()}
            line = encode(record)
            prev = digest(line)
            f.write(line + b"\n")
            written[record["seq"]] = time.time()
            return int(record["seq"])

        for _ in range(50):
            last = write()
        with browser() as chromium, served(store) as address, page(chromium) as one:
            one.goto(f"{address}#run=long")
            shows(one, last)
            one.wait_for_timeout(1500)
            first, begun = last + 1, time.time()
            one.evaluate("bench.long.length = 0")
            devtools = one.context.new_cdp_session(one)
            devtools.send("Performance.enable")
            busy = _busy(devtools)
            for n in range(int(rate * seconds)):
                # not in step with the frames
                time.sleep(max(0.0, begun + (n + random.Random(n).random()) / rate - time.time()))
                last = write()
            holds(one, f"bench.seen.some(([seq]) => seq === {last})")
            took = time.time() - begun
            busy = _busy(devtools) - busy
            skew = ahead(one)
            seen: list[tuple[int, float, float]] = one.evaluate("bench.seen")
            long = [duration for _, duration in one.evaluate("bench.long")]
    changed, pixel = [], []
    at = iter(sorted((seq, change / 1000 - skew, shown / 1000 - skew) for seq, change, shown in seen))
    now = next(at)
    for seq in range(first, last + 1):
        while now[0] < seq:
            now = next(at)
        changed.append(1000 * (now[1] - written[seq]))
        pixel.append(1000 * (now[2] - written[seq]))
    return {
        "records_a_second": rate,
        "records": len(pixel),
        "to_the_page_ms": told(changed),
        "to_the_pixel_ms": told(pixel),
        "longest_task_ms": max(long, default=None),  # None: none of 50 ms or longer, which are those a browser tells of
        "tasks_of_50_ms": len(long),
        "main_thread_busy_percent": round(100 * busy / took, 1),
    }  # fmt: skip


def _busy(devtools: Any) -> float:
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))


def opening(store: Path, count: int, rounds: int) -> dict[str, Any]:
    """Until the picture of the newest record, by a server that has not looked at the run: from its link in the list of runs,
    and from its address; then by a server that has."""
    found: dict[str, list[float]] = {"from_the_list": [], "by_its_address": [], "again": []}
    with browser() as chromium:
        with served(store) as address, page(chromium) as one:  # what is read from disk once
            one.goto(address)

        def drawn(one: Any, began: float) -> float:
            shows(one, count - 1)
            skew = ahead(one)
            seen = one.evaluate("bench.seen.findLast(([seq]) => true)")
            active = one.evaluate(
                "new Promise((done) => bench.after(() => done(Boolean(document.querySelector('.drawing .fsm-active')))))"
            )
            assert seen[0] == count - 1
            assert active
            return float(seen[2] / 1000 - skew - began)

        for _ in range(rounds):
            with served(store) as address, page(chromium) as one:
                one.goto(address)
                one.get_by_role("link", name="long").wait_for()
                one.wait_for_timeout(1000)
                began = one.evaluate(
                    "new Promise((done) => { const from = bench.clock(); location.hash = 'run=long'; done(from); })"
                )
                found["from_the_list"].append(drawn(one, began / 1000 - ahead(one)))
            with served(store) as address:
                for way in ("by_its_address", "again"):
                    with page(chromium) as one:
                        began = time.time()
                        one.goto(f"{address}#run=long")
                        found[way].append(drawn(one, began))
    return {
        "records": count,
        "rounds": rounds,
        "from_the_list_seconds_median": round(statistics.median(found["from_the_list"]), 2),
        "seconds_median": round(statistics.median(found["by_its_address"]), 2),
        "again_seconds_median": round(statistics.median(found["again"]), 2),
        "seconds_each": {way: [round(s, 2) for s in each] for way, each in found.items()},
    }


def seeking(store: Path, count: int, seeks: int) -> dict[str, Any]:
    """From a move of the slider to the record on the screen: where the records around it were not loaded yet, and where they
    were; by the mouse, whose moves a browser tells in step with its frames, and by a call at any time between two of them."""
    chance = random.Random(5)
    with browser() as chromium, served(store) as address, page(chromium) as one:
        one.goto(f"{address}#run=long")
        shows(one, count - 1)
        one.wait_for_timeout(1000)
        chunks = list(range(256, count - 512, 512))
        chance.shuffle(chunks)
        cold = []
        for seq in [*chunks, count - 2]:
            cold.append(one.evaluate("(seq) => bench.seek(seq)", seq))
            one.wait_for_timeout(LOADS)
        one.evaluate("bench.long.length = 0")
        between = []
        for seq in chance.choices(range(count), k=seeks):
            one.wait_for_timeout(20)
            if found := one.evaluate("(seq) => bench.seek(seq)", seq):
                between.append(found)
        box = one.locator(".track input").bounding_box()
        middle = box["y"] + box["height"] / 2
        one.mouse.move(box["x"] + 10, middle)
        one.mouse.down()
        one.evaluate("bench.dragged.length = 0")
        for _ in range(seeks):
            one.mouse.move(box["x"] + 10 + chance.random() * (box["width"] - 20), middle)
            one.wait_for_timeout(100)
        one.mouse.up()
        dragged = one.evaluate("bench.dragged")
        long = [duration for _, duration in one.evaluate("bench.long")]
    return {
        "records": count,
        "seeks": len(dragged),
        "to_the_page_ms": told([change for change, _, _ in dragged]),
        "to_the_pixel_ms": told([pixel for _, pixel, _ in dragged]),
        "from_the_mouse_to_the_pixel_ms": told([pixel for _, _, pixel in dragged]),
        "out_of_step_to_the_page_ms": told([change for change, _ in between]),
        "out_of_step_to_the_pixel_ms": told([pixel for _, pixel in between]),
        "longest_task_ms": max(long, default=None),
        "not_loaded_yet_to_the_page_ms": told([change for change, _ in cold]),
        "not_loaded_yet_to_the_pixel_ms": told([pixel for _, pixel in cold]),
    }


def drawing(states: int) -> tuple[Path, float | None]:
    """A drawing of composites that Mermaid draws in half a minute, and how long that took where it was done now."""
    file = BUILD / "live" / f"of_{states}_states.mmd"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(large(states), "utf-8")
    began = time.time()
    of_file(file)
    took = time.time() - began
    kept = file.with_suffix(".seconds")
    if took > 3:
        kept.write_text(str(round(took, 1)))
    return file, float(kept.read_text()) if kept.exists() else None


def tiled(file: Path, states: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A picture of at least so many states, as a page gets one: that of the file side by side with itself. And its chart.

    Mermaid takes too long for a whole of that size; its shapes are the same.
    """
    base = of_file(file)
    chart = load(file)
    given = base.as_json()
    svg = for_a_page(base.svg)
    head, inside = svg[: svg.index(">") + 1], svg[svg.index(">") + 1 : svg.rindex("</svg>")]
    width, height = size(base.svg)
    copies = -(-states // len(base.states))
    made: dict[str, Any] = {key: {} for key in ("states", "edges", "entries", "boxes", "counts")}
    parts = []
    for c in range(copies):
        part = re.sub(r' id="', f' id="c{c}-', inside)
        part = re.sub(r'data-id="edge(\d+)"', lambda m, c=c: f'data-id="edge{int(m[1]) + 10_000 * c}"', part)  # type: ignore[misc]
        parts.append(f'<g transform="translate({c * width}, 0)">{part}</g>')
        made["states"] |= {f"c{c}.{path}": f"c{c}-{i}" for path, i in given["states"].items()}
        made["edges"] |= {f"c{c}.{edge}": k + 10_000 * c for edge, k in given["edges"].items()}
        made["boxes"] |= {
            f"c{c}.{path}": [x + c * width, *more] for path, (x, *more) in given["boxes"].items()
        }
        made["counts"] |= {int(k) + 10_000 * c: [x + c * width, y] for k, (x, y) in given["counts"].items()}
    head = re.sub(r' width="[^"]*"', f' width="{copies * width}"', head, count=1)
    head = re.sub(r' height="[^"]*"', f' height="{height}"', head, count=1)
    head = re.sub(r' viewBox="[^"]*"', f' viewBox="0 0 {copies * width} {height}"', head, count=1)
    names = [f"c{c}.{path}" for c in range(copies) for path, s in chart.states.items() if s.composite]
    edges = {
        f"c{c}.{e.id}": [f"c{c}.{e.source}", f"c{c}.{e.target}", e.label or ""]
        for c in range(copies)
        for e in chart.edges
    }
    return made | {"svg": head + "".join(parts) + "</svg>"}, {"composites": names, "edges": edges}


def frames(store: Path, picture: Mapping[str, Any], chart: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """ms of the main thread in a frame, and from frame to frame, for each thing that is done to a large picture."""
    found: dict[str, Any] = {
        "states": len(picture["states"]),
        "edges": len(picture["edges"]),
        "frames": rounds,
    }
    with browser() as chromium, served(store) as address:
        for what in ("nothing", "mark", "mark all", "pan", "zoom"):
            with page(chromium) as one:
                one.goto(address)
                one.evaluate("(drawn) => { window.drawn = drawn; }", {"picture": picture, "chart": chart})
                work, between = one.evaluate(FRAMES, ["", what, rounds])
                found[what] = {"main_thread_ms": told(work, 2), "from_frame_to_frame_ms": told(between)}
    return found
