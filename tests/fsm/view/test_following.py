"""Following a run from outside: each record once, how it stands, and what happens to it meanwhile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fsm.engine import Nobody
from fsm.journal import Journal
from fsm.store import open_store
from fsm.store.local import LocalRun
from fsm.testing import Clock
from fsm.view.following import Following, State
from tests.servers.fixtures import S3, aws_environment, s3, server

__all__ = ["aws_environment", "s3", "server"]


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def following(bakery: Any, clock: Clock) -> Following:
    return Following(open_store(bakery.store), "bread", past=True, clock=clock)


def numbers(records: list[dict[str, Any]]) -> list[int]:
    return [record["seq"] for record in records]


def journal(bakery: Any) -> Path:
    return Path(bakery.directory) / "runs" / "bread" / "journal.jsonl"


def test_a_run_that_is_followed_while_it_goes_is_told_once_and_stands_where_its_runner_does(
    bakery: Any, quiet: Any, following: Following, clock: Clock
) -> None:
    heard: list[dict[str, Any]] = []
    states = [following.poll() or following.state]
    places = set()

    class Looks(Nobody):
        def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
            clock.now += 1
            heard.extend(following.poll())
            states.append(following.state)
            places.add(following.projection.place)

    assert bakery.run(observer=Looks(), logger=quiet).outcome == "done"
    heard += following.poll()
    states.append(following.state)
    assert numbers(heard) == list(range(following.projection.records))
    assert list(dict.fromkeys(states)) == [State.ABSENT, State.RUNNING, State.DONE]
    assert "Bake > Preheat" in places
    assert heard == list(Journal(LocalRun(journal(bakery).parent)).records())
    assert following.timeline is not None
    assert following.timeline.last == following.projection.records - 1
    assert following.reading.status == "done"
    assert (following.turn, following.poll()) == (1, [])


def test_a_run_in_a_bucket_is_followed_likewise(bakery: Any, quiet: Any, s3: S3, clock: Clock) -> None:
    bakery.store = f"{s3.url}?endpoint_url={s3.server.url}&path_style=true"
    following = Following(open_store(bakery.store), "bread", past=True, clock=clock)
    heard: list[dict[str, Any]] = []
    states = [following.poll() or following.state]

    class Looks(Nobody):
        def entered(self, at: list[str], machine: str, state: str, visit: int) -> None:
            clock.now += 10
            heard.extend(following.poll())
            states.append(following.state)

    assert bakery.run(observer=Looks(), logger=quiet).outcome == "done"
    while following.state != State.DONE:
        clock.now += 10
        heard += following.poll()
    assert numbers(heard) == list(range(following.projection.records))
    assert list(dict.fromkeys(states)) == [State.ABSENT, State.RUNNING]
    open_store(bakery.store).retire("bread")
    bakery.run(logger=quiet, preheats=1)
    while following.turn == 1:
        clock.now += 10
        following.poll()
    assert following.state == State.DONE  # read to its end at once
    assert following.timeline is not None
    assert following.timeline.last == len(list(Journal(open_store(bakery.store).run("bread")).records())) - 1


def test_a_run_that_is_not_there_is_waited_for_and_one_without_records_begins(
    bakery: Any, following: Following
) -> None:
    assert following.poll() == []
    assert following.state == State.ABSENT
    assert "There is no run bread" in following.why
    run = LocalRun(journal(bakery).parent)
    run.write_header(b'{"format": 1, "machine": "bakery"}')
    assert following.poll() == []
    assert (following.state, following.why, following.header["machine"]) == (State.BEGINNING, "", "bakery")


def test_a_stopped_run_says_why_and_is_gone_on_with(
    bakery: Any, quiet: Any, following: Following, clock: Clock
) -> None:
    assert bakery.run(logger=quiet, mishap="NoGas").outcome == "stopped"
    first = following.poll()
    assert following.state == State.STOPPED
    assert following.why == "the recovery ended at Mishaps.CallThePlumber"
    bakery.run(logger=quiet, mishap="NoGas")
    clock.now += 1
    again = following.poll()
    assert numbers(first + again) == list(range(following.projection.records))
    assert len(again) > 0


def test_a_run_begun_anew_is_told_from_its_beginning(
    bakery: Any, quiet: Any, following: Following, clock: Clock
) -> None:
    bakery.run(logger=quiet)
    old = following.poll()
    was = following.projection
    open_store(bakery.store).retire("bread")
    clock.now += 1
    assert following.poll() == []
    assert (following.state, following.turn) == (State.ABSENT, 1)
    assert following.projection is was  # what was seen stays
    bakery.run(logger=quiet, preheats=1)
    clock.now += 1
    new = following.poll()
    assert following.turn == 2
    assert numbers(new) == list(range(following.projection.records))
    assert len(new) != len(old)
    assert following.projection is not was


def test_a_run_begun_anew_between_two_looks_is_not_taken_for_the_former_one(
    bakery: Any, quiet: Any, following: Following, clock: Clock
) -> None:
    bakery.run(logger=quiet, preheats=1)
    following.poll()
    open_store(bakery.store).retire("bread")
    bakery.run(logger=quiet, preheats=4)
    clock.now += 1
    assert numbers(following.poll()) == list(range(following.projection.records))
    assert following.turn == 2


def test_a_torn_tail_is_waited_for(bakery: Any, quiet: Any, following: Following, clock: Clock) -> None:
    bakery.run(logger=quiet)
    path = journal(bakery)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:30])
    assert numbers(following.poll()) == [0, 1, 2, 3]
    assert following.missing == len(lines) - 4  # live.json knows of them
    clock.now += 1
    assert following.poll() == []
    with path.open("ab") as f:
        f.write(whole[path.stat().st_size :])
    clock.now += 1
    assert numbers(following.poll()) == list(range(4, len(lines)))
    assert (following.state, following.missing) == (State.DONE, 0)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda line: b"{" + line, "record 3"),
        (lambda line: line.replace(b'"prev":"', b'"prev":"0', 1).replace(b'",', b'",', 1), "record 3"),
        (lambda line: line.replace(b'"took"', b'"toook"'), "record 3"),
        (lambda line: line.replace(b'"label":', b'"label": ', 1), "does not follow"),
    ],
    ids=["no JSON", "no digest", "no record", "changed"],
)
def test_a_damaged_record_is_told_and_what_is_before_it_stays(
    bakery: Any, quiet: Any, following: Following, clock: Clock, spoil: Any, said: str
) -> None:
    bakery.run(logger=quiet)
    path = journal(bakery)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    lines[3] = spoil(lines[3])
    path.write_bytes(b"".join(lines))
    got = following.poll()
    got += following.poll()
    assert following.state == State.UNREADABLE
    assert said in following.why
    assert numbers(got) == list(range(4 if said == "does not follow" else 3))
    path.write_bytes(whole)
    clock.now += 5
    if said != "does not follow":
        assert numbers(following.poll())[0] == 3
        assert (following.state, following.why) == (State.DONE, "")


def test_a_record_that_cannot_be_is_told_too(bakery: Any, quiet: Any, following: Following) -> None:
    """One that fits the schema and names a recovery without its machine."""
    bakery.run(logger=quiet, mishap="Burnt")
    path = journal(bakery)
    lines = path.read_bytes().splitlines()
    number, error = next((i, r) for i, line in enumerate(lines) if (r := json.loads(line))["kind"] == "error")
    del error["by"]
    lines[number] = json.dumps(error).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert len(following.poll()) == number
    assert following.state == State.UNREADABLE
    assert "cannot follow from the records before it" in following.why


def test_a_newer_format_is_told(bakery: Any, following: Following) -> None:
    LocalRun(journal(bakery).parent).write_header(b'{"format": 99, "machine": "bakery"}')
    assert following.poll() == []
    assert following.state == State.NEWER
    assert "format 99" in following.why


def test_a_journal_that_can_no_longer_be_read_is_told_and_what_was_read_stays(
    bakery: Any, quiet: Any, following: Following, clock: Clock
) -> None:
    bakery.run(logger=quiet)
    following.poll()
    records = following.projection.records
    path = journal(bakery)
    path.rename(path.with_name("aside"))
    path.mkdir()
    clock.now += 1
    assert following.poll() == []
    assert following.state == State.UNREADABLE
    assert "cannot be read" in following.why
    assert following.projection.records == records
    path.rmdir()
    path.with_name("aside").rename(path)
    assert following.poll() == []
    assert following.state == State.UNREADABLE  # not looked at so soon again
    clock.now += 5
    following.poll()
    assert (following.state, following.why) == (State.DONE, "")


def test_a_run_that_was_moved_away_and_back_goes_on(
    bakery: Any, quiet: Any, following: Following, clock: Clock
) -> None:
    bakery.run(logger=quiet)
    records = len(following.poll())
    directory = journal(bakery).parent
    shutil.move(directory, directory.with_name("aside"))
    clock.now += 1
    following.poll()
    assert following.state == State.ABSENT
    assert "no longer a run" in following.why
    shutil.move(directory.with_name("aside"), directory)
    clock.now += 1
    assert following.poll() == []
    assert (following.state, following.projection.records) == (State.DONE, records)


def test_the_run_that_a_run_watches_is_followed_with_it(
    bakery: Any, quiet: Any, following: Following, clock: Clock
) -> None:
    bakery.run("job", logger=quiet)
    bakery.run(logger=quiet, mishap="NoGas")
    run = LocalRun(journal(bakery).parent)
    run.write_live({**(run.read_live() or {}), "watching": "job"})
    following.poll()
    assert following.watching is not None
    assert following.watching.state == State.DONE
    assert following.watching.projection.records > 5
    assert following.reading.watching is not None
    run.write_live({**(run.read_live() or {}), "watching": "not/a name"})
    clock.now += 1
    following.poll()
    assert following.state == State.STOPPED


def test_a_drawing_that_was_changed_since_is_named(bakery: Any, quiet: Any, following: Following) -> None:
    bakery.run(logger=quiet)
    path = journal(bakery).parent / "run.json"
    header = json.loads(path.read_bytes())
    following.poll()
    assert not following.changed
    header["diagrams"]["oven"] = "0" * 64
    path.unlink()
    path.write_text(json.dumps(header))
    following.poll()
    assert following.changed == ("oven",)
    assert following.projection.states("oven")["Preheat"].visits


def test_a_copy_under_another_name_is_told_and_shown(bakery: Any, quiet: Any, clock: Clock) -> None:
    bakery.run("job", logger=quiet)
    runs = Path(bakery.directory) / "runs"
    shutil.copytree(runs / "job", runs / "bread")
    copied = Following(open_store(bakery.store), "bread", clock=clock)
    copied.poll()
    assert copied.state == State.DONE
    assert copied.foreign is not None
    assert "is run job under another name" in copied.foreign
    own = Following(open_store(bakery.store), "job", clock=clock)
    own.poll()
    assert own.foreign is None
