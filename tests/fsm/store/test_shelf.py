"""What a store keeps beside its runs: written once, by many, noticed when it is altered."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.errors import StoreError
from fsm.store import Store, claims, shelf
from fsm.store.local import LocalStore
from fsm.store.local_shelf import LocalShelf
from fsm.store.s3_shelf import S3Shelf
from tests.fsm.store.counted import Counted
from tests.servers.fixtures import S3


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    found: S3 = request.getfixturevalue("s3")
    return found.store()


def key(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def entry(name: object) -> bytes:
    return json.dumps({"said": str(name)}).encode()


def lines(of: LocalShelf) -> list[bytes]:
    return of.path.read_bytes().splitlines(keepends=True)


def never() -> bool:
    return False


def test_an_entry_is_there_for_every_run_of_the_store_and_the_first_one_stays(store: Store) -> None:
    here, there = store.shelf("teacher"), store.run("other").shelf("teacher")
    assert here.read([key(1)]) == {}
    assert here.put(key(1), entry("one")) == entry("one")
    assert there.read([key(1), key(2)]) == {key(1): entry("one")}
    assert there.put(key(1), entry("another")) == entry("one")
    assert store.shelf("teacher").read([key(1)]) == {key(1): entry("one")}
    assert store.shelf("else").read([key(1)]) == {}
    assert store.runs() == []


@given(st.binary().filter(lambda b: b"\n" not in b), st.integers(0), st.integers(1, 255))
def test_no_line_is_read_that_was_not_written(said: bytes, place: int, other: int) -> None:
    line = shelf.written(key("k"), said)
    assert shelf.read(line) == (key("k"), said)
    place %= len(line)
    altered = line[:place] + bytes([line[place] ^ other]) + line[place + 1 :]
    assert shelf.read(altered) is None
    assert shelf.read(line[:place]) is None


def test_what_cannot_stand_in_a_line_is_refused(tmp_path: Path) -> None:
    of = LocalShelf(tmp_path)
    for name, content in (("short", b"{}"), (key(1), b"{}\n{}")):
        with pytest.raises(StoreError, match="is no entry"):
            of.put(name, content)
    with pytest.raises(StoreError, match="cannot name a shelf"):
        LocalStore(tmp_path).shelf("runs")


def test_an_entry_is_synced_once_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def counting(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", counting)
    of = LocalShelf(tmp_path)
    of.put(key(1), entry(1))
    of.put(key(2), entry(2))
    of.put(key(1), entry(1))
    assert len(synced) == 2


def test_a_torn_last_line_is_cut_off_and_nothing_else_is_lost(tmp_path: Path) -> None:
    of = LocalShelf(tmp_path)
    of.put(key(1), entry(1))
    with of.path.open("ab") as f:
        f.write(shelf.written(key(2), entry(2))[:-9])
    again = LocalShelf(tmp_path)
    assert again.read([key(1), key(2)]) == {key(1): entry(1)}
    again.put(key(3), entry(3))
    assert LocalShelf(tmp_path).read([key(1), key(2), key(3)]) == {key(1): entry(1), key(3): entry(3)}
    assert len(lines(again)) == 2
    assert again.damaged == 0


def test_an_altered_entry_is_noticed_and_may_be_put_anew(tmp_path: Path) -> None:
    of = LocalShelf(tmp_path)
    for n in range(3):
        of.put(key(n), entry("a word"))
    of.path.write_bytes(lines(of)[0] + lines(of)[1].replace(b"a word", b"a ward") + lines(of)[2])
    for reader in (of, LocalShelf(tmp_path)):  # one that had read it before, and one that had not
        assert reader.read(map(key, range(3))) == {key(0): entry("a word"), key(2): entry("a word")}
        assert reader.damaged == 1
    assert of.put(key(1), entry("a word")) == entry("a word")
    assert len(LocalShelf(tmp_path).read(map(key, range(3)))) == 3


def test_another_file_in_its_place_is_read_from_its_beginning(tmp_path: Path) -> None:
    of, other = LocalShelf(tmp_path / "a"), LocalShelf(tmp_path / "b")
    of.put(key(1), entry(1))
    for n in (2, 3):
        other.put(key(n), entry(n))
    other.path.replace(of.path)
    assert of.read(map(key, range(4))) == {key(2): entry(2), key(3): entry(3)}


WRITER = """
import sys
from pathlib import Path
from tests.fsm.store.test_shelf import LocalShelf, entry, key
of = LocalShelf(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for n in range(150):
    of.put(key(n), entry(f"{sys.argv[2]} {n}"))
"""


def test_several_processes_write_one_file_and_every_entry_is_whole_and_one(tmp_path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)], **pipes)  # type: ignore[call-overload]
        for n in range(3)
    ]
    for process in running:
        process.stdout.readline()  # all of them have been imported
    for process in running:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    assert [process.wait(60) for process in running] == [0, 0, 0]
    of = LocalShelf(tmp_path)
    assert len(of.read(map(key, range(150)))) == 150
    assert len(lines(of)) == 150
    assert of.damaged == 0


def test_an_append_waits_for_the_one_before_it_and_a_reader_for_nobody(tmp_path: Path) -> None:
    of = LocalShelf(tmp_path)
    of.put(key(1), entry(1))
    with of.path.open("ab") as another:
        fcntl.flock(another, fcntl.LOCK_EX)
        thread = threading.Thread(target=of.put, args=(key(2), entry(2)))
        thread.start()
        thread.join(0.2)
        assert LocalShelf(tmp_path).read([key(1), key(2)]) == {key(1): entry(1)}
    thread.join(5)
    assert set(of.read([key(1), key(2)])) == {key(1), key(2)}


def test_a_writer_that_is_killed_in_the_middle_leaves_what_it_was_told_is_there(tmp_path: Path) -> None:
    told = WRITER.replace("range(150)", "range(10**6)") + "    print(n, flush=True)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", told, str(tmp_path), "w"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()
    process.stdout.readline()
    acknowledged = [int(process.stdout.readline()) for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    of = LocalShelf(tmp_path)
    of.put(key("after"), entry("after"))
    assert set(of.read(map(key, acknowledged))) == set(map(key, acknowledged))
    assert of.damaged == 0


def test_who_holds_a_key_lets_the_next_one_in_when_it_has_its_answer(tmp_path: Path) -> None:
    first, second = LocalShelf(tmp_path), LocalShelf(tmp_path)
    inside, found = threading.Event(), []

    def ask() -> None:
        inside.wait(5)
        with second.held(key(1), never) as look_again:
            assert look_again
            found.append(second.read([key(1)]))

    thread = threading.Thread(target=ask)
    thread.start()
    with first.held(key(1), never), first.held(key(2), never):
        inside.set()
        thread.join(0.3)
        assert found == []  # it waits
        first.put(key(1), entry(1))
    thread.join(5)
    assert found == [{key(1): entry(1)}]
    assert (tmp_path / "held.lock").stat().st_size == 0


def test_a_process_that_dies_lets_go_and_a_stop_ends_the_wait(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.fsm.store.test_shelf import LocalShelf, key, never\n"
        "with LocalShelf(Path(sys.argv[1])).held(key(1), never): print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    stops = iter([False, False, True, True])
    with LocalShelf(tmp_path).held(key(1), lambda: next(stops)):
        assert next(stops, None) is True  # left for the stop
    process.kill()
    process.wait()
    with LocalShelf(tmp_path).held(key(1), never):
        pass


def test_a_bucket_is_listed_once_and_only_what_is_there_is_fetched() -> None:
    there = {f"p/teacher/{key(n)}": shelf.written(key(n), entry(n)) for n in range(1500)}
    bucket = Counted(there | {"p/runs/r/run.json": b"{}"})
    of = bucket.shelf()
    assert of.read([key(-1), key(-2), key(-3)]) == {}
    assert bucket.asked == ["list", "list"]
    assert of.read([key(3), key(-1), key(1400)]) == {key(3): entry(3), key(1400): entry(1400)}
    assert bucket.asked == ["list", "list", "get", "get"]
    of.put(key(-1), entry(-1))
    assert of.read([key(-1)]) == {key(-1): entry(-1)}
    assert bucket.asked == ["list", "list", "get", "get", "put", "get"]


def test_a_shelf_too_long_to_be_listed_is_asked_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsm.store.s3_shelf.MOST_PAGES", 1)
    bucket = Counted({f"p/teacher/{key(n)}": shelf.written(key(n), entry(n)) for n in range(1001)})
    of = bucket.shelf()
    assert set(of.read([key(0), key(1000), key(-1)])) == {key(0), key(1000)}
    assert sorted(bucket.asked) == ["get", "get", "get", "list"]


def test_of_two_runs_that_put_at_once_in_a_bucket_both_use_the_first_entry() -> None:
    bucket = Counted({})
    one, other = bucket.shelf(), bucket.shelf()
    assert one.read([key(1)]) == other.read([key(1)]) == {}
    assert one.put(key(1), entry("one")) == entry("one")
    assert other.put(key(1), entry("other")) == entry("one")


def test_an_altered_object_is_noticed_and_replaced() -> None:
    swapped = shelf.written(key(2), entry(2))  # whole, and another key's
    bucket = Counted({f"p/teacher/{key(1)}": swapped})
    of = bucket.shelf()
    assert of.read([key(1)]) == {}
    assert of.damaged == 1
    assert of.put(key(1), entry(1)) == entry(1)
    assert bucket.shelf().read([key(1)]) == {key(1): entry(1)}


# In bulk


def packed(bucket: Counted) -> S3Shelf:
    """A shelf whose entries another process has put one by one, and packed."""
    writer = bucket.shelf()
    for n in range(200):
        writer.put(key(n), entry(n))
    writer.pack()
    bucket.asked.clear()
    return bucket.shelf()


def test_what_was_put_one_by_one_is_read_in_bulk_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsm.store.s3_shelf.SEGMENT", 8000)
    bucket = Counted({})
    of = packed(bucket)
    assert of.read(map(key, range(200))) == {key(n): entry(n) for n in range(200)}
    assert bucket.asked.count("list") == 1
    assert 1 < bucket.asked.count("get") < 10  # a few segments, and not an entry by itself
    assert of.has(map(key, (0, 199, 200))) == {key(0), key(199)}


def test_what_is_packed_twice_is_one_segment_and_a_few_entries_are_none() -> None:
    bucket = Counted({})
    packed(bucket)
    before = sorted(bucket.objects)
    again = Counted(bucket.objects).shelf()
    again.read(map(key, range(200)))
    again.put(key("one more"), entry(1))
    again.pack()
    assert sorted(set(bucket.objects) - set(before)) == [f"p/teacher/{key('one more')}"]


def test_a_segment_that_is_altered_costs_requests_and_no_entry() -> None:
    bucket = Counted({})
    packed(bucket)
    (name,) = (name for name in bucket.objects if "/segments/" in name)
    bucket.objects[name] = bucket.objects[name].replace(entry(7), entry(8), 1)[:-100]
    of = bucket.shelf()
    assert of.read(map(key, range(200))) == {key(n): entry(n) for n in range(200)}
    assert of.damaged == 2  # one that is altered, and one that is cut


def test_all_entries_are_told_once_each(store: Store) -> None:
    writer = store.shelf("teacher")
    for n in range(60):
        writer.put(key(n), entry(n))
    writer.pack()
    writer.put(key("loose"), entry("loose"))
    found = list(store.shelf("teacher").entries())
    assert len(found) == 61
    assert dict(found) == {key(n): entry(n) for n in (*range(60), "loose")}


# In a bucket, who asks


def test_of_two_runs_in_a_bucket_one_asks_and_the_other_waits_for_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fsm.store.s3_shelf.LOOK_AGAIN", 0.01)
    bucket = Counted({})
    first, second = bucket.shelf("one"), bucket.shelf("other")
    found = []

    def ask() -> None:
        with second.held(key(1), never) as look_again:
            found.append((look_again, second.read([key(1)])))

    with first.held(key(1), never) as look_again:
        assert not look_again
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(0.2)
        assert found == []
        first.put(key(1), entry(1))
    thread.join(5)
    assert found == [(True, {key(1): entry(1)})]


def test_who_got_no_answer_lets_the_next_one_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsm.store.s3_shelf.LOOK_AGAIN", 0.01)
    bucket = Counted({})
    with bucket.shelf("one").held(key(1), never):
        pass
    other = bucket.shelf("other")
    with other.held(key(1), never):
        assert other.read([key(1)]) == {}


def test_what_a_killed_process_held_its_own_run_has_at_once_and_another_when_its_lease_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fsm.store.s3_shelf.LOOK_AGAIN", 0.01)
    bucket = Counted({})
    bucket.shelf("run").claim([key(1), key(2)])
    with bucket.shelf("run").held(key(1), never):
        pass
    looks = iter([False] * 5 + [True] * 9)
    with bucket.shelf("other").held(key(2), lambda: next(looks)):
        assert next(looks)  # left for the stop
    bucket.now += claims.LEASE + 1
    with bucket.shelf("other").held(key(2), never):
        assert bucket.shelf("run").claim([key(2)]) == set()


# Many keys at once


def test_many_keys_are_claimed_at_the_cost_of_one_and_an_answer_costs_one_put() -> None:
    bucket = Counted({})
    of = bucket.shelf("run")
    names = [key(n) for n in range(64)]
    assert of.read(names) == {}
    assert of.claim(names) == set(names)
    for name in names:
        with of.held(name, never) as look_again:
            assert not look_again
            of.put(name, entry(name))
    assert bucket.asked.count("put") == 64 + 1
    assert bucket.asked.count("get") == 1  # where the log of claims ends


def test_what_another_has_claimed_is_not_ours_and_what_it_has_put_since_is_learned(store: Store) -> None:
    first, second = (store.run(name).shelf("teacher") for name in ("one", "other"))
    assert second.read(map(key, range(4))) == {}
    assert first.claim(map(key, range(3))) == {key(0), key(1), key(2)}
    with first.held(key(0), never):
        first.put(key(0), entry(0))
    assert second.claim(map(key, range(4))) - {key(0)} == {key(3)}
    assert second.read(map(key, range(4))) == {key(0): entry(0)}
    first.let_go([key(1)])
    assert second.claim(map(key, (1, 2))) == {key(1)}


def test_who_failed_lets_the_next_one_ask_though_others_of_its_claim_are_under_way(store: Store) -> None:
    first, second = (store.run(name).shelf("teacher") for name in ("one", "other"))
    first.claim([key(1), key(2)])
    with first.held(key(1), never):
        pass
    assert second.claim([key(1), key(2)]) == {key(1)}


def test_of_one_process_two_threads_do_not_ask_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsm.store.s3_shelf.LOOK_AGAIN", 0.01)
    of = store.run("one").shelf("teacher")
    of.claim([key(1), key(2)])
    found: list[object] = []

    def ask() -> None:
        with of.held(key(1), never) as look_again:
            found.append(look_again and of.read([key(1)]))

    thread = threading.Thread(target=ask)
    with of.held(key(1), never):
        thread.start()
        thread.join(0.2)
        assert found == []
        of.put(key(1), entry(1))
    thread.join(5)
    assert found == [{key(1): entry(1)}]


def test_of_two_that_claim_at_the_same_moment_both_know_who_was_first() -> None:
    bucket = Counted({})
    one, other = bucket.shelf("one"), bucket.shelf("other")
    had: list[set[str]] = []
    bucket.before_put = lambda: had.append(other.claim([key(2), key(3)]))
    assert one.claim([key(1), key(2)]) == {key(1)}
    assert had == [{key(2), key(3)}]
    assert other.claim([key(1)]) == set()


def test_who_goes_on_for_long_claims_again_in_time_and_a_sleeper_loses_what_was_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket, now = Counted({}), 0.0

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds
        bucket.now += seconds

    monkeypatch.setattr("time.monotonic", lambda: now)
    one, other = bucket.shelf("one"), bucket.shelf("other")
    names = {key(1), key(2)}
    assert one.claim(names) == names
    before = len(bucket.objects)
    assert one.claim(names) == names
    assert len(bucket.objects) == before  # there is time yet
    for _ in range(4):
        passes(0.6 * claims.LEASE)
        assert one.claim(names) == names
        assert other.claim(names) == set()
    assert len(bucket.objects) == before + 4
    passes(1.1 * claims.LEASE)
    assert other.claim([key(1)]) == {key(1)}
    assert one.claim(names) == {key(2)}


def test_only_what_can_matter_yet_is_read_of_a_long_log() -> None:
    bucket = Counted({})
    old = bucket.shelf("old")
    for n in range(60):
        old.claim([key(n)])
    bucket.now += claims.LEASE + 100
    bucket.shelf("one").claim([key("one")])
    bucket.asked.clear()
    assert bucket.shelf("other").claim([key("one"), key(3)]) == {key(3)}
    assert bucket.asked.count("get") < 10


WHO = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), WHO, st.sets(st.integers(0, 4), min_size=1)),
        st.tuples(st.just("let go"), WHO, st.sets(st.integers(0, 4))),
        st.tuples(st.just("ask"), WHO, st.sets(st.integers(0, 4), min_size=1)),
        st.tuples(st.just("die"), WHO, st.just(set())),
    ),
    max_size=25,
)


@given(STEPS)
def test_whatever_runs_claim_put_and_let_go_nothing_is_asked_twice(
    steps: list[tuple[str, int, set[int]]],
) -> None:
    """Three runs over one bucket, their processes dying now and then: no key is held by two, none is put twice."""
    bucket = Counted({})
    runs = [bucket.shelf(f"run {n}") for n in range(3)]
    held: list[set[str]] = [set(), set(), set()]
    for what, who, numbers in steps:
        names = {key(n) for n in numbers}
        of = runs[who]
        if what == "claim":
            missing = names - of.read(names).keys()
            held[who] |= of.claim(missing) - of.read(missing).keys()
        elif what == "let go":
            of.let_go(names)
            held[who] -= names
        elif what == "die":
            runs[who] = bucket.shelf(f"run {who}")
        for name in sorted(names & held[who]) if what == "ask" and of is runs[who] else ():
            if name in of.claim([name]) and not of.read([name]):
                with of.held(name, never):
                    assert of.put(name, entry(who)) == entry(who)
            held[who].discard(name)
        assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]
