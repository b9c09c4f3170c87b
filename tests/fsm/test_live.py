"""What a runner says of itself between two records, for those who look on from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from fsm import session
from fsm.engine import Nobody
from fsm.journal import Fold, Journal
from fsm.secrets import redactor
from fsm.store import Scratch
from fsm.store.local import LocalRun


class Elsewhere(LocalRun):
    """A run of which every look is a request."""

    wrote: dict[str, Any]

    @property
    def url(self) -> str:
        return "s3://bucket/runs/r"

    def write_live(self, live: dict[str, Any]) -> None:
        self.wrote = live


@pytest.fixture
def run(tmp_path: Any) -> Elsewhere:
    return Elsewhere(tmp_path / "r")


def said(run: LocalRun, records: list[dict[str, Any]], **how: Any) -> None:
    """Have these records told of, and live.json written."""
    live = session.Live(run, Journal(run), Fold(), Nobody(), Scratch(run.directory / "work", run), **how)
    for record in records:
        live.record(record)
    with live.beating():
        pass


def test_in_a_bucket_live_json_brings_the_newest_records_without_their_snapshots(run: Elsewhere) -> None:
    said(run, [{"seq": 7, "kind": "claim"}, {"seq": 8, "kind": "once", "snapshot": {"n": 1}}])
    assert run.wrote["tail"] == [{"seq": 7, "kind": "claim"}, {"seq": 8, "kind": "once"}]


def test_in_a_directory_it_does_not(tmp_path: Any) -> None:
    run = LocalRun(tmp_path / "r")
    run.directory.mkdir()
    said(run, [{"seq": 7, "kind": "claim"}])
    assert "tail" not in (run.read_live() or {"tail": 1})


def test_the_records_it_brings_are_bounded_and_the_newest(run: Elsewhere) -> None:
    said(run, [{"seq": n, "value": "x" * 1000} for n in range(2000)])
    numbers = [record["seq"] for record in run.wrote["tail"]]
    assert numbers == list(range(numbers[0], 2000))
    assert 100 < len(numbers) < session.TAIL_BYTES / 1000


def test_secrets_are_taken_out_of_them(run: Elsewhere) -> None:
    secret = 'hunter"2\\'
    said(run, [{"seq": 1, "value": f"the key is {secret}"}], redact=redactor([secret]))
    assert run.wrote["tail"] == [{"seq": 1, "value": "the key is **********"}]
