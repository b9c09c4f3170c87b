"""The shipped diagrams are the specification's, and say where they are not.

A diagram is taken apart into facts: an edge, a state, a note, a node, a subgraph. A fact that the specification
lacks must have a comment of its own right above it, `%% added: why` or `%% corrected: why`; one that the shipped
diagram lacks must have been corrected; and a mark must have something to own up to.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fsm.mermaid import Diagram, Flowchart, StateDiagram, parse, read_all

DIAGRAMS = Path(__file__).parents[2] / "diagrams"
SPECIFICATION = Path(__file__).parent / "specification.md"
NAMES = (
    "pipeline",
    "data_preparation",
    "teacher_generation",
    "distillation",
    "qlora_training",
    "quality_scoring",
    "data_flow",
    "error_recovery",
    "convergence",
    "sagemaker_job",
)
each = pytest.mark.parametrize("name", NAMES)
FLOWCHARTS = ("data_flow", "convergence")
each_state_diagram = pytest.mark.parametrize("name", [x for x in NAMES if x not in FLOWCHARTS])

MARKS = ("added", "corrected")
END = "[*]"


@dataclass(frozen=True)
class Fact:
    """One thing a diagram says. `name` is what it is about, `told` what it says of it.

    An edge is about its source and says target, label and, where it starts or ends a composite, which one.
    """

    kind: str
    name: str
    told: tuple[str | None, ...]

    def __str__(self) -> str:
        if self.kind == "edge":
            target, label, scope = self.told
            more = (f" : {label}" if label else "") + (f" in {scope}" if scope else "")
            return f"{self.name} --> {target}{more}"
        return f"{self.kind} {self.name} {self.told}"


def facts(diagram: Diagram) -> list[tuple[Fact, int]]:
    """Every fact with the line it stands in (a state's: the line that mentions it first)."""
    return list(_state_facts(diagram) if isinstance(diagram, StateDiagram) else _flow_facts(diagram))


def _state_facts(diagram: StateDiagram) -> list[tuple[Fact, int]]:
    found = [(Fact("direction", "diagram", (diagram.direction,)), 1)]
    for state in diagram.states:
        if state.kind not in ("start", "end"):
            inside = state.parent if state.kind == "composite" else None
            found.append((Fact("state", state.id, (state.kind, inside, *state.descriptions)), state.line))
    for edge in diagram.transitions:
        source = END if edge.from_start else edge.source
        target = END if edge.to_end else edge.target
        scope = edge.scope if END in (source, target) else None
        found.append((Fact("edge", source, (target, edge.label, scope)), edge.line))
    found += [(Fact("note", note.state, (note.position, note.text)), note.line) for note in diagram.notes]
    return found


def _flow_facts(diagram: Flowchart) -> list[tuple[Fact, int]]:
    found = [(Fact("direction", "diagram", (diagram.direction,)), 1)]
    for node in diagram.nodes:
        if not node.also_subgraph:
            found.append((Fact("node", node.id, (node.label, node.shape, node.parent)), node.line))
    found += [(Fact("subgraph", x.id, (x.title, x.parent)), x.line) for x in diagram.subgraphs]
    found += [(Fact("edge", x.source, (x.target, x.label, None)), x.line) for x in diagram.edges]
    return found


def complaints(drawn: Diagram, shipped: Diagram) -> list[str]:
    """What is missing or more in `shipped` and not owned up to; nothing where it keeps to the specification."""
    marks, problems = _marks(shipped)
    lines: dict[Fact, list[int]] = defaultdict(list)
    for fact, line in facts(shipped):
        lines[fact].append(line)
    here = Counter({fact: len(found) for fact, found in lines.items()})
    there = Counter(fact for fact, _ in facts(drawn))
    missing, used = there - here, set()
    for fact, times in (here - there).items():
        for line in sorted(lines[fact], key=lambda line: line not in marks)[:times]:
            mark = marks.get(line)
            used.add(line)
            if mark is None:
                problems.append(f"line {line}: not in the specification, and not marked: {fact}")
            elif mark == "corrected":
                if not (old := _corrected(fact, missing)):
                    problems.append(f"line {line}: marked as corrected, but nothing was: {fact}")
                else:
                    missing[old] -= 1
    problems += [f"missing: {fact}" for fact, times in missing.items() for _ in range(times)]
    problems += [f"line {line}: marked as {marks[line]}, but as drawn" for line in marks.keys() - used]
    return sorted(problems)


def _marks(shipped: Diagram) -> tuple[dict[int, str], list[str]]:
    """Line -> mark for the lines below the marking comments, and what is wrong with such comments."""
    marks: dict[int, str] = {}
    problems: list[str] = []
    for comment in shipped.comments:
        mark, colon, why = comment.text.strip().partition(":")
        if mark.strip().lower() not in MARKS:
            continue
        if mark in MARKS and colon and why.strip() and comment.own_line:
            marks[comment.line + 1] = mark
        else:
            problems.append(
                f"line {comment.line}: a mark is a line of its own, `%% added: why`: {comment.text}"
            )
    return marks, problems


def _corrected(fact: Fact, missing: Counter[Fact]) -> Fact | None:
    """The fact of the specification that `fact` takes the place of: of an edge, all but one thing is the same."""
    for old, times in missing.items():
        if times and (old.kind, old.name) == (fact.kind, fact.name):
            same = [a == b for a, b in zip(old.told, fact.told, strict=True)]
            if fact.kind != "edge" or same.count(False) == 1:
                return old
    return None


@pytest.fixture(scope="module")
def drawn() -> dict[str, Diagram]:
    """The ten diagrams of the specification by name."""
    return dict(zip(NAMES, read_all(SPECIFICATION), strict=True))


def text_of(name: str) -> str:
    return (DIAGRAMS / f"{name}.mmd").read_text(encoding="utf-8")


def shipped(name: str) -> Diagram:
    return parse(text_of(name), f"{name}.mmd")


def state_diagram(name: str) -> StateDiagram:
    diagram = shipped(name)
    assert isinstance(diagram, StateDiagram)
    return diagram


def test_there_is_one_diagram_for_each_of_the_specification() -> None:
    assert sorted(path.stem for path in DIAGRAMS.glob("*.mmd")) == sorted(NAMES)


@each
def test_nothing_is_missing_but_the_corrected_or_more_but_the_added(
    name: str, drawn: dict[str, Diagram]
) -> None:
    assert complaints(drawn[name], shipped(name)) == []


@each
def test_the_reader_has_nothing_to_remark(name: str) -> None:
    assert shipped(name).diagnostics == ()


@each_state_diagram
def test_mermaid_draws_every_state_in_the_composite_that_gives_it_edges(name: str) -> None:
    diagram = state_diagram(name)
    misdrawn = [
        f"{edge.source} is drawn in {diagram.state(edge.source).parent}, its edges are in {edge.scope}"
        for edge in diagram.transitions
        if not edge.from_start and (diagram.state(edge.source).parent or "root") != edge.scope
    ]
    assert misdrawn == []


@each_state_diagram
def test_every_state_leads_on_save_the_verdicts_of_error_recovery(name: str) -> None:
    diagram = state_diagram(name)
    sources = {edge.source for edge in diagram.transitions}
    leaves = {state.id for state in diagram.states if state.kind == "state"} - sources
    verdicts = {
        *("SetEnvVars", "UpdateBucketPolicy", "DeployCloudFormation", "CheckS3Paths", "ValidateJSONL"),
        *("CheckDLCImage", "RetryInvoke", "SkipPrompt", "SkipFile", "HaltTraining", "ReduceBatchSize"),
        *("CleanCheckpoints", "ResumeFromCheckpoint", "SavePartialModel", "UseLatin1", "RaiseLimit"),
    }
    assert leaves == (verdicts if name == "error_recovery" else set())


# That these tests can fail: every way of departing from the specification, at every line where it can be tried.


def without_each_edge(lines: list[str]) -> Iterator[list[str]]:
    for at, line in enumerate(lines):
        if "--" in line and "%%" not in line:
            yield lines[:at] + lines[at + 1 :]


def without_each_mark(lines: list[str]) -> Iterator[list[str]]:
    for at, line in enumerate(lines):
        if line.lstrip().startswith(("%% added:", "%% corrected:")):
            yield lines[:at] + lines[at + 1 :]


def with_each_label_changed(lines: list[str]) -> Iterator[list[str]]:
    """Labels of the edges that are as drawn: to change an added one is nobody's business here."""
    for at, line in enumerate(lines):
        if "%%" in lines[at - 1] or "%%" in line or "--" not in line:
            continue
        if " : " in line:
            yield [*lines[:at], line + " (changed)", *lines[at + 1 :]]
        elif "|" in line:
            before, label, after = line.split("|")
            yield [*lines[:at], f'{before}|"{label.strip(chr(34))} (changed)"|{after}', *lines[at + 1 :]]


def with_each_edge_marked(lines: list[str]) -> Iterator[list[str]]:
    for at, line in enumerate(lines):
        if "--" in line and "%%" not in line and "%%" not in lines[at - 1]:
            yield [*lines[:at], "%% added: no, it was drawn", *lines[at:]]
            yield [*lines[:at], "%% corrected: no, it is as drawn", *lines[at:]]


def with_an_edge_more(lines: list[str]) -> Iterator[list[str]]:
    for at, line in enumerate(lines):
        if "--" in line and "%%" not in line:
            yield [*lines[: at + 1], "Here --> There", *lines[at + 1 :]]
            yield [*lines[: at + 1], line, *lines[at + 1 :]]


MUTATIONS = (
    without_each_edge,
    without_each_mark,
    with_each_label_changed,
    with_each_edge_marked,
    with_an_edge_more,
)


@each
def test_every_departure_is_noticed(name: str, drawn: dict[str, Diagram]) -> None:
    lines = text_of(name).splitlines()
    tried = 0
    for mutate in MUTATIONS:
        for mutant in mutate(lines):
            text = "\n".join(mutant) + "\n"
            assert complaints(drawn[name], parse(text, name)), f"{mutate.__name__} goes unnoticed in:\n{text}"
            tried += 1
    assert tried > len(lines)


def test_a_complaint_names_the_edge() -> None:
    drawn = parse("stateDiagram-v2\n[*] --> A\nA --> B : Done\nB --> [*]\n")
    removed = parse("stateDiagram-v2\n[*] --> A\nA --> B : Done\n")
    assert complaints(drawn, removed) == ["missing: B --> [*] in root"]
    more = parse("stateDiagram-v2\n[*] --> A\nA --> B : Done\nA --> [*] : Failed\nB --> [*]\n")
    assert complaints(drawn, more) == [
        "line 4: not in the specification, and not marked: A --> [*] : Failed in root"
    ]
    changed = parse("stateDiagram-v2\n[*] --> A\n%% corrected: a better word\nA --> B : Ready\nB --> [*]\n")
    assert complaints(drawn, changed) == []
    blank = parse("stateDiagram-v2\n[*] --> A\n%% corrected:\nA --> B : Ready\nB --> [*]\n")
    assert len(complaints(drawn, blank)) == 3
