"""The item that walks through Diagram 6, and what comes out of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from phases.quality_scoring import extract
from phases.quality_scoring.asked import named
from phases.quality_scoring.behaviour.compare import Behaviour
from phases.quality_scoring.behaviour.compile import Program, Refusal
from phases.quality_scoring.config import QualityScoringConfig
from phases.quality_scoring.diagnosis import NOTHING_WRONG, Diagnosis
from phases.quality_scoring.heaps import Unreadable
from phases.quality_scoring.structure import Structure

DEFAULT = QualityScoringConfig()


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that fired.

    rule    the state of Diagram 6 whose rule it is, `SafetyCheck.GotoCheck`
    line    of the text that was scored, from 1; None where the rule is of the whole text
    points  what it added to its score; a score is the sum of its reasons' points
    note    what was found
    """

    rule: str
    line: int | None
    points: float
    note: str


@dataclass(frozen=True, slots=True)
class Score:
    """The scores of one text, each in [0, 10], with every reason.

    `extra` holds the scores of states that a user has drawn in, by name; `behaviour` what the code does, where that was
    asked for.
    """

    syntax: float
    protocol: float
    safety: float
    style: float
    overall: float
    reasons: tuple[Reason, ...]
    domain: str
    needs_correction: bool
    extra: tuple[tuple[str, float], ...] = ()
    behaviour: Behaviour | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON values, in a fixed order."""
        values = self.drawn_as_dict()
        if self.behaviour is not None:
            told = self.behaviour.as_dict()
            values["behaviour"] = told.pop("score")
            values["behaved"] = told
        return values

    def drawn_as_dict(self) -> dict[str, Any]:
        """The same without what is told beside the score."""
        values = asdict(self)
        del values["behaviour"]
        return values | {"reasons": [asdict(r) for r in self.reasons], "extra": dict(self.extra)}


@dataclass(slots=True)
class Scoring:
    """One text on its way through the machine; each state reads and adds to it."""

    text: str
    prompt: str = ""
    config: QualityScoringConfig = DEFAULT
    code: str = ""
    structure: Structure = field(init=False)
    diagnosis: Diagnosis = NOTHING_WRONG
    domain: str = "unknown"
    keywords: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    reasons: list[Reason] = field(default_factory=list)
    needs_correction: bool = True
    reference: str | None = None
    behaves: bool = False
    behaviour: Behaviour | None = None
    programs: tuple[Program | Refusal | None, Program | None] = (None, None)

    def __post_init__(self) -> None:
        """What it does is asked for by a reference, or by a weight."""
        self.behaves = (
            self.behaves or self.reference is not None or bool(self.config.weights.get("behaviour"))
        )

    @property
    def reference_code(self) -> str:
        """The code of the reference, whatever is around it."""
        return extract.code(self.reference or "", self.prompt)

    def take(self, code: str) -> None:
        """From here on, `code` is what is scored: its line numbers are those of the text."""
        try:
            self.structure = Structure(code)
            self.code = code
        except Unreadable as e:
            self.refuse(str(e))
            self.structure = Structure("")

    @property
    def astray(self) -> bool:
        """Whether the prompt names what it wants, and nothing in the code bears any of the names."""
        asked = named(self.prompt)
        return bool(asked) and asked.isdisjoint(self.structure.names)

    def refuse(self, why: str) -> None:
        """Say why none of the text is read; what is scored is then the empty text."""
        self.give("SyntaxCheck.TryGCC", 0.0, f"refused: {why}")

    def give(self, rule: str, points: float, note: str, line: int | None = None) -> None:
        """Add points to the score that the rule's composite stands for (`SafetyCheck.GotoCheck`: safety).

        A rule that gives nothing leaves a reason all the same.
        """
        name = rule.partition(".")[0].removesuffix("Check").lower()
        self.scores[name] = self.scores.get(name, 0.0) + points
        self.reasons.append(Reason(rule, line, round(points, 6), note))

    def clamp(self, rule: str) -> None:
        """Bring a score back into [0, 10]."""
        name = rule.partition(".")[0].removesuffix("Check").lower()
        now = self.scores.get(name, 0.0)
        kept = min(10.0, max(0.0, now))
        if kept != now:
            self.give(rule, kept - now, "clamped to [0, 10]")
        self.scores[name] = round(kept, 6)

    @property
    def result(self) -> Score:
        """The outcome, once the walk has ended."""
        drawn = {name: self.scores[name] for name in ("syntax", "protocol", "safety", "style", "overall")}
        return Score(
            **drawn,
            reasons=tuple(self.reasons),
            domain=self.domain,
            needs_correction=self.needs_correction,
            extra=tuple((name, value) for name, value in self.scores.items() if name not in drawn),
            behaviour=self.behaviour,
        )
