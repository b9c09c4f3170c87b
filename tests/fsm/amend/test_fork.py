"""`fsm fork`: a run that shares the past of another one, with other settings from a record on."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from fsm.journal import Journal
from fsm.store import S3Store, open_store
from fsm.view.projection import Projection
from tests.fsm.amend.conftest import Mill
from tests.fsm.store.in_memory import InMemory


def test_a_fork_goes_on_from_the_record_with_its_own_settings(ground: Mill) -> None:
    code, said, _ = ground.give("fork", "mill", "--at", "7", "--set", "bag.of=cloth", "--name", "cloth")
    assert code == 0, said
    assert "cloth shares the past of mill up to record 7, and stands in Pack" in said
    assert ground.run("--run", "cloth")[0] == 0, "the file still says paper"
    assert ground.kept("mill", "flour.txt") == "30 in paper, of 24"
    assert ground.kept("cloth", "flour.txt") == "30 in cloth, of 24"
    code, said, _ = ground.give("compare", "mill", "cloth")
    assert code == 1
    assert "they part at record 8 and record 2, in mill: Pack" in said


def test_no_artifact_of_the_past_is_copied(ground: Mill) -> None:
    ground.give("fork", "mill", "--at", "7", "--name", "same")
    assert list(Path("runs/same/artifacts").iterdir()) == []
    assert len(Journal(open_store(".").run("same")).load().files) == 1
    assert ground.run("--run", "same")[0] == 0
    assert [p.stat().st_size for p in Path("runs/same/artifacts").iterdir()] == [len("30 in paper, of 24")]
    assert ground.give("compare", "mill", "same")[0] == 0, "it did what the past it came from went on to do"


@pytest.mark.parametrize("at", range(8))
def test_a_fork_of_any_record_that_changes_nothing_does_the_same(ground: Mill, at: int) -> None:
    assert ground.give("fork", "mill", "--at", str(at), "--name", "again")[0] == 0
    assert ground.run("--run", "again")[0] == 0
    code, said, _ = ground.give("compare", "mill", "again")
    assert (code, said.splitlines()[-1]) == (0, "mill and again did the same")
    code, said, _ = ground.give("audit", "again")
    assert code == 0, said


def test_a_setting_that_was_used_before_is_refused_and_said_where(ground: Mill) -> None:
    code, _, said = ground.give("fork", "mill", "--at", "4", "--set", "stone.turns=99")
    assert code == 2
    assert "stone.turns at record 2, stone: Turn" in said
    assert "[F303]" in said
    assert not Path("runs/mill-fork").exists()
    code, said, also = ground.give("fork", "mill", "--at", "4", "--set", "stone.turns=99", "--anyway")
    assert code == 0
    assert "stone.turns was used before, at record 2" in also
    assert ground.run("--run", "mill-fork")[0] == 0
    assert ground.kept("mill-fork", "flour.txt") == "119 in paper, of 24", (
        "10, and 10 again, for stone had turned, and 99"
    )


def test_a_setting_is_unused_until_a_handler_of_its_section_has_run_or_asked_for_it(ground: Mill) -> None:
    give = ground.give
    assert give("fork", "mill", "--at", "1", "--set", "stone.turns=99")[0] == 0, "only Fill has run"
    assert give("fork", "mill", "--at", "7", "--set", "bag.of=cloth")[0] == 0, "Pack asks for it"
    assert give("fork", "mill", "--at", "1", "--set", "mill.grains=9")[0] == 2
    assert give("fork", "mill", "--at", "0", "--set", "mill.grains=9")[0] == 0
    assert give("fork", "mill", "--at", "1", "--set", "run.seed=9")[0] == 2
    assert give("fork", "mill", "--at", "0", "--set", "run.seed=9")[0] == 0
    assert give("fork", "mill", "--at", "7", "--set", "mill.grains=4")[0] == 0, "that is what it was"


def test_a_visit_under_way_counts_by_what_it_went_on_to_ask_for(mill: Mill) -> None:
    mill.rehandle('turned = ctx.run("stone")', 'ctx.section("bag")\n    turned = ctx.run("stone")')
    assert mill.run()[0] == 0
    code, _, said = mill.give("fork", "mill", "--at", "2", "--set", "bag.of=cloth")
    assert code == 2, "Grind had called down, and asks for the bag"
    assert "bag.of at record 2" in said
    assert mill.give("fork", "mill", "--at", "1", "--set", "bag.of=cloth")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at", "8"], "ends with record 8"),
        (["--at", "9"], "has no record 9; its newest is 8"),
        (["--at", "-1"], "has no record -1"),
        (["--at", "1", "--set", "stone"], "say section.key=value"),
        (["--at", "1", "--set", "store=elsewhere"], "--set store"),
        (["--at", "1", "--set", "stoen.turns=1"], "did you mean 'stone'?"),
        (["--at", "0", "--set", "run.seed=-1"], "--set run.seed"),
        (["--at", "1", "--name", "mill"], "There is a run mill"),
        (["--at", "1", "--name", "../x"], "cannot name a run"),
    ],
)
def test_what_cannot_be_forked_is_told(ground: Mill, words: list[str], said: str) -> None:
    code, _, told = ground.give("fork", "mill", *words)
    assert code == 2
    assert said in told


def test_a_setting_is_held_against_the_model_of_its_phase(dice: Mill) -> None:
    code, _, said = dice.give("fork", "dice", "--at", "0", "--set", "dice.throws=many")
    assert code == 2
    assert "--set dice.throws: Input should be a valid integer" in said
    code, _, said = dice.give("fork", "dice", "--at", "0", "--set", "dice.throw=7")
    assert "did you mean 'throws'?" in said


def test_a_fork_of_a_fork_reads_what_the_first_run_put(ground: Mill) -> None:
    ground.give("fork", "mill", "--at", "5", "--set", "bag.of=cloth", "--name", "one")
    assert ground.run("--run", "one")[0] == 0
    last = ground.history("one")[-1]["seq"]
    assert ground.give("fork", "one", "--at", str(last - 1), "--set", "bag.of=jute", "--name", "two")[0] == 0
    assert ground.run("--run", "two")[0] == 0
    assert ground.kept("two", "flour.txt") == "30 in jute, of 24"
    assert ground.give("audit", "two")[0] == 0
    transitions = [r["from"] for r in ground.history("two") if r["kind"] == "transition"]
    assert transitions == ["Fill", *["Turn", "Grind"] * 3, "Pack"]


def test_the_past_is_found_after_the_run_was_begun_anew(ground: Mill) -> None:
    ground.give("fork", "mill", "--at", "7", "--name", "later")
    assert ground.run("--fresh")[0] == 0
    assert ground.run("--run", "later")[0] == 0
    assert ground.give("audit", "later")[0] == 0


def test_a_past_that_is_gone_is_told(ground: Mill) -> None:
    ground.give("fork", "mill", "--at", "7", "--name", "later")
    shutil.rmtree("runs/mill")
    code, said, _ = ground.give("audit", "later")
    assert code == 2
    assert (
        "past: the past of this fork cannot be read: Run later is a fork of run mill at its record 7" in said
    )


def test_the_audit_finds_a_past_that_was_changed(ground: Mill) -> None:
    ground.give("fork", "mill", "--at", "7", "--name", "later")
    journal = Path("runs/mill/journal.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b'"flour":30', b'"flour":31'))
    code, said, _ = ground.give("audit", "later")
    assert code == 2
    assert "it is a fork of mill at record 7" in said


def test_the_audit_finds_a_state_that_is_not_the_pasts(ground: Mill) -> None:
    ground.give("fork", "mill", "--at", "7", "--name", "later")
    journal = Path("runs/later/journal.jsonl")
    journal.write_bytes(journal.read_bytes().replace(b'"flour":30', b'"flour":31'))
    code, said, _ = ground.give("audit", "later")
    assert code == 2
    assert "its state is not the one that mill had at record 7" in said


def test_a_fork_that_was_interrupted_is_begun_by_the_same_command(ground: Mill) -> None:
    words = ("fork", "mill", "--at", "7", "--name", "later", "--set", "bag.of=cloth")
    ground.give(*words)
    Path("runs/later/journal.jsonl").unlink()
    code, _, said = ground.run("--run", "later")
    assert code == 2
    assert "interrupted before it was begun" in said
    assert ground.give(*words)[0] == 0
    assert ground.run("--run", "later")[0] == 0
    assert ground.give(*words)[0] == 2, "it has begun"


def test_status_and_pictures_of_a_fork_know_how_often_states_were_left(ground: Mill) -> None:
    ground.give("fork", "mill", "--at", "5", "--name", "later")
    (level,) = json.loads(ground.give("status", "later", "--json")[1])["stack"]
    assert (level["state"], level["visit"]) == ("Grind", 3)
    assert ground.give("render", "later")[0] == 0


def test_every_moment_of_a_fork_and_of_an_acceptance_can_be_shown(ground: Mill) -> None:
    from fsm.view import report
    from fsm.view.timeline import Timeline

    ground.give("fork", "mill", "--at", "5", "--name", "later")
    ground.redraw("Grind", "Mill_it")
    ground.rehandle('"Grind"', '"Mill_it"')
    assert ground.run("--run", "later", "--accept", "--rename", "Grind=Mill_it")[0] == 0
    journal = Journal(open_store(".").run("later"))
    timeline = Timeline(report.drawings(journal.header()))
    timeline.read(journal.records())
    begun, accepted = timeline.at(0), timeline.at(2)
    assert begun.tallies["mill"]["Grind"].visits == 2
    assert "Grind" not in accepted.tallies["mill"]
    assert accepted.tallies["mill"]["Mill_it"].visits == 2
    assert [level.state for level in accepted.stack()] == ["Mill_it"]
    assert [change["row"]["kind"] for change in timeline.since(-1)][:3] == ["fork", "claim", "accept"]
    assert ground.give("watch", "later", "--terminal", "--json")[0] == 0
    assert ground.give("status", "later")[0] == 0


def test_in_a_bucket_the_past_is_read_where_it_is_and_not_removed_under_a_fork(tmp_path: Path) -> None:
    from fsm.amend import fork
    from fsm.engine import Runner
    from tests.fsm import synthetic

    bucket = InMemory()
    store = S3Store("s3://memory/p", bucket=bucket, cache=str(tmp_path))
    begun = store.run("works")
    header = {"format": 1, "name": "works", "seed": 7, "machine": "works", "diagrams": {}}
    header |= {
        "config": {"plug": {"machines": "machines", "phases": "phases"}, "run": {"name": "works", "seed": 7}}
    }
    begun.write_header(json.dumps(header).encode())

    def drive(name: str) -> str:
        run = store.run(name)
        journal = Journal(run)
        world = synthetic.World(mended=True)
        return Runner(synthetic.program(world), run, journal, journal.open(), seed=7).drive().outcome

    while drive("works") == "stopped":
        pass
    records = list(Journal(begun).records())
    at = next(r["seq"] for r in records if r.get("files")) + 1
    fork(store, "works", at, new="other")
    assert drive("other") in ("done", "stopped")
    known = Journal(store.run("other")).load().files
    assert all(store.run("other").artifact_size(f["sha256"]) == f["size"] for f in known.values())
    own = {k.rpartition("/")[2] for k in bucket.objects if "/runs/other/artifacts/" in k}
    before = {f["sha256"] for r in records[: at + 1] for f in (r.get("files") or {}).values()}
    assert before
    assert not before & own, "the past's stay where they are"
    with pytest.raises(Exception, match="is the past of other"):
        store.remove("works")
    store.remove("other")


def test_modules_beside_the_configuration_are_found_as_when_it_is_run(
    mill: Mill, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("quern.py").write_text("ROUNDS = 3\n")
    mill.rehandle("ctx.visit == 3", "ctx.visit == ROUNDS")
    Path("mill.py").write_text("from quern import ROUNDS\n" + Path("mill.py").read_text())
    assert mill.run()[0] == 0
    monkeypatch.delitem(sys.modules, "quern")  # another process has not imported it
    Path("mill.py").write_text(Path("mill.py").read_text() + "# read again\n")
    code, _, err = mill.give("fork", "mill", "--at", "7", "--set", "bag.of=cloth", "--name", "cloth")
    assert code == 0, err


def test_a_header_that_cannot_be_read_is_told_as_ever(ground: Mill) -> None:
    Path("runs/mill/run.json").write_text("{")
    code, _, said = ground.run()
    assert code == 2
    assert "run.json" in said
    assert "[F4" in said


BRANCHES = """
from fsm.engine import Context, Machine, Phase
from pathlib import Path

HERE = Path(__file__).parent
MACHINE = Machine("mill", HERE / "mill.mmd", calls={"Grind": ("stone",)})
STONE = Machine("stone", HERE / "stone.mmd")
PHASE, BELOW = Phase("mill"), Phase("stone")


@PHASE.state("Grind")
def grind(ctx: Context) -> None:
    ctx.map("stone", [1, 2, 3])


@PHASE.state("Pack")
def pack(ctx: Context) -> None:
    ctx.put("all.txt", " ".join(ctx.open(f"{n}.txt").read_text() for n in (1, 2, 3)))


@BELOW.state("Turn")
def turn(ctx: Context) -> None:
    ctx.put(f"{ctx.inputs['item']}.txt", f"turned {ctx.inputs['item']}")
"""


def test_what_an_item_of_a_map_put_is_a_forks_past_while_the_map_is_under_way(mill: Mill) -> None:
    Path("mill.py").write_text(BRANCHES)
    Path("mill.mmd").write_text("stateDiagram-v2\n    [*] --> Grind\n    Grind --> Pack\n    Pack --> [*]\n")
    Path("mill.yaml").write_text("machine: mill\nplug: {handlers: mill.py}\nrun: {name: mill}\n")
    assert mill.run()[0] == 0
    first = next(r["seq"] for r in mill.history("mill") if r.get("artifacts"))
    assert mill.give("fork", "mill", "--at", str(first), "--name", "other")[0] == 0
    assert mill.give("retire", "mill")[0] == 0
    assert mill.run("--run", "other")[0] == 0
    assert mill.kept("other", "all.txt") == "turned 1 turned 2 turned 3"
    code, said, _ = mill.give("compare", "mill", "other")
    assert (code, said.splitlines()[-1]) == (0, "mill and other did the same")
    code, said, _ = mill.give("audit", "other")
    assert code == 0, said


def test_a_fork_between_branches_counts_what_was_before_them_once(mill: Mill) -> None:
    mill.goes_apart()
    assert mill.run()[0] == 0
    assert mill.give("fork", "mill", "--at", "2", "--name", "again")[0] == 0
    assert mill.run("--run", "again")[0] == 0
    shown = Projection()
    shown.read(mill.records("again"))
    visits = {state: tally.visits for state, tally in shown.tallies["mill"].items() if tally.visits}
    assert visits == dict.fromkeys(("Fill", "Left", "Right", "Pack"), 1)
