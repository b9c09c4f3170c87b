"""Several runners on one run: the bucket decides, nothing acknowledged is lost, and every loser knows to whom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fsm.errors import StoreError
from tests.crash.race import race
from tests.servers.fixtures import S3
from tests.servers.proxy import Proxy, stormy
from tests.servers.s3 import client, s3rver

SECONDS = (
    8.0,
    30.0,
    120.0,
)  # a minute each in benchmarks/s3_race.py; longer only where the machine does much else


@pytest.mark.parametrize("runners", [2, 6])
def test_runners_racing_through_faults_lose_no_record(
    s3: S3, proxied: Callable[..., Proxy], tmp_path: Path, runners: int
) -> None:
    for n, seconds in enumerate(SECONDS):
        proxies = [proxied(stormy(n, 0.15), delay=0.02) for n in range(runners)]
        options = {**s3.options, "patience": 10.0}
        found = race(tmp_path / f"race{n}", f"{s3.url}/{n}", options, [p.url for p in proxies], seconds)
        assert found.whole, (found.audit.findings[:5], found.lost[:5], found.unnamed[:5], found.failures[:2])
        if found.acknowledged > 20 and found.audit.epochs >= 3:
            break
    assert found.acknowledged > 20
    assert found.audit.epochs >= 3
    assert found.losers
    assert all(sum(p.faults.values()) > 0 for p in proxies)


def test_the_same_race_where_conditions_are_ignored_is_found_out(
    tmp_path: Path, aws_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit has teeth: on a store that lets records be overwritten it finds that they were."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "S3RVER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S3RVER")
    server = s3rver(tmp_path / "s3rver")
    server.start()
    try:
        client(server.url, aws_access_key_id="S3RVER", aws_secret_access_key="S3RVER").head_bucket(
            Bucket="bucket"
        )
        options = {"cache": str(tmp_path / "cache"), "patience": 10.0}
        with pytest.raises(StoreError, match="ignores conditions"):
            race(tmp_path / "refused", "s3://bucket/race", options, [server.url] * 3, 1.0)
        monkeypatch.setattr("fsm.store.s3.probe", lambda *_: None)
        found = race(tmp_path / "race", "s3://bucket/race", options, [server.url] * 3, 4.0)
    finally:
        server.kill()
    assert not found.audit.whole
    assert {"chain", "epoch"} & {f.kind for f in found.audit.findings}
    assert found.lost
