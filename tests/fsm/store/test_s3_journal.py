"""The journal in a bucket: one put a record, fenced, whatever the network does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm.errors import ConfigError, JournalDamaged, RunBusy, RunReplaced, StoreError
from fsm.journal import Journal, encode
from fsm.store import Store, Taken, open_store
from fsm.store.local import LocalStore
from fsm.store.s3 import S3Run
from tests.servers.fixtures import S3
from tests.servers.process import Server
from tests.servers.proxy import Proxy, Request, stormy

Proxied = Callable[..., Proxy]


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Both kinds of store keep the same promises."""
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    found: S3 = request.getfixturevalue("s3")
    return found.store()


def step(n: int, **more: Any) -> dict[str, Any]:
    """The record of a state left in a machine that goes round."""
    return {
        "kind": "transition", "at": [], "machine": "m", "from": "A", "visit": n, "label": None, "to": ["A"],
        "took": 0.0, **more,
    }  # fmt: skip


def begun(store: Store, name: str = "run") -> Journal:
    run = store.run(name)
    run.write_header(b'{"format": 1}')
    journal = Journal(run)
    journal.open()
    return journal


def test_what_was_appended_is_read_back_in_order(store: Store) -> None:
    journal = begun(store)
    for n in range(1, 8):
        journal.append(step(n))
    again = Journal(store.run("run"))
    kinds = [(r["seq"], r["kind"], r.get("visit")) for r in again.records()]
    assert kinds == [(0, "claim", None)] + [(n, "transition", n) for n in range(1, 8)]
    assert again.load().root == {
        "machine": "m", "place": ["A"], "data": {}, "visits": {"A": 7}, "last": "A", "label": None, "open": {},
    }  # fmt: skip
    assert [r["seq"] for r in again.records(5)] == [5, 6, 7]


def test_the_header_is_written_once(store: Store) -> None:
    run = store.run("run")
    assert run.read_header() is None
    run.write_header(b'{"format": 1}')
    with pytest.raises(Taken):
        run.write_header(b'{"format": 1, "other": true}')
    assert run.read_header() == b'{"format": 1}'


def test_runs_are_listed_by_name_and_a_retired_name_is_free_again(store: Store) -> None:
    for name in ("beta", "alpha", "gamma.1"):
        begun(store, name).close()
    assert store.runs() == ["alpha", "beta", "gamma.1"]
    store.retire("beta")
    assert store.runs() == ["alpha", "gamma.1"]
    run = store.run("beta")
    assert run.read_header() is None
    assert list(run.records()) == []
    begun(store, "beta").append(step(1))
    assert len(list(store.run("beta").records())) == 2


def test_epochs_grow_with_every_claim(store: Store) -> None:
    for epoch in (1, 2, 3):
        journal = begun(store, f"run{epoch}") if epoch == 1 else Journal(store.run("run1"))
        if epoch > 1:
            journal.open(takeover=True)
        assert journal.epoch == epoch
        journal.append(step(epoch))
        journal.close()


def test_a_replaced_writer_loses_its_next_record_and_says_to_whom(s3: S3) -> None:
    first = begun(s3.store())
    first.append(step(1))
    second = Journal(s3.store().run("run"))
    second.open()
    with pytest.raises(RunReplaced, match=f"taken over by {second.writer} at record 2"):
        first.append(step(2))
    with pytest.raises(StoreError, match="nothing more can be added"):
        first.append(step(2))
    second.append(step(2))
    assert [r["epoch"] for r in second.records()] == [1, 1, 2, 2]


def test_before_an_effect_a_replaced_writer_finds_out(s3: S3) -> None:
    first = begun(s3.store())
    first.check_claim()
    second = Journal(s3.store().run("run"))
    second.open()
    with pytest.raises(RunReplaced, match=second.writer):
        first.check_claim()
    second.check_claim()


def test_a_claim_folds_what_the_other_writer_puts_before_it(s3: S3) -> None:
    first = begun(s3.store())
    run = s3.store().run("run")
    second = Journal(run)
    plain = run.tail

    def late(stop: Callable[[bytes], bool]) -> list[bytes]:
        lines = plain(stop)
        for n in (1, 2, 3):  # the other one goes on between our reading and our claim
            first.append(step(n))
        return lines

    run.tail = late  # type: ignore[method-assign]
    fold = second.open()
    assert fold.root is not None
    assert fold.root["visits"] == {"A": 3}
    assert [(r["seq"], r["epoch"]) for r in second.records()] == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 2)]


def test_of_two_claims_at_once_one_wins_and_the_other_names_it(s3: S3) -> None:
    begun(s3.store()).close()
    journals = [Journal(s3.store().run("run")) for _ in range(6)]
    barrier = threading.Barrier(6)
    said: list[str] = []

    def claim(journal: Journal) -> None:
        plain = journal.load

        def load() -> Any:
            fold = plain()
            barrier.wait()
            return fold

        journal.load = load  # type: ignore[method-assign]
        try:
            journal.open()
            said.append("won")
        except RunBusy as e:
            said.append(e.message)

    threads = [threading.Thread(target=claim, args=(j,)) for j in journals]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    winner = list(Journal(s3.store().run("run")).records())[-1]
    assert winner["seq"] == 1
    assert said.count("won") == 1
    assert all(winner["writer"] in s for s in said if s != "won")


@pytest.mark.parametrize("fault", ["lost reply", "cut", "500", "503", "409", "late 500", "delay"])
def test_a_put_whose_answer_is_lost_is_sent_again_and_is_there_once(
    s3: S3, proxied: Proxied, fault: str
) -> None:
    hit: list[int] = []

    def plan(request: Request) -> str:
        if request.kind == "journal" and request.method == "PUT" and len(hit) < 3:
            hit.append(request.number)
            return fault
        return "none"

    proxy = proxied(plan, delay=0.6)
    journal = begun(s3.store(proxy.url, timeout=0.3))  # so that a delay is an answer nobody waits for
    journal.append(step(1))
    assert proxy.faults[fault] == 3
    assert [r["seq"] for r in journal.records()] == [0, 1]
    assert [r["writer"] for r in journal.records()] == [journal.writer] * 2


def test_through_a_storm_nothing_acknowledged_is_lost_or_doubled(s3: S3, proxied: Proxied) -> None:
    proxy = proxied(stormy(7, 0.3), delay=0.01)
    journal = begun(s3.store(proxy.url))
    for n in range(1, 61):
        journal.append(step(n))
    assert sum(proxy.faults.values()) > 15
    direct = Journal(s3.store().run("run"))
    assert [r.get("visit") for r in direct.records()] == [None, *range(1, 61)]


def test_a_record_costs_one_put(s3: S3, proxied: Proxied) -> None:
    proxy = proxied()
    journal = begun(s3.store(proxy.url))
    before = proxy.counts.copy()
    for n in range(1, 101):
        journal.append(step(n))
    assert proxy.counts - before == {("PUT", "journal"): 100}


def test_patience_ends_with_a_run_that_can_be_resumed(s3: S3, proxied: Proxied) -> None:
    storms = [False]
    proxy = proxied(lambda request: "503" if storms[0] else "none")
    journal = begun(s3.store(proxy.url, patience=0.5))
    storms[0] = True
    with pytest.raises(StoreError, match=r"no clear answer for 0\.5 seconds .*SlowDown"):
        journal.append(step(1))
    storms[0] = False
    again = Journal(s3.store().run("run"))
    again.open()
    again.append(step(1))
    assert [r["seq"] for r in again.records()] == [0, 1, 2]


def test_a_run_seen_alive_is_not_taken_over_unless_asked_to(s3: S3) -> None:
    journal = begun(s3.store())
    live = {"status": "running", "writer": journal.writer, "host": "elsewhere", "pid": 1, "machine": "other"}
    s3.client.put_object(
        Bucket="bucket", Key=f"{s3.prefix}/runs/run/live.json", Body=json.dumps(live).encode()
    )
    with pytest.raises(RunBusy, match=r"seen alive .* --takeover"):
        Journal(s3.store().run("run")).open()
    with pytest.raises(RunBusy):
        s3.store().retire("run")
    second = Journal(s3.store().run("run"))
    second.open(takeover=True)
    with pytest.raises(RunReplaced):
        journal.append(step(1))


def test_a_runner_that_ended_or_died_on_this_machine_does_not_hold_the_run(s3: S3) -> None:
    store = s3.store()
    run = store.run("run")
    journal = begun(store)
    run.write_live({"status": "running", "writer": "w", "host": "h", "pid": 4_000_000})  # no such process
    Journal(s3.store().run("run")).open()
    run.write_live({"status": "running", "writer": "w", "host": "h", "pid": 1})
    with pytest.raises(RunBusy):
        Journal(s3.store().run("run")).open()
    run.write_live({"status": "ended", "writer": "w", "host": "h", "pid": 1})
    Journal(s3.store().run("run")).open()
    assert journal.epoch == 1


def test_a_heartbeat_of_a_minute_ago_by_the_stores_clock_is_none(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = begun(s3.store())
    run = s3.store().run("run")
    assert isinstance(run, S3Run)
    run.write_live({"status": "running", "writer": journal.writer, "host": "h", "pid": 1})
    old = {**(run.read_live() or {}), "age": 61.0}
    monkeypatch.setattr(S3Run, "read_live", lambda self: old)
    Journal(s3.store().run("run")).open()


def test_a_replaced_runner_no_longer_says_that_it_is_alive(s3: S3) -> None:
    first_run = s3.store().run("run")
    begun(s3.store()).close()
    first = Journal(first_run)
    first.open()
    second_run = s3.store().run("run")
    second = Journal(second_run)
    second.open()
    second_run.write_live({"status": "running", "writer": second.writer})
    with pytest.raises(RunReplaced):
        first.append(step(1))
    first_run.write_live({"status": "ended", "writer": first.writer})
    assert (second_run.read_live() or {})["writer"] == second.writer


def test_the_server_killed_in_the_middle_loses_nothing(server: Server, s3: S3) -> None:
    if not server.command:
        pytest.skip("the server at FSM_S3_ENDPOINT is not this test's to kill")
    journal = begun(s3.store(patience=30.0))
    ends = threading.Event()

    def write() -> None:
        for n in range(1, 100_000):
            journal.append(step(n))
            if ends.is_set():
                return

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(3):
        time.sleep(0.2)
        server.kill()
        server.start()
    ends.set()
    thread.join()
    acknowledged = journal.next - 1
    assert [r["seq"] for r in Journal(s3.store().run("run")).records()] == list(range(acknowledged + 1))


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 170])
def test_the_newest_record_is_found_without_listing_all(
    s3: S3, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr("fsm.store.s3.LISTED", 50)
    for n in range(count):
        s3.client.put_object(Bucket="bucket", Key=f"{s3.prefix}/runs/run/journal/{n:012}.json", Body=b"{}")
    run = s3.store(parallel=3).run("run")
    assert isinstance(run, S3Run)
    assert run._last() == count - 1


@pytest.mark.parametrize("last", [-1, 998, 999, 1_000, 5_000, 99_999, 1_234_567])
def test_the_end_of_a_long_journal_is_found_in_a_few_rounds(last: int) -> None:
    """On a listing that only pretends to be so long, for writing so many records takes minutes."""
    from tests.fsm.store.pretended import Pretended

    bucket = Pretended("runs/run/journal/", last + 1)
    run = open_store("s3://bucket", bucket=bucket).run("run")
    assert isinstance(run, S3Run)
    assert run._last() == last
    assert bucket.lists < 75


@pytest.mark.parametrize("said", [170, 130, 500, 0, None])
def test_what_live_json_says_of_the_end_is_a_hint_and_no_more(
    s3: S3, proxied: Proxied, monkeypatch: pytest.MonkeyPatch, said: int | None
) -> None:
    monkeypatch.setattr("fsm.store.s3.LISTED", 50)
    store = s3.store()
    journal = begun(store)
    for n in range(1, 171):
        journal.append(step(n))
    store.run("run").write_live({"status": "ended", "seq": said})
    proxy = proxied()
    again = Journal(s3.store(proxy.url, parallel=4).run("run"))
    again.open()
    assert again.next == 172
    hinted = proxy.counts["GET", "list"] <= 5  # the probe's, the name's, and at most three of the journal
    assert hinted == (said in (170, 130))


def test_opening_reads_back_to_the_newest_snapshot_only(s3: S3, proxied: Proxied) -> None:
    journal = begun(s3.store())
    state: dict[str, Any] = {"n": 100, "files": {}, "root": None, "ended": None}
    for n in range(1, 200):
        journal.append(step(n, **({"snapshot": state} if n == 100 else {})))
    proxy = proxied()
    again = Journal(s3.store(proxy.url, parallel=4).run("run"))
    fold = again.load()
    assert (again.next, fold.state["n"]) == (200, 199)
    assert proxy.counts["GET", "journal"] <= 105


def test_opening_goes_on_from_what_was_loaded(s3: S3, proxied: Proxied) -> None:
    journal = begun(s3.store())
    for n in range(1, 50):
        journal.append(step(n))
    proxy = proxied()
    again = Journal(s3.store(proxy.url).run("run"))
    again.load()
    read = proxy.counts["GET", "journal"]
    fold = again.open()
    assert (fold.state["n"], again.next) == (49, 51)
    assert proxy.counts["GET", "journal"] == read


def test_what_another_runner_adds_between_loading_and_opening_is_folded(store: Store) -> None:
    begun(store).close()
    late = Journal(store.run("run"))
    late.load()
    for n in (1, 2):
        other = Journal(store.run("run"))
        other.open(takeover=True)
        other.append(step(n))
        other.close()
    if store.url.startswith("s3://"):  # where nobody is known to be gone, the newer claim stays
        with pytest.raises(RunBusy, match="was taken at this moment"):
            late.open(takeover=True)
    else:
        assert late.open().state["n"] == 2
    again = Journal(store.run("run")).load()
    assert again.root is not None
    assert again.root["visits"] == {"A": 2}


def test_a_record_that_is_not_json_is_refused_where_it_is(s3: S3) -> None:
    begun(s3.store())
    before = s3.keys()
    s3.client.put_object(
        Bucket="bucket", Key=f"{s3.prefix}/runs/run/journal/000000000001.json", Body=b"not json"
    )
    with pytest.raises(JournalDamaged, match="not JSON"):
        Journal(s3.store().run("run")).open()
    assert s3.keys() == sorted([*before, "runs/run/journal/000000000001.json"])


def test_a_hash_that_does_not_fit_is_refused_and_the_run_left_as_it_was(s3: S3) -> None:
    journal = begun(s3.store())
    journal.append(step(1))
    record = journal.append(step(2))
    forged = encode({**record, "prev": "0" * 64})
    s3.client.put_object(Bucket="bucket", Key=f"{s3.prefix}/runs/run/journal/000000000002.json", Body=forged)
    before = s3.keys()
    with pytest.raises(JournalDamaged, match="record 2 does not follow from the record before it"):
        Journal(s3.store().run("run")).open()
    assert s3.keys() == before


def test_a_deleted_record_is_a_gap_and_is_said(s3: S3) -> None:
    journal = begun(s3.store())
    for n in range(1, 5):
        journal.append(step(n))
    s3.client.delete_object(Bucket="bucket", Key=f"{s3.prefix}/runs/run/journal/000000000002.json")
    with pytest.raises(JournalDamaged, match="record 2 is missing"):
        Journal(s3.store().run("run")).load()
    with pytest.raises(JournalDamaged, match="record 2 is missing"):
        list(s3.store().run("run").records())


def test_what_is_not_a_record_among_the_records_is_named(s3: S3) -> None:
    begun(s3.store())
    s3.client.put_object(Bucket="bucket", Key=f"{s3.prefix}/runs/run/journal/notes.txt", Body=b"")
    with pytest.raises(JournalDamaged, match=r"journal/notes\.txt"):
        Journal(s3.store().run("run")).load()


def test_removing_a_run_leaves_its_header_and_a_tombstone(s3: S3) -> None:
    store = s3.store()
    journal = begun(store)
    journal.append(step(1))
    store.run("run").put_artifact("a", b"content")
    begun(store, "other")
    assert store.remove("run") == 3
    assert s3.keys("runs/run") == ["runs/run/run.json", "runs/run~/000001.json"]
    assert store.runs() == ["other"]
    again = begun(s3.store())  # a new run of that name, on keys that the old writer never writes to
    journal.append(step(2))
    assert [r["seq"] for r in again.records()] == [0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": "http://127.0.0.1"}, "no option 'endpoint'; it has: endpoint_url, region"),
        ({"patience": "long"}, "patience: 'long' is not a float"),
        ({"parallel": 0}, "parallel: 0 is not a int"),
        ({"request_payer": "yes"}, "request_payer: 'yes' is not a bool"),
        ({"part_size": 1}, "5 MiB or more"),
    ],
)
def test_options_that_are_not_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_store("s3://bucket/prefix", **options)


def test_a_url_without_a_bucket_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no bucket"):
        open_store("s3:///prefix")
