"""Laws of the reader: it raises one error only, costs linear time, and reads back what a diagram is written as."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fsm.mermaid import Flowchart, MermaidError, StateDiagram, dump, parse
from fsm.mermaid.flow_scanner import FlowScanner
from fsm.mermaid.scan import Scanner
from fsm.mermaid.source import prepare
from fsm.mermaid.state_scanner import StateScanner

SEEDS = (
    "stateDiagram-v2\n[*] --> A\nA --> B : x: y\nstate B {\n  [*] --> C\n  --\n  D\n}\nstate f <<fork>>\nnote left of A : t\n",
    'stateDiagram\nstate "d" as A {\n  b --> [*] %% c\n}\nnote right of A\n  two\nend note\nclassDef x fill:#f00\nclass A x\n',
    'flowchart TD\n  A["x"] -->|Yes| B{y} -- no --> C & D\n  subgraph s["t"]\n    E@{ shape: diam }\n  end\n  style A fill:red\n',
)
WORDS = (
    "stateDiagram-v2 flowchart subgraph end state note class style click direction LR [*] --> --- -- : ::: ; %% %%{ }%% # "
    '{ } [ ] ( ) (( [[ | & > @{ @ " ` <<fork>> -.-> ==> ~~~ accDescr{ --- \n \t \r\n A B é 😀'
)
TOKENS = st.sampled_from(WORDS.split(" "))


def attempt(text: str) -> None:
    """Read a text; a diagram must dump as JSON and have its places inside the text."""
    try:
        diagram = parse(text)
    except MermaidError as error:
        places = [(error.line, error.column)]
        str(error)
    else:
        places = [(one.line, one.column) for one in diagram.diagnostics]
        json.dumps(dump(diagram))
    lines = text.count("\n") + text.count("\r") + 1
    assert all(1 <= line <= lines and column >= 1 for line, column in places)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(("", "stateDiagram-v2\n", "flowchart LR\n", "---\n")), st.text(max_size=80))
def test_random_text_is_a_diagram_or_a_mermaid_error(head: str, text: str) -> None:
    attempt(head + text)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(("stateDiagram-v2\n", "flowchart LR\n")),
    st.lists(TOKENS, max_size=30),
    st.sampled_from((" ", "")),
)
@example("stateDiagram-v2\n", ["\ud800"], "")
def test_soup_of_the_grammars_words_is_a_diagram_or_a_mermaid_error(
    head: str, words: list[str], glue: str
) -> None:
    attempt(head + glue.join(words))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 8), st.one_of(TOKENS, st.text(max_size=3))), max_size=4
    ),
)
def test_a_mutated_diagram_is_a_diagram_or_a_mermaid_error(
    seed: str, edits: list[tuple[float, int, str]]
) -> None:
    for where, cut, word in edits:
        at = round(where * len(seed))
        seed = seed[:at] + word + seed[at + cut :]
    attempt(seed)


def steps(text: str) -> int:
    prepared = prepare(text, "<text>")
    scanner: Scanner = StateScanner(prepared) if text.startswith("state") else FlowScanner(prepared)
    try:
        for _ in scanner:
            pass
    except MermaidError:
        pass
    return scanner.steps


REPEATED: dict[str, Callable[[int], str]] = {
    "names": lambda n: "stateDiagram-v2\n" + "a " * n,
    "state after state": lambda n: "stateDiagram-v2\n" + "state a " * n,
    "directions that are none": lambda n: "stateDiagram-v2\n" + "direction " * n,
    "blank lines": lambda n: "stateDiagram-v2\n" + " \n" * n + "a",
    "end note inside a line": lambda n: "stateDiagram-v2\nnote left of a\n" + "x end note " * n,
    "white space before end note": lambda n: "stateDiagram-v2\nnote left of a\n" + " " * n + "end note " * n,
    "percent signs": lambda n: "stateDiagram-v2\n" + "a%%{" * n,
    "nesting": lambda n: "stateDiagram-v2\n" + "state a {\n" * n + "}\n" * n,
    "white space in a chart": lambda n: "flowchart LR\n" + "\n " * n + "A",
    "text of an edge": lambda n: "flowchart LR\nA -- " + "x  " * n + "--> B",
    "text of an ellipse": lambda n: "flowchart LR\nA(-" + " ~~ " * n + "-)",
    "dashes": lambda n: "flowchart LR\nA" + "-" * n,
    "chains": lambda n: "flowchart LR\n" + "A --> " * n + "A",
    "words with an at sign": lambda n: "flowchart LR\n" + "a&" * n + "@b",
}


@pytest.mark.parametrize("name", REPEATED)
def test_twice_the_text_costs_at_most_twice_the_steps(name: str) -> None:
    small, large = steps(REPEATED[name](400)), steps(REPEATED[name](800))
    assert large <= 2.1 * small + 200
    assert small <= 80 * len(REPEATED[name](400))


def test_nesting_deeper_than_python_recurses_is_read() -> None:
    deep = parse(
        "stateDiagram-v2\n" + "".join(f"state s{i} {{\n" for i in range(3000)) + "x\n" + "}\n" * 3000
    )
    assert isinstance(deep, StateDiagram)
    assert deep.state("x").parent == "s2999"
    chart = parse(
        "flowchart LR\n" + "".join(f"subgraph s{i}\n" for i in range(3000)) + "x\n" + "end\n" * 3000
    )
    assert isinstance(chart, Flowchart)
    assert chart.node("x").parent == "s2999"


# -- reading back what is written --------------------------------------------------------------------------

NAMES = [f"S{i}" for i in range(6)]
LABELS = st.text(st.sampled_from("abc XYZ09:`|()<>[]+*/=.,!?_$é漢-"), min_size=1, max_size=12).map(str.strip).filter(
    lambda text: text and ":" not in (text[0], text[-1]) and "::" not in text and "direction" not in text
)  # fmt: skip
EDGES = st.lists(
    st.tuples(st.sampled_from(["[*]", *NAMES]), st.sampled_from(["[*]", *NAMES]), st.none() | LABELS),
    max_size=8,
)
QUOTED = LABELS.filter(lambda text: not text.startswith("`"))  # "` opens a markdown text
BODIES = st.recursive(EDGES, lambda inner: st.tuples(EDGES, st.lists(inner, max_size=2)), max_leaves=4)


def written(
    body: object, depth: int, counter: list[int], edges: list[tuple[str, str, str | None, str]], scope: str
) -> str:
    """A body as Mermaid writes it; the edges that must be read are appended to ``edges``."""
    own, inner = body if isinstance(body, tuple) else (body, [])
    pad = "  " * depth
    lines = []
    for source, target, label in own:
        lines.append(f"{pad}{source} --> {target}" + (f" : {label}" if label else ""))
        first = f"{scope}_start" if source == "[*]" else source
        last = f"{scope}_end" if target == "[*]" else target
        edges.append((first, last, label, scope))
    for part in inner:
        counter[0] += 1
        name = f"C{counter[0]}"
        lines.append(f"{pad}state {name} {{")
        lines.append(written(part, depth + 1, counter, edges, name))
        lines.append(f"{pad}}}")
    return "\n".join(lines)


@settings(max_examples=100, deadline=None)
@given(BODIES)
def test_a_written_state_diagram_is_read_back(body: object) -> None:
    edges: list[tuple[str, str, str | None, str]] = []
    diagram = parse("stateDiagram-v2\n" + written(body, 1, [0], edges, "root") + "\n")
    assert isinstance(diagram, StateDiagram)
    assert [(edge.source, edge.target, edge.label, edge.scope) for edge in diagram.transitions] == edges


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.none() | QUOTED, st.none() | QUOTED),
        max_size=8,
    )
)
def test_a_written_flowchart_is_read_back(edges: list[tuple[str, str, str | None, str | None]]) -> None:
    texts: dict[str, str] = {}
    lines = ["flowchart TD"]
    for source, target, label, text in edges:
        shown = f'{source}["{text}"]' if text else source
        texts.setdefault(source, source)
        if text:
            texts[source] = text
        texts.setdefault(target, target)
        lines.append(f"  {shown} -->" + (f'|"{label}"| ' if label else " ") + target)
    diagram = parse("\n".join(lines) + "\n")
    assert isinstance(diagram, Flowchart)
    assert [(edge.source, edge.target, edge.label) for edge in diagram.edges] == [edge[:3] for edge in edges]
    assert {node.id: node.label for node in diagram.nodes} == texts
