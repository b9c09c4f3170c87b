"""Reading a run on in a bucket: what it costs in requests, and what it tells."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from fsm.errors import StoreError
from fsm.journal import Journal, decode
from fsm.store import Silent, trail
from fsm.store.local import LocalRun
from fsm.store.s3 import S3Run
from fsm.store.trail import BEAT, Trail
from fsm.testing import Clock
from tests.servers.fixtures import S3
from tests.servers.proxy import Proxy, Request

Proxied = Callable[..., Proxy]


class Runner:
    """Writes records, and live.json as a runner does: every five seconds, with the newest records or without."""

    def __init__(self, run: S3Run, tail: bool) -> None:
        run.write_header(b'{"format": 1}')
        self.run = run
        self.journal = Journal(run)
        self.journal.open()
        self.tail: list[dict[str, Any]] | None = [] if tail else None
        self.count = 0

    def step(self, n: int = 1) -> None:
        for _ in range(n):
            self.count += 1
            record = self.journal.append(
                {"kind": "transition", "at": [], "machine": "m", "from": "A", "visit": self.count, "label": None,
                 "to": ["A"], "took": 0.0}
            )  # fmt: skip
            if self.tail is not None:
                self.tail.append(record)

    def beat(self) -> None:
        live = {"status": "running", "seq": self.journal.next - 1}
        self.run.write_live(live | ({"tail": self.tail[-200:]} if self.tail is not None else {}))


def numbers(new: Any) -> list[int]:
    return [(decode(item, "") if isinstance(item, bytes) else item)["seq"] for item in new]


def followed(trail: Trail, seconds: float, clock: Clock, seen: int, each: Callable[[int], None]) -> list[int]:
    """Looks five times a second, as an eager face would."""
    got: list[int] = []
    for tick in range(int(seconds * 5)):
        each(tick)
        clock.now += 0.2
        new = numbers(trail.look(seen + len(got)).new)
        assert new == list(range(seen + len(got), seen + len(got) + len(new)))
        got += new
    return got


def requests(proxy: Proxy) -> Counter[tuple[str, str]]:
    found, proxy.counts = proxy.counts, Counter()
    return found


def test_an_idle_run_costs_at_most_twelve_requests_a_minute(s3: S3, proxied: Proxied) -> None:
    runner = Runner(s3.store().run("r"), tail=True)
    runner.step(40)
    runner.beat()
    proxy, clock = proxied(), Clock()
    path = trail(s3.store(proxy.url).run("r"), clock)
    seen = len(numbers(path.look(0).new))
    assert seen == 41
    followed(path, 60, clock, seen, lambda tick: None)  # it counts as busy for a while
    requests(proxy)
    followed(path, 60, clock, seen, lambda tick: None)
    counts = requests(proxy)
    assert sum(counts.values()) <= 12
    assert ("GET", "list") not in counts


@pytest.mark.parametrize("every", [1, 5, 20])  # ticks between two steps
def test_a_busy_run_costs_at_most_sixty_and_is_told_within_seconds(
    s3: S3, proxied: Proxied, every: int
) -> None:
    runner = Runner(s3.store().run("r"), tail=True)
    runner.step(3)
    runner.beat()
    proxy, clock = proxied(), Clock()
    path = trail(s3.store(proxy.url).run("r"), clock)
    seen = len(path.look(0).new)
    requests(proxy)

    def each(tick: int) -> None:
        if tick % every == 0:
            runner.step()
        if tick % 25 == 0:
            runner.beat()

    got = followed(path, 60, clock, seen, each)
    counts = requests(proxy)
    assert sum(counts.values()) <= 60, counts
    assert ("GET", "list") not in counts
    behind = runner.journal.next - seen - len(got)
    assert behind <= 2 * BEAT * 5 / every


def test_a_long_run_is_read_by_number_and_not_listed(s3: S3, proxied: Proxied) -> None:
    runner = Runner(s3.store().run("r"), tail=False)
    runner.step(100)
    proxy = proxied()
    for told in (False, True):
        if told:
            runner.beat()
        path = trail(s3.store(proxy.url).run("r"), Clock())
        requests(proxy)
        got: list[int] = []
        while True:
            look = path.look(len(got))
            got += numbers(look.new)
            if not look.more:
                break
        assert got == list(range(101))
        counts = requests(proxy)
        assert counts["GET", "list"] == 1  # of the tombstones of the name
        assert counts["GET", "journal"] <= 101 + 32


def test_a_runner_that_puts_no_records_into_live_json_is_followed_all_the_same(
    s3: S3, proxied: Proxied
) -> None:
    runner = Runner(s3.store().run("r"), tail=False)
    runner.beat()
    clock = Clock()
    path = trail(s3.store(proxied().url).run("r"), clock)
    seen = len(path.look(0).new)

    def each(tick: int) -> None:
        if tick < 50:
            runner.step()
        if tick % 25 == 0:
            runner.beat()

    assert len(followed(path, 20, clock, seen, each)) == 50


def test_what_live_json_brings_is_taken_out_of_it(s3: S3) -> None:
    runner = Runner(s3.store().run("r"), tail=True)
    runner.step(2)
    runner.beat()
    look = trail(s3.store().run("r"), Clock()).look(0)
    assert look.live is not None
    assert "tail" not in look.live
    assert numbers(look.new) == [0, 1, 2]


def test_a_run_begun_anew_is_another_one(s3: S3) -> None:
    store = s3.store()
    Runner(store.run("r"), tail=False)
    clock = Clock()
    path = trail(s3.store().run("r"), clock)
    first = path.look(0)
    store.retire("r")
    clock.now += 61
    assert path.look(1).which is None
    Runner(store.run("r"), tail=False).step(2)
    clock.now += 6
    again = path.look(0)
    assert again.which not in (None, first.which)
    assert numbers(again.new) == [0, 1, 2]


def test_no_clear_answer_is_no_answer_and_a_refusal_says_what_is_missing(s3: S3, proxied: Proxied) -> None:
    runner = Runner(s3.store().run("r"), tail=False)
    runner.step(2)
    plan = {"says": "none"}
    proxy, clock = proxied(lambda request: plan["says"]), Clock()
    path = trail(s3.store(proxy.url).run("r"), clock)
    for says in ("503", "cut"):
        plan["says"] = says
        with pytest.raises(Silent, match="gave no clear answer"):
            path.look(0)
        clock.now += 61
    plan["says"] = "403 AccessDenied: no longer"
    with pytest.raises(StoreError, match="lacks s3:"):
        path.look(0)
    plan["says"] = "none"
    clock.now += 61
    assert numbers(path.look(0).new) == [0, 1, 2]


def test_a_missing_record_is_not_asked_for_at_every_look(s3: S3, proxied: Proxied) -> None:
    runner = Runner(s3.store().run("r"), tail=False)
    runner.step(5)
    runner.beat()
    key = next(k for k in s3.keys("runs/r/journal/") if k.endswith("3.json"))
    s3.client.delete_object(Bucket="bucket", Key=f"{s3.prefix}/{key}")
    proxy, clock = proxied(), Clock()
    path = trail(s3.store(proxy.url).run("r"), clock)
    assert numbers(path.look(0).new) == [0, 1, 2]
    requests(proxy)
    assert followed(path, 60, clock, 3, lambda tick: None) == []
    assert sum(requests(proxy).values()) <= 60


def test_looking_whether_a_runner_is_at_it_does_not_keep_one_from_starting(tmp_path: Any) -> None:
    import fcntl

    run = LocalRun(tmp_path / "r")
    run.write_header(json.dumps({"format": 1}).encode())
    run.acquire()
    run.release()
    with run.journal.open("rb") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        threading.Timer(0.015, lambda: fcntl.flock(looker, fcntl.LOCK_UN)).start()
        run.acquire()
    run.release()


def test_records_read_while_a_run_is_begun_anew_are_not_told_as_the_former_ones(tmp_path: Any) -> None:
    class Swapped(LocalRun):
        """Is begun anew between a look at what is there and the reading of it."""

        swap = False

        def read_live(self) -> dict[str, Any] | None:
            if self.swap:
                self.directory.rename(tmp_path / "aside")
                begin(LocalRun(self.directory), b'{"format": 1, "generation": 1}', [b"new 0", b"new 1"])
                self.swap = False
            return None

    def begin(run: LocalRun, header: bytes, lines: list[bytes]) -> None:
        run.write_header(header)
        run.journal.write_bytes(b"".join(line + b"\n" for line in lines))

    run = Swapped(tmp_path / "r")
    begin(run, b'{"format": 1}', [b"old 0"])
    path = trail(run)
    first = path.look(0)
    assert first.new == (b"old 0",)
    run.swap = True
    run.journal.open("ab").write(b"old 1\n")
    swapped = path.look(1)
    assert (swapped.which, swapped.new, swapped.more) == (first.which, (), True)
    again = path.look(0)
    assert again.which != first.which
    assert again.new == (b"new 0", b"new 1")


def test_only_runs_of_stores_that_are_known_have_a_trail() -> None:
    with pytest.raises(TypeError):
        trail(object())  # type: ignore[arg-type]


def test_the_kind_of_a_request_is_told_by_its_key() -> None:
    """What the counts above stand on."""
    assert Request("GET", "/bucket/p/runs/r/live.json", b"", 1).kind == "live"
    assert Request("GET", "/bucket?list-type=2&prefix=p", b"", 1).kind == "list"
