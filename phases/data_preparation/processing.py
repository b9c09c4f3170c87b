"""One file on its way through ProcessFiles (Diagram 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from phases.data_preparation.comments import header
from phases.data_preparation.examples import (
    Example,
    Origin,
    choose_split,
    choose_template,
    completion_example,
    function_example,
)
from phases.data_preparation.functions import Found, Function, find_functions
from phases.data_preparation.generated import why_data, why_generated
from phases.data_preparation.lengths import token_counts
from phases.data_preparation.licences import UNKNOWN, Licences, licence
from phases.data_preparation.redaction import redact

LEFT_OUT = "Left out"
COPY = "a copy of "
"""How the reason begins for which a copy is left out."""
PROMPTS = "prompts from: "
"""How the tally calls what prompts are made of."""
NOTHING_FOUND = Found("C", (), ())
NOWHERE = Origin("", "")


@dataclass(frozen=True)
class Rules:
    """What decides about examples besides the files: the run's seed, its configuration, and the licences of folders."""

    seed: int
    min_completion_chars: int
    source: str = ""
    redact: bool = True
    licences: Licences = field(default_factory=Licences)
    trees: Mapping[str, str] = field(default_factory=dict)
    tokenizer: str | None = None
    max_example_tokens: int | None = None


@dataclass
class SourceFile:
    """What is known of a file so far. The states of ProcessFiles fill it in; `examples` or `skipped` is the end.

    Every choice is made by the rules and by the code in hand, not by the file's place in the queue. `tally` counts what a
    report tells: definitions left out by their reason, what was replaced, what prompts are made of.
    """

    key: str
    domain: str
    content: bytes
    rules: Rules
    text: str = ""
    copy_of: str = ""
    found: Found = NOTHING_FOUND
    origin: Origin = NOWHERE
    at: int = 0
    template: int = 0
    split: int = 0
    head: str = ""
    rest: str = ""
    skipped: str = ""
    examples: list[Example] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)

    @property
    def functions(self) -> tuple[Function, ...]:
        """The functions that are to be examples."""
        return self.found.functions

    def extract(self) -> str:
        """Find the functions; returns the label of ExtractFunctions."""
        self.text = self.text.replace("\r\n", "\n").replace("\r", "\n")
        said = header(self.text)
        under = licence(self.key, said, self.rules.trees)
        self.origin = Origin(self.key, self.domain, self.rules.source, under)
        self.skipped = self._why_left_out(under, said)
        if self.skipped:
            return LEFT_OUT
        if self.rules.redact:
            self.text, replaced = redact(self.text)
            self.tally.update({f"replaced: {kind}": n for kind, n in replaced.items()})
        self.found = find_functions(self.key, self.text)
        self.tally.update(f"functions left out: {left.reason}" for left in self.found.left_out)
        if self.functions:
            return "Functions found"
        if len(self.text) <= self.rules.min_completion_chars:
            self.skipped = f"no function, and {len(self.text)} characters are too few for a completion"
            return "Too short"
        self.skipped = why_data(self.text) or self._why_too_long()
        return LEFT_OUT if self.skipped else "No functions (len > 200)"

    def _why_left_out(self, under: str, said: str) -> str:
        """Why a file of a licence and with a header is left out; empty for one that is not."""
        if self.copy_of:
            return f"{COPY}{self.copy_of}"
        if not self.rules.licences.keeps(under):
            known = "no licence is known" if under == UNKNOWN else f"its licence is {under}"
            return f"{known}; data_preparation.licences does not allow that"
        return why_generated(self.text, said)

    def _why_too_long(self) -> str:
        most = self.rules.max_example_tokens
        if most is None or self.rules.tokenizer is None:
            return ""
        whole = completion_example(self.text, "", self.found.language, self.origin).prompt
        if len(whole.encode()) <= most:  # no token is empty
            return ""
        (tokens,) = token_counts(self.rules.tokenizer, [whole])
        return f"{tokens} tokens; data_preparation.max_example_tokens is {most}" if tokens > most else ""

    def select_template(self) -> None:
        """Choose the template of the function in hand."""
        self.template = choose_template(self.functions[self.at], self.rules.seed)

    def split_code(self) -> None:
        """Choose where the head ends and the rest begins."""
        self.split = choose_split(self.text, self.rules.seed)

    def format_output(self) -> str:
        """Add the example in hand; returns the label of FormatOutput."""
        if not self.functions:
            self._add(completion_example(self.head, self.rest, self.found.language, self.origin))
            return "Example added"
        function = self.functions[self.at]
        self._add(function_example(function, self.template, self.found.language, self.origin))
        self.at += 1
        return "Next function" if self.at < len(self.functions) else "Example added"

    def _add(self, example: Example) -> None:
        self.examples.append(example)
        self.tally[f"{PROMPTS}{example.prompt_from}"] += 1
