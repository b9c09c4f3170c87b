"""`fsm run --accept`: going on under other drawings, where the history exists in them. `fsm diff` says what changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm.journal import Fold
from tests.fsm.amend.conftest import Mill

SIEVE = """
@PHASE.state("Sieve")
def sieve(ctx: Context) -> None:
    ctx.put("sieved.txt", "yes")
"""


@pytest.fixture
def half(ground: Mill) -> Mill:
    """Killed in the second visit of Grind, while stone had turned: records 0 to 4."""
    ground.cut("mill", 5)
    return ground


def sieved(mill: Mill) -> None:
    """Draw a state between Grind and Pack, and handle it."""
    mill.redraw("Grind --> Pack : fine", "Grind --> Sieve : fine\n    Sieve --> Pack")
    mill.rehandle("@BELOW", SIEVE + "\n\n@BELOW")


def renamed(mill: Mill) -> None:
    """Call Grind otherwise."""
    mill.redraw("Grind", "Mill_it")
    mill.rehandle('"Grind"', '"Mill_it"')


def test_another_drawing_is_refused_until_it_is_accepted(half: Mill) -> None:
    sieved(half)
    code, _, said = half.run()
    assert code == 2
    assert "diagram mill" in said
    assert "--accept goes on under the drawings as they are now" in said
    assert half.run("--accept")[0] == 0
    assert [r["from"] for r in half.history("mill") if r["kind"] == "transition"][-2:] == ["Sieve", "Pack"]
    assert half.run()[0] == 0, "accepted once is accepted"


def test_the_acceptance_is_a_record_and_the_audit_checks_across_it(half: Mill) -> None:
    sieved(half)
    half.run("--accept")
    accepted = [r for r in half.history("mill") if r["kind"] == "accept"]
    assert [(r["seq"], list(r["diagrams"])) for r in accepted] == [(6, ["mill"])], "behind the claim"
    code, said, _ = half.give("audit", "mill")
    assert code == 0, said
    assert "goes on under other drawings: mill" in half.give("history", "mill")[1]
    journal = Path("runs/mill/journal.jsonl")
    before = accepted[0]["diagrams"]["mill"]
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[6] = lines[6].replace(b'"before":{"mill":"', b'"before":{"mill":"' + before[:4].encode())
    lines[6] = lines[6].replace(lines[6].partition(b'"before":{"mill":"')[2][:68], before.encode())
    journal.write_bytes(b"".join(lines))
    code, said, _ = half.give("audit", "mill")
    assert code == 2
    assert "accepts another drawing mill in place of" in said


def test_a_state_of_the_history_that_is_gone_is_refused_with_its_record(half: Mill) -> None:
    renamed(half)
    code, _, said = half.run("--accept")
    assert code == 2
    assert "at record 1 the run was in Grind, and the drawing of mill has no such state" in said, (
        "Fill led there"
    )
    assert "say --rename Grind=NEW" in said
    assert len(half.history("mill")) == 5, "nothing was written"


def test_a_state_that_is_called_otherwise_now_goes_on_with_its_visits_and_calls(half: Mill) -> None:
    renamed(half)
    code, _, said = half.run("--accept", "--rename", "Grind=Mill_it")
    assert code == 0, said
    transitions = [(r["from"], r["visit"]) for r in half.history("mill") if r["kind"] == "transition"]
    ground = ["Grind", "Mill_it", "Mill_it"]
    assert [t for t in transitions if t[0] in ground] == [(s, n + 1) for n, s in enumerate(ground)]
    assert sum(s == "Turn" for s, _ in transitions) == 3, "what stone had turned was not turned again"
    assert half.kept("mill", "flour.txt") == "30 in paper, of 24"
    assert half.give("audit", "mill")[0] == 0
    (level,) = json.loads(half.give("status", "mill", "--json")[1])["stack"] or [{"state": "ended"}]
    assert level["state"] == "ended"


def test_what_a_limit_has_used_goes_with_the_state_that_is_called_otherwise_now(mill: Mill) -> None:
    mill.rehandle('calls={"Grind"', 'limits={"Grind": Limit(visit=3600)}, calls={"Grind"')
    mill.rehandle("import Context, Machine", "import Context, Limit, Machine")
    assert mill.run()[0] == 0
    mill.cut("mill", 5)
    renamed(mill)
    assert mill.run("--accept", "--rename", "Grind=Mill_it")[0] == 0
    spent = [list(r["spent"]) for r in mill.records("mill") if r.get("spent") and r["at"]]
    assert spent == [["Grind#"]] * 2 + [["Mill_it#"]]
    assert list(Fold.of(mill.records("mill")[:7]).spent) == ["Mill_it#"], "with the record that accepts"


def test_branches_that_are_under_way_keep_their_names(mill: Mill) -> None:
    mill.goes_apart()
    assert mill.run()[0] == 0
    mill.cut("mill", 3)  # claimed, filled, and gone apart
    mill.redraw("Left", "Port")
    mill.rehandle('"Left"', '"Port"')
    code, _, said = mill.run("--accept", "--rename", "Left=Port")
    assert code == 2
    assert (
        "at record 2 F of mill is in Left and Right at once, and in the new drawing in Port and Right. Let them meet first"
        in said
    )
    assert len(mill.records("mill")) == 3
    mill.redraw("Port", "Left")
    mill.rehandle('"Port"', '"Left"')
    mill.redraw("Pack", "Parcel")
    mill.rehandle('"Pack"', '"Parcel"')
    assert mill.run("--accept")[0] == 0, "what is called otherwise behind them is no matter"


def test_renamed_twice_is_accepted_twice(ground: Mill) -> None:
    ground.cut("mill", 4)
    renamed(ground)
    assert ground.run("--accept", "--rename", "Grind=Mill_it")[0] == 0
    ground.cut("mill", 8)  # the acceptance, and a state after it
    ground.redraw("Mill_it", "Crush")
    ground.rehandle('"Mill_it"', '"Crush"')
    code, _, said = ground.run("--accept", "--rename", "Mill_it=Crush")
    assert code == 0, said
    assert ground.give("audit", "mill")[0] == 0
    assert ground.kept("mill", "flour.txt") == "30 in paper, of 24"


def test_a_visit_under_way_must_still_be_able_to_make_its_call(half: Mill) -> None:
    half.redraw("Pack --> [*]", "Pack --> [*] : packed")
    half.rehandle(', calls={"Grind": ("stone",)}', "")
    code, _, said = half.run("--accept")
    assert code == 2
    assert "is in the middle of a call of stone" in said or "no longer part of the program" in said


def test_other_settings_are_not_accepted_with_a_drawing(half: Mill) -> None:
    sieved(half)
    text = Path("mill.yaml").read_text()
    Path("mill.yaml").write_text(text.replace("turns: 10", "turns: 11"))
    code, _, said = half.run("--accept")
    assert code == 2
    assert "stone.turns: 10 then, 11 now" in said
    assert "fsm fork mill --at SEQ --set KEY=VALUE" in said


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        ("Grind", "say Old=New"),
        ("Grind=Nowhere", "0 of the changed drawings have one state Nowhere"),
        ("stone:Grind=Mill_it", "the drawing of stone does not have one state Mill_it"),
    ],
)
def test_a_rename_that_says_nothing_is_told(half: Mill, rename: str, said: str) -> None:
    renamed(half)
    code, _, told = half.run("--accept", "--rename", rename)
    assert code == 2
    assert said in told


def test_a_rename_is_said_with_accept(half: Mill) -> None:
    assert "give it with --accept" in half.run("--rename", "A=B")[2]


def test_a_fork_may_be_gone_on_with_under_another_drawing(ground: Mill) -> None:
    assert ground.give("fork", "mill", "--at", "5", "--name", "later", "--set", "bag.of=cloth")[0] == 0
    sieved(ground)
    assert ground.run("--run", "later")[0] == 2
    assert ground.run("--run", "later", "--accept")[0] == 0
    assert ground.kept("later", "flour.txt") == "30 in cloth, of 24"
    assert ground.give("audit", "later")[0] == 0


def test_diff_says_what_was_redrawn_and_set_otherwise(half: Mill) -> None:
    assert half.give("diff", "mill", "mill.yaml") == (0, "nothing has changed since mill began\n", "")
    sieved(half)
    code, said, _ = half.give("diff", "mill", "mill.yaml")
    assert code == 1
    assert said.splitlines()[1:] == [
        "  + state Sieve",
        "  - Grind --> Pack : fine",
        "  + Grind --> Sieve : fine",
        "  + Sieve --> Pack",
        "`fsm run CONFIG --accept` goes on under these drawings",
    ]
    Path("mill.yaml").write_text(Path("mill.yaml").read_text().replace("turns: 10", "turns: 11"))
    said = json.loads(half.give("diff", "mill", "mill.yaml", "--json")[1])
    assert said["settings"] == {"stone.turns": [10, 11]}
    assert said["drawings"]["mill"]["states"] == {"gone": [], "new": ["Sieve"]}


def test_diff_of_a_drawing_whose_words_alone_changed(half: Mill) -> None:
    half.redraw("    Pack --> [*]", "    %% out\n    Pack --> [*]")
    _, said, _ = half.give("diff", "mill", "mill.yaml")
    assert "the same states and edges" in said


def test_diff_begins_where_the_run_is_now(half: Mill) -> None:
    sieved(half)
    half.run("--accept")
    assert half.give("diff", "mill", "mill.yaml")[0] == 0
