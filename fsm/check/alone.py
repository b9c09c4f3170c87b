"""A drawing by itself: what can be proved of it before there is a machine or a handler.

What a machine may still say of it (a state that is an end, a fork whose edges bear labels, where it is entered, what bounds
a cycle) is a warning here, and an error once a program is checked that does not say it.
"""

from __future__ import annotations

from dataclasses import replace

from fsm import drawing, mermaid
from fsm.check.finding import Finding, Severity, warning
from fsm.check.program import check
from fsm.drawing import Chart
from fsm.engine import Machine, Program
from fsm.errors import FsmError
from fsm.mermaid import Flowchart, MermaidError, OtherKind, Source

SAYABLE = {
    "C104": "in `forks`, where all of them are taken",
    "C107": "in `entered_at`, where it is entered",
    "C108": "in `bounds` or `waits`",
    "C114": "in `bounds`, by what else",
}
"""What a machine may say that makes the finding of this code none, by code."""


def alone(source: Source) -> list[Finding]:
    """Everything found in a drawing, in its order; what cannot be read or run at all is its only finding."""
    file = str(source.file)
    flowchart = False
    try:
        flowchart = isinstance(mermaid.parse(source.text, file, source.line), Flowchart)
        chart = drawing.of_source(source)
        ends = _loose_ends(chart)
        machine = Machine(chart.name, chart, ends=ends)
        found = check(Program(chart.name, {chart.name: machine}, {}), phases=False)
    except OtherKind as e:
        severity: Severity = "warning" if source.fence else "error"  # a page may well have others beside
        return [Finding(severity, "F100", file, e.line, e.column, f"{e.message}, and was left out.")]
    except MermaidError as e:
        expected = f" (expected {', '.join(e.expected)})" if e.expected else ""
        return [Finding("error", "F100", file, e.line, e.column, f"{e.message}{expected}.")]
    except FsmError as e:
        # a flowchart need not be a machine: it may show what flows where, or what imports what
        return [_placed("warning" if flowchart else "error", e, file, source.line)]
    if flowchart and source.fence:
        found = [replace(f, severity="warning") for f in found]
    said = [_sayable(replace(f, line=max(f.line, source.line))) for f in found]
    said += [
        warning(
            "C102",
            file,
            chart.states[path],
            f"{path} ends the drawing, for no edge leads on. Draw one to [*].",
        )
        for path in ends
    ]
    return sorted(said, key=lambda f: (f.line, f.column, f.code))


def _loose_ends(chart: Chart) -> list[str]:
    """The reachable states from which nothing leads on, which a machine's `ends` may mean as they are."""
    return [p for p, s in chart.states.items() if s.kind in ("state", "choice") and not chart.moves(p)]


def _sayable(finding: Finding) -> Finding:
    by = SAYABLE.get(finding.code)
    return replace(finding, severity="warning", message=_unless(finding.message, by)) if by else finding


def _unless(message: str, by: str) -> str:
    """The finding without what to declare, and with what of a machine would make it none."""
    return f"{message.partition(' Declare in ')[0]} If that is meant, its machine says so: {by}."


def _placed(severity: Severity, error: FsmError, file: str, first_line: int) -> Finding:
    """An error of a drawing as a finding: its message begins with its place, `file:line: ` or `file: `."""
    message = error.message
    for head in (f"{file}:", f"{file}: "):
        message = message.removeprefix(head)
    line, _, rest = message.partition(": ")
    if line.strip().isdigit():
        return Finding(severity, error.code, file, int(line), 1, rest)
    return Finding(severity, error.code, file, first_line, 1, message.strip())
