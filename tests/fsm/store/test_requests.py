"""What others ask of a run, beside its journal: of several requests of one name the first stands, wherever the run is kept."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fsm.errors import Retired, StoreError
from fsm.store import RETIRED, RunStore, Store
from fsm.store.local import LocalStore
from tests.servers.fixtures import S3

Opened = Callable[[], RunStore]


@pytest.fixture(params=["local", "s3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens the run, as another process would."""

    def store() -> Store:
        if request.param == "local":
            return LocalStore(tmp_path)
        s3: S3 = request.getfixturevalue("s3")
        return s3.store()

    store().run("r").write_header(b"{}")
    return lambda: store().run("r")


def test_there_is_none_until_one_is_put(opened: Opened) -> None:
    assert opened().read_request("cancel") is None
    assert not opened().has_request("cancel")
    assert opened().put_request("cancel", b"{}") == b"{}"
    assert opened().read_request("cancel") == b"{}"
    assert opened().has_request("cancel")


def test_of_several_at_once_one_stands_and_all_are_told_which(opened: Opened) -> None:
    runs = [opened() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        stood = list(pool.map(lambda n: runs[n].put_request("answer", b"%d" % n), range(6)))
    assert set(stood) == {opened().read_request("answer")}


def test_nothing_half_written_is_left(opened: Opened) -> None:
    run = opened()
    run.put_request("answer", b"1")
    run.put_request("answer", b"2")
    if "://" not in run.url:
        assert [path.name for path in (Path(run.url) / "requests").iterdir()] == ["answer.json"]


def test_artifacts_are_freed_but_those_that_are_shared(opened: Opened) -> None:
    run = opened()
    mine, shared = run.put_artifact("a", b"mine"), run.put_artifact("b", b"shared")
    assert run.free_artifacts({shared.sha256}) == (1, 4)
    assert opened().artifact_size(mine.sha256) is None
    assert opened().artifact(shared.sha256).read_bytes() == b"shared"


def test_an_artifact_is_missing_unless_the_run_was_retired(opened: Opened) -> None:
    run = opened()
    sha256 = run.put_artifact("a", b"mine").sha256
    run.free_artifacts(())
    with pytest.raises(StoreError) as missing:
        list(opened().artifact_bytes(sha256))
    assert not isinstance(missing.value, Retired)
    run.put_request(RETIRED, b"{}")
    with pytest.raises(Retired, match="`fsm retire`"):
        list(opened().artifact_bytes(sha256))
