"""One file on its way through ProcessFiles (Diagram 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from phases.data_preparation.examples import (
    Example,
    Origin,
    choose_split,
    choose_template,
    completion_example,
    function_example,
)
from phases.data_preparation.functions import Found, Function, find_functions


@dataclass
class SourceFile:
    """What is known of a file so far. The states of ProcessFiles fill it in; `examples` or `skipped` is the end.

    `seed` is the run's; every choice is made by it and by the code in hand, not by the file's place in the queue.
    """

    key: str
    domain: str
    content: bytes
    seed: int
    min_completion_chars: int
    text: str = ""
    found: Found = Found("C", (), ())
    at: int = 0
    template: int = 0
    split: int = 0
    head: str = ""
    rest: str = ""
    skipped: str = ""
    examples: list[Example] = field(default_factory=list)

    @property
    def functions(self) -> tuple[Function, ...]:
        return self.found.functions

    @property
    def origin(self) -> Origin:
        return Origin(self.key, self.domain)

    def extract(self) -> str:
        """Find the functions; returns the label of ExtractFunctions."""
        self.text = self.text.replace("\r\n", "\n").replace("\r", "\n")
        self.found = find_functions(self.key, self.text)
        if self.functions:
            return "Functions found"
        if len(self.text) > self.min_completion_chars:
            return "No functions (len > 200)"
        self.skipped = f"no function, and {len(self.text)} characters are too few for a completion"
        return "Too short"

    def select_template(self) -> None:
        """Choose the template of the function in hand."""
        self.template = choose_template(self.functions[self.at], self.seed)

    def split_code(self) -> None:
        """Choose where the head ends and the rest begins."""
        self.split = choose_split(self.text, self.seed)

    def format_output(self) -> str:
        """Add the example in hand; returns the label of FormatOutput."""
        if not self.functions:
            self.examples.append(completion_example(self.head, self.rest, self.found.language, self.origin))
            return "Example added"
        function = self.functions[self.at]
        self.examples.append(function_example(function, self.template, self.found.language, self.origin))
        self.at += 1
        return "Next function" if self.at < len(self.functions) else "Example added"
