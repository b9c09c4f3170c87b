"""The audit finds what is wrong, where, and since when; and nothing where nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm.journal import Audit, Fold, Journal, audit, decode, digest, encode, report
from fsm.store.local import LocalRun, LocalStore
from tests.fsm.store.test_s3_journal import begun, step
from tests.servers.fixtures import S3


@pytest.fixture
def run(tmp_path: Path) -> LocalRun:
    """Three epochs, an artifact put at record 3 and read at 6, a snapshot at 5."""
    store = LocalStore(tmp_path)
    journal = begun(store)
    fold = Fold()

    def append(n: int, **more: Any) -> None:
        body = step(n, **more)
        fold.apply(body)
        journal.append(body | ({"snapshot": fold.snapshot()} if n == 4 else {}))

    put = store.run("run").put_artifact("data", b"content")
    append(1)
    append(2)
    append(3, files={"data": {"sha256": put.sha256, "size": put.size}})
    journal.close()
    journal = Journal(store.run("run"))
    journal.open()
    append(4)
    append(5, reads={"data": put.sha256})
    journal.close()
    return store.run("run")


def lines(run: LocalRun) -> list[bytes]:
    return run.journal.read_bytes().splitlines()


def rechained(changed: list[dict[str, Any]]) -> list[bytes]:
    """The records as lines, each naming the one before it: as somebody would who knows how."""
    made: list[bytes] = []
    for record in changed:
        made.append(encode(record | ({"prev": digest(made[-1])} if made else {})))
    return made


def rewrite(run: LocalRun, change: Callable[[list[dict[str, Any]]], Any], *, chain: bool = True) -> None:
    records = [decode(line, "") for line in lines(run)]
    change(records)
    made = rechained(records) if chain else [encode(r) for r in records]
    run.journal.write_bytes(b"".join(line + b"\n" for line in made))


def said(found: Audit) -> list[tuple[str, int | None]]:
    return [(f.kind, f.seq) for f in found.findings]


def test_a_whole_run_is_whole(run: LocalRun, capsys: pytest.CaptureFixture[str]) -> None:
    found = audit(run)
    assert found.whole
    assert (found.records, found.epochs, found.artifacts, found.bytes) == (7, 2, 1, 7)
    assert report(found) == 0
    assert "is whole: 7 records, 2 epochs, 1 artifacts (7 bytes)" in capsys.readouterr().out


def test_a_run_in_a_bucket_is_audited_alike(s3: S3) -> None:
    journal = begun(s3.store())
    run = s3.store().run("run")
    put = run.put_artifact("data", b"content")
    journal.append(step(1, files={"data": {"sha256": put.sha256, "size": put.size}}))
    journal.append(step(2))
    assert audit(run).whole
    s3.client.delete_object(Bucket="bucket", Key=f"{s3.prefix}/runs/run/artifacts/{put.sha256}")
    s3.client.delete_object(Bucket="bucket", Key=f"{s3.prefix}/runs/run/journal/000000000001.json")
    assert said(audit(run)) == [("gap", 1)]
    s3.client.delete_object(Bucket="bucket", Key=f"{s3.prefix}/runs/run/run.json")
    assert ("header", None) in said(audit(run))


@pytest.mark.parametrize(
    ("change", "kind", "seq"),
    [
        (lambda r: r[2].update(prev="0" * 64), "chain", 2),
        (lambda r: r[2].update(label="forged"), "chain", 3),
    ],
)
def test_a_record_changed_afterwards_breaks_the_chain(
    run: LocalRun, change: Callable[[list[dict[str, Any]]], Any], kind: str, seq: int
) -> None:
    rewrite(run, change, chain=False)
    found = audit(run)
    assert (kind, seq) in said(found)
    assert all(f.since for f in found.findings)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda r: r[4].update(epoch=1), [("epoch", 4), ("epoch", 5), ("epoch", 6)]),
        (lambda r: r[2].update(writer="another"), [("epoch", 2)]),
        (lambda r: r[5]["snapshot"]["root"]["visits"].update(A=9), [("state", 5)]),
        (lambda r: r[6].update(reads={"data": "f" * 64}), [("artifact", 6)]),
        (lambda r: r[3].pop("files"), [("state", 5), ("artifact", 6)]),
    ],
)
def test_a_journal_forged_with_a_whole_chain_is_found_out(
    run: LocalRun, change: Callable[[list[dict[str, Any]]], Any], expected: list[tuple[str, int]]
) -> None:
    rewrite(run, change)
    found = said(audit(run))
    assert set(expected) <= set(found)
    assert not {"chain", "gap", "record"} & {kind for kind, _ in found}


def test_a_line_that_is_no_record_is_found_and_the_rest_still_read(run: LocalRun) -> None:
    made = lines(run)
    made[1] = b"not json"
    run.journal.write_bytes(b"".join(line + b"\n" for line in made))
    found = said(audit(run))
    assert found[:2] == [("record", 1), ("chain", 2)]
    assert audit(run).artifacts == 1


def test_what_the_run_before_gave_needs_no_record_and_anything_else_does(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    begun(store, "before").close()
    before = store.run("before").put_artifact("data", b"content")
    given = {"data": {"sha256": before.sha256, "size": before.size}}
    run = store.run("after")
    run.write_header(json.dumps({"format": 1, "given": given}).encode())
    journal = Journal(run)
    fold = Fold()
    journal.open()
    for n, sha256 in ((1, before.sha256), (2, "0" * 64)):
        body = step(n, reads={"data": sha256})
        fold.apply(body)
        journal.append(body)
    journal.close()
    (finding,) = audit(run).findings
    assert finding.message == "data was read as 000000000000, which no record before it put"


@pytest.mark.parametrize("how", ["gone", "damaged", "shortened"])
def test_an_artifact_that_is_not_whole_is_found(run: LocalRun, how: str) -> None:
    path = next((run.directory / "artifacts").iterdir())
    path.chmod(0o644)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"CONTENT" if how == "damaged" else b"con")
    found = audit(run)
    assert said(found) == [("artifact", 3)]
    assert found.findings[0].message.startswith("data (")
    assert audit(run, content=False).whole == (how == "damaged")


def test_a_report_in_json_has_one_line_a_finding(run: LocalRun, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(run, lambda r: r[2].update(label="forged"), chain=False)
    assert report(audit(run), as_json=True) == 2
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed[0]["kind"] == "chain"
    assert printed[-1]["whole"] is False
    assert printed[-1]["findings"] == len(printed) - 1
