"""A distillation in the browser: its curves over the epochs, and an epoch's answers side by side."""

from __future__ import annotations

import json
from typing import Any

from tests.fsm.view.web.conftest import cache, chromium, works
from tests.fsm.view.web.works import PATIENCE, Opened, Works
from tests.phases.distillation.store import artifacts, records, write

__all__ = ["cache", "chromium", "works"]

EPOCH = "distillation/epoch-2"


def stored(works: Works) -> str:
    """A run of six epochs; the second one's drawn prompts are its frozen ones, the worst of them corrected."""
    content, found = artifacts(), records()
    scores = [json.loads(line) for line in content[f"{EPOCH}/held_out_scores.jsonl"].splitlines()]
    more: dict[str, Any] = dict.fromkeys(("syntax", "protocol", "safety", "style"), 5.0)
    more["reasons"] = [{"rule": "SafetyCheck.GotoCheck", "line": 3, "points": -3.0, "note": "goto"}]
    worst = min(scores, key=lambda s: s["overall"])["prompt"]
    own = {
        "outputs": content[f"{EPOCH}/held_out_outputs.jsonl"],
        "scores": b"".join(json.dumps(s | more).encode() + b"\n" for s in scores),
        "poor": json.dumps({"prompt": worst}).encode(),
        "answers": json.dumps({"answer": "int taught;", "reason": ""}).encode(),
        "refused": b"",
    }
    content |= {f"{EPOCH}/{name}.jsonl": text for name, text in own.items()}
    at = next(r for r in found if f"{EPOCH}/report.json" in r.get("files", ()))
    at["files"] = [*at["files"], *(f"{EPOCH}/{name}.jsonl" for name in own)]
    write(works.directory, "taught", found, content)
    return str(worst)


def test_curves_are_drawn_with_their_numbers_and_answers_stand_beside_their_corrections(
    works: Works, chromium: Any
) -> None:
    worst = stored(works)
    _, url = works.serve("taught")
    page = chromium.new_page(viewport={"width": 1500, "height": 950})
    page.set_default_timeout(PATIENCE * 1000)
    opened = Opened(page)
    page.goto(f"{url}&panel=panels")
    score = page.locator("section", has=page.get_by_role("heading", name="Score"))
    score.get_by_text("As a table").click()
    drawn = json.loads(artifacts()["distillation/epoch-6/report.json"])["drawn"]["overall"]
    told = score.locator("tbody tr").nth(5).get_by_role("cell").first.inner_text()
    assert [float(n) for n in told.rstrip(")").replace(" (", " to ").split(" to ")] == [
        round(drawn[key], 2) for key in ("mean", "low", "high")
    ]
    assert page.locator("svg.plot").count() == 5
    assert score.locator("svg .line0 circle").count() == 6
    assert score.locator("svg .band").count() == 2
    dashes = "(e) => e.querySelector('polyline').getAttribute('stroke-dasharray')"
    for n in range(3):  # a key looks as its line does
        assert score.locator(f"svg .line{n}").evaluate(dashes) == score.locator(f"li.line{n}").evaluate(
            dashes
        )

    page.get_by_label("Answers of an epoch").select_option("2-drawn")
    answer = page.locator("details.answer").first
    answer.locator(".prompt", has_text=worst).wait_for()
    assert answer.get_by_role("heading", name="Student").is_visible()
    assert answer.locator("section", has_text="Teacher's correction").get_by_text("int taught;").is_visible()
    answer.get_by_text("Why this score").click()
    assert answer.locator("table.rules tr").count() > 0

    for file in (works.directory / "runs" / "taught" / "artifacts").iterdir():
        file.unlink()
    opened.away = True  # the browser itself tells of the answer
    page.get_by_label("Answers of an epoch").select_option("2-held_out")
    page.locator(".pages").get_by_role("alert").wait_for()
    assert page.locator("svg.plot").count() == 5
    assert opened.complaints == []
    page.close()
