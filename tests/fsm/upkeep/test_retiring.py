"""`fsm retire`: what is freed, what is kept, and what is said to who comes for it later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm.errors import Retired
from fsm.journal import audit
from fsm.store import open_store
from tests.fsm.upkeep.conftest import Office, Said


def ended(office: Office, name: str = "r") -> None:
    office.run(name)
    office.of("answer", name, "Yes")
    assert office.run(name).code == 0


def retire(office: Office, *words: str) -> Said:
    return office.fsm("retire", *words, "--store", office.store)


def test_the_artifacts_go_and_the_journal_stays(office: Office) -> None:
    ended(office)
    before = office.of("history", "r", "--json").out
    said = retire(office, "r", "--json").row
    assert said == {"run": "r", "artifacts": 2, "bytes": len("dear r") + len("pencil"), "shared": 0}
    assert office.of("history", "r", "--json").out == before
    assert list((Path(office.store) / "runs" / "r" / "artifacts").iterdir()) == []


def test_who_opens_a_freed_artifact_is_told(office: Office) -> None:
    ended(office)
    run = open_store(office.store).run("r")
    sha256 = next(
        iter(row["artifacts"].values())
        for row in office.of("history", "r", "--json").rows
        if row.get("artifacts")
    )
    (sha256,) = sha256
    retire(office, "r")
    with pytest.raises(Retired, match="was freed when that run was retired"):
        open_store(office.store).run("r").artifact(sha256)
    with pytest.raises(Retired):
        list(run.artifact_bytes(sha256))


def test_a_retired_run_is_whole(office: Office) -> None:
    ended(office)
    retire(office, "r")
    found = audit(open_store(office.store).run("r"))
    assert found.whole
    assert found.freed == 2
    assert "2 of them were freed" in office.of("audit", "r").out


def test_what_another_run_was_begun_with_stays(office: Office) -> None:
    ended(office)
    office.run("after", "--from", "r")
    said = retire(office, "r", "--json").row
    assert (said["artifacts"], said["shared"]) == (0, 2)


def test_what_a_fork_has_of_its_past_stays(office: Office) -> None:
    """A fork's state begins with the artifacts of its past, which are read where they are."""
    ended(office)
    ended(office, "fork")
    header = Path(office.store) / "runs" / "fork" / "run.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"past": {"run": "r"}}))
    said = retire(office, "r", "--json").row
    assert (said["artifacts"], said["shared"]) == (1, 1)  # each has a letter of its own


def test_nothing_is_freed_beside_a_run_that_cannot_be_read(office: Office) -> None:
    ended(office)
    office.run("s")
    (Path(office.store) / "runs" / "s" / "run.json").write_text("{")
    said = retire(office, "r")
    assert said.code == 2
    assert "is not the header of a run" in said.err
    assert len(list((Path(office.store) / "runs" / "r" / "artifacts").iterdir())) == 2


def test_a_run_that_is_not_over_is_not_retired(office: Office) -> None:
    office.run()
    said = retire(office, "r")
    assert said.code == 2
    assert "is not over, and goes on from what it keeps" in said.err


def test_only_what_is_old_enough(office: Office) -> None:
    ended(office)
    assert retire(office, "r", "--older-than", "1d", "--json").row == {
        "run": "r",
        "skipped": "it ended later than that",
    }
    assert retire(office, "--older-than", "0s", "--json").row["artifacts"] == 2


def test_those_that_are_not_over_are_passed_by_where_none_is_named(office: Office) -> None:
    ended(office)
    office.run("s")
    assert [row["run"] for row in retire(office, "--older-than", "0s", "--json").rows] == ["r"]


def test_retired_twice_is_retired(office: Office) -> None:
    ended(office)
    retire(office, "r")
    assert retire(office, "r", "--json").row["bytes"] == 0


@pytest.mark.parametrize("words", [[], ["--older-than", "soon"], ["--older-than=-1d"], ["nobody"]])
def test_what_cannot_be_meant_is_refused(words: list[str], office: Office) -> None:
    assert retire(office, *words).code == 2
