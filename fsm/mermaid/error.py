"""The exception of the reader."""

from __future__ import annotations


class MermaidError(Exception):
    """A text that Mermaid refuses, or a part of Mermaid that this reader does not take.

    Attributes: ``file``, ``line`` and ``column`` (1-based), ``message``, ``expected`` (what would have been
    accepted there, in the author's words), ``source_line``.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "<text>",
        line: int = 1,
        column: int = 1,
        expected: tuple[str, ...] = (),
        source_line: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.expected = expected
        self.source_line = source_line

    def __str__(self) -> str:
        wanted = f" (expected {', '.join(self.expected)})" if self.expected else ""
        head = f"{self.file}:{self.line}:{self.column}: error: {self.message}{wanted}"
        if not self.source_line:
            return head
        shown, caret = _window(self.source_line, self.column)
        return f"{head}\n    {shown}\n    {caret}"


class OtherKind(MermaidError):
    """A diagram of a kind that is not read here: a sequence diagram, a class diagram."""


def _window(line: str, column: int, width: int = 100) -> tuple[str, str]:
    """The part of a line around a column and the caret below it; tabs stay tabs so that both line up."""
    first = max(0, min(column - 1 - width // 2, len(line) - width))
    shown = line[first : first + width]
    lead = "…" if first else ""
    tail = "…" if first + width < len(line) else ""
    blank = "".join("\t" if char == "\t" else " " for char in shown[: column - 1 - first])
    return f"{lead}{shown}{tail}", f"{' ' * len(lead)}{blank}^"
