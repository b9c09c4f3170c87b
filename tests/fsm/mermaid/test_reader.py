"""What the reader gives beyond Mermaid's own picture: places, comments, diagnostics, errors, documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm.mermaid import Flowchart, MermaidError, StateDiagram, parse, read, read_all

V2 = "stateDiagram-v2\n"


def states(text: str) -> StateDiagram:
    diagram = parse(text)
    assert isinstance(diagram, StateDiagram)
    return diagram


def chart(text: str) -> Flowchart:
    diagram = parse(text)
    assert isinstance(diagram, Flowchart)
    return diagram


def refusal(text: str) -> MermaidError:
    with pytest.raises(MermaidError) as caught:
        parse(text, "x.mmd")
    return caught.value


def said(diagram: StateDiagram | Flowchart) -> list[str]:
    return [f"{one.line}:{one.column} {one.severity}: {one.message}" for one in diagram.diagnostics]


def test_a_label_keeps_its_colons_backticks_and_pipes() -> None:
    edges = states(V2 + "A --> B : Has ``` blocks: a | b\n").transitions
    assert [edge.label for edge in edges] == ["Has ``` blocks: a | b"]


def test_start_and_end_are_named_after_their_scope() -> None:
    edges = states(V2 + "[*] --> A\nstate A {\n  [*] --> b\n  b --> [*]\n}\n").transitions
    assert [(edge.source, edge.target, edge.from_start, edge.to_end) for edge in edges] == [
        ("root_start", "A", True, False),
        ("A_start", "b", True, False),
        ("b", "A_end", False, True),
    ]


def test_comments_keep_their_lines_and_edges_their_places() -> None:
    text = (
        "---\ntitle: T\n---\n%%{init: {}}%%\n"
        + V2
        + "\n  A --> B %% behind\n\n  %% added: why\n  B --> C : x\n%%\n"
    )
    diagram = states(text)
    assert diagram.title == "T"
    assert [(one.text, one.line, one.own_line) for one in diagram.comments] == [
        ("behind", 7, False),
        ("added: why", 9, True),
        ("", 11, True),
    ]
    assert [(edge.line, edge.column) for edge in diagram.transitions] == [(7, 3), (10, 3)]
    assert diagram.source == text


def test_comments_of_a_flowchart_keep_their_lines() -> None:
    diagram = chart("flowchart TD\n  A -->|Yes| B\n  %% corrected: leads to C\n  B -->|No| C\n")
    assert [(one.text, one.line) for one in diagram.comments] == [("corrected: leads to C", 3)]
    assert [(edge.source, edge.target, edge.label, edge.line) for edge in diagram.edges] == [
        ("A", "B", "Yes", 2),
        ("B", "C", "No", 4),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_and_a_byte_order_mark_read_alike(end: str) -> None:
    text = end.join(("stateDiagram-v2", "A --> B : x", "", "  state B {", "    c", "  }"))
    diagram = states("\ufeff" + text)
    assert [edge.label for edge in diagram.transitions] == ["x"]
    assert [(state.id, state.line, state.column) for state in diagram.states] == [
        ("A", 2, 1),
        ("B", 2, 7),
        ("c", 5, 5),
    ]


def test_a_state_of_two_composites_belongs_to_the_last_and_that_is_said() -> None:
    diagram = states(V2 + "state A {\n  y --> x\n}\nstate B {\n  z --> y\n}\n")
    assert diagram.state("y").parent == "B"
    assert diagram.state("y").scopes == ("A", "B")
    assert said(diagram) == ["6:9 warning: 'y' stood in 'A', from here on Mermaid draws it in 'B'"]


def test_a_state_drawn_where_it_gives_its_edges_is_no_surprise() -> None:
    diagram = states(V2 + "a --> x\nstate A {\n  x --> y\n}\nstate B {\n  y --> z\n}\n")
    assert (diagram.state("x").parent, diagram.state("y").parent) == ("A", "B")
    assert said(diagram) == []


def test_regions_are_numbered_within_their_composite() -> None:
    diagram = states(V2 + "state A {\n  x\n  --\n  state B {\n    y\n    --\n    z\n  }\n}\n")
    assert [(state.id, state.kind, state.parent) for state in diagram.states] == [
        ("A", "composite", None),
        ("A__region1", "region", "A"),
        ("x", "state", "A__region1"),
        ("A__region2", "region", "A"),
        ("B", "composite", "A__region2"),
        ("B__region1", "region", "B"),
        ("y", "state", "B__region1"),
        ("B__region2", "region", "B"),
        ("z", "state", "B__region2"),
    ]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("A --> B : one; two", "ends the label 'one'"),
        ("A --> B\nA --> B", "stands in line 2 already"),
        ("A --> B : go direction LR", "reads this whole line as `direction LR`"),
        ("state A", "draws nothing for `state A` alone"),
        ("A two", "'two' is a state of its own"),
        ("A --> B #2", "as a comment"),
        ('note "free" as N', "does not draw a floating note"),
        ("A\nnote left of A:text", "cuts the first two characters"),
        ("note left of A : text", "cannot draw 'A'"),
        ("A --> F\nstate F <<fork>>", "before it is declared a fork"),
        ("state C <<choice>>\nC : text", "draws the choice 'C' as a box"),
        ("state A {\n  x\n  --\n}", "draws no regions"),
        ("state A {\n  b\n}\nstate A {\n  c\n}", "more than one body"),
        ("state A {\n  A\n}", "inside itself"),
        ("state A {\n  class b c\n  b\n}", "ignores `class` inside"),
        ("A:::x", "only to the ends of an edge"),
        ("A\nclass B x", "names 'B', which is not a state"),
        ("A\nhide empty description", "has no effect"),
        ("A --> B : ", "empty label"),
        ("accDescr {\n A", "swallows the rest"),
        ("root", "no state named 'root'"),
        ("A\n}", "reads '}' as the name of a state"),
        ("A --> B : go %% why", "2:14 warning: Mermaid takes `%%` for a part of the label 'go %% why'"),
        ("A --> B : go %%", "for a part of the label"),
        ("A : words %% why", "2:11 warning: Mermaid takes `%%`"),
        ('state "words %% why" as A', "2:14 warning: Mermaid takes `%%`"),
        ("A\nnote left of A : words %% why", "for a part of the label"),
        ("A --> B : then --> C", "the arrow is a part of the label"),
        ("A --> B : [*] again", "draws no start and no end"),
        ("A --> B :: go", "takes the second ':' for a part"),
        ('A --> B : "go"', "draws the quotes"),
        ('A --> B : "go', "never closed, and Mermaid draws it"),
        ("A --> B : two\twords", "2:14 warning: the label 'two\\twords' holds a tab"),
        ("A --> B : two\u00a0words", "NO-BREAK SPACE"),
        ("A\u200b --> B", "2:2 warning: the name 'A\\u200b' holds U+200B (ZERO WIDTH SPACE)"),
        ("A —> B", "2:3 warning: Mermaid reads '—>' as the name of a state; its arrow is `-->`"),
        ("A → B : go", "its arrow is `-->`"),
        ("A ==> B", "its arrow is `-->`"),
        ("A -->> B", "its arrow is `-->`"),
        ("A --> B ： go", "a full-width colon"),
        ("A：go", "2:2 warning: a full-width colon"),
        ("A --> B;", "2:8 warning: the ';' is a part of the name 'B;'"),
        ("A --> B, C", "the ',' is a part of the name"),
        ("[x] --> A", "has no shapes"),
        ("“A” --> B", "quotes are straight"),
        ("(*) --> A", "start and end are written `[*]`"),
        ("[∗] --> A", "start and end are written `[*]`"),
        ("// A", "a comment begins with `%%`"),
        ("/* A */", "a comment begins with `%%`"),
        ("A two --> B", "2:1 warning: 'A' is a state of its own"),
        ("state --> B", "is a word of Mermaid's own"),
        ("state f <<frok>>", "there is <<fork>>, <<join>> and <<choice>>"),
        ("%%{init: {}\nA --> B", "2:1 warning: the directive is never closed by `}%%`"),
        ("%% {init: {}}%%\nA --> B", "2:1 warning: this is a comment to Mermaid"),
        ("state A {\n  state B {\n    x --> A\n  }\n}", "4:11 error: 'A' is drawn inside itself"),
        ("state A {\n  A --> A : again\n}", "3:3 error: 'A' is drawn inside itself"),
    ],
)
def test_what_mermaid_swallows_in_a_state_diagram_is_a_diagnostic(body: str, what: str) -> None:
    assert any(what in message for message in said(states(V2 + body + "\n")))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("A --> B\nA --> B", "stands in line 2 already"),
        ("A ---oB", "takes the 'o' for a circle"),
        ("direction LR\nA", "outside a subgraph"),
        ("A x-- t --> B", "do not fit together"),
        ("A[x]\nA[y]", "shows the last one"),
        ("subgraph a\n x\nend\nsubgraph b\n x\nend", "in the subgraph 'a' already"),
        ("subgraph a\n subgraph b\n  a\n end\nend", "inside itself"),
        ("class A b", "is no node before it"),
        ("style A fill:red", "is no node before it"),
        ("A e1@--> B\ne1[x]", "is the id of an edge"),
        ('A["x %% y"]', "2:6 warning: Mermaid takes `%%` for a part of the text 'x %% y'"),
        ("A -->|x %% y| B", "for a part of the text"),
        ("A[x %% y]", "for a part of the text"),
        ("A[two\twords]", "holds a tab"),
        ("%%{init: {}\nA --> B", "the directive is never closed"),
    ],
)
def test_what_mermaid_swallows_in_a_flowchart_is_a_diagnostic(body: str, what: str) -> None:
    assert any(what in message for message in said(chart("flowchart LR\n" + body + "\n")))


@pytest.mark.parametrize(
    "body",
    [
        "A --> B %% a comment behind an edge without a label",
        "%% a comment\nA --> B",
        "A --> B : 50% done: yes, (a-b) + c_d / e's f# {g} [h] <i> -- j",
        "A --> B : direction",
        "A --> B : Ünï → ≥ 3 “words”",
        "A --> B : `a` \\n b",
        'A --> B : say "a" and "b"',
        "A\t-->\tB :\tgo   ",
        "Ä_1.b --> 終わり : go",
        "%%{init: {}}%%\nA --> B",
        "state f <<fork>>\nA --> f\nf --> B",
        "A --> B\nnote left of A\n  - a: b; c --> d\nend note",
    ],
)
def test_words_that_mean_what_they_say_are_not_remarked(body: str) -> None:
    assert said(states(V2 + body + "\n")) == []


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("note --> A", "'note' is a word of Mermaid's own and names no state"),
        ("A --> state", "'state' is a word of Mermaid's own"),
        ("class --> A : go", "'class' is a word of Mermaid's own"),
        ("A -> B", "an arrow is `-->`"),
        ("-- words", "a comment begins with `%%`"),
        ("<!-- words -->", "a comment begins with `%%`"),
        ("state “A b” as A", "quotes are straight"),
        ("A\nnote left of A\nwords\nA --> B", "the note is never closed"),
    ],
)
def test_what_a_refused_line_most_likely_wants_is_said(body: str, what: str) -> None:
    with pytest.raises(MermaidError) as refused:
        states(V2 + body + "\n")
    assert what in str(refused.value)


def test_a_comment_behind_an_edge_of_a_flowchart_is_refused_with_advice() -> None:
    with pytest.raises(MermaidError, match="a comment stands on a line of its own"):
        chart("flowchart LR\nA --> B %% why\n")


def test_a_plain_diagram_has_no_diagnostics() -> None:
    assert (
        said(states(V2 + "[*] --> A\nA --> B : x\nstate B {\n  [*] --> c\n  c --> [*] : y\n}\nB --> [*]\n"))
        == []
    )
    assert (
        said(
            chart(
                'flowchart TD\n  A["x"] --> B{"y?"}\n  B -->|Yes| C\n  subgraph s["t"]\n    D --> E\n  end\n'
            )
        )
        == []
    )


def test_an_error_shows_the_place_the_line_and_what_was_expected() -> None:
    error = refusal(V2 + "%% why\n\n\tA --> B{\n")
    assert (error.file, error.line, error.column) == ("x.mmd", 4, 9)
    assert str(refusal("flowchart LR\n  A[text (x)] --> B\n")) == (
        "x.mmd:2:10: error: unexpected '(' (expected ']', the text in double quotes)\n"
        "      A[text (x)] --> B\n"
        "             ^"
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ("", 1, 1, "no diagram"),
        ("sequenceDiagram\nA->>B: x", 1, 1, "'sequenceDiagram' is not read here"),
        (V2 + "A --> my-state", 2, 9, "a dash ends a name"),
        (V2 + "state A B {\n}", 2, 7, "a single word"),
        (V2 + "state A {\n B", 2, 7, "the body of 'A' is never closed"),
        (V2 + "A\n{\n}", 3, 1, "unexpected '{'"),
        (V2 + "A : x\nA : y\nstate A {\n}", 2, 1, "more than one description"),
        ("---\ntitle: T\na: [\n---\n" + V2, 3, 1, "not YAML"),
        ("---\na: 1\na: 2\n---\n" + V2, 3, 1, "stands twice"),
        ("flowchart LR\nA --> end\n", 2, 7, "it closes a subgraph"),
        ("flowchart LR\nsubgraph a\nB\n", 2, 1, "never closed"),
        ("flowchart LR\nsubgraph\nB\nend\n", 2, 1, "without a name"),
        ("flowchart LR\nA@{ shape: nope }\n", 2, 2, "no such shape: nope"),
        ("flowchart LR\nA-->B\nlinkStyle 1 color:red\n", 3, 1, "names edge 1"),
    ],
)
def test_a_refusal_says_where_and_what(text: str, line: int, column: int, what: str) -> None:
    error = refusal(text)
    assert what in str(error)
    assert (error.line, error.column) == (line, column)


def test_a_document_gives_all_its_diagrams_and_counts_lines_from_its_top(tmp_path: Path) -> None:
    path = tmp_path / "all.md"
    path.write_text(
        "# Title\n\n```python\nx = '```mermaid'\n```\n\n```mermaid\n---\ntitle: T\n---\nstateDiagram-v2\n"
        "A --> B : Has ``` blocks\n```\n\n````mermaid\nflowchart LR\nA --> B\n```\n````\n"
    )
    first, second = read_all(path)
    assert isinstance(first, StateDiagram)
    assert (first.title, first.transitions[0].label, first.transitions[0].line) == ("T", "Has ``` blocks", 12)
    assert isinstance(second, Flowchart)
    assert [(node.id, node.line) for node in second.nodes] == [("A", 17), ("B", 17), ("```", 18)]


def test_read_takes_one_diagram_plain_or_fenced(tmp_path: Path) -> None:
    path = tmp_path / "one.mmd"
    path.write_bytes(b"\xef\xbb\xbfstateDiagram-v2\r\nA --> B\r\n")
    assert read(path) == read(str(path))
    path.write_text("```mermaid\ngraph TD;A-->B\n```\n")
    assert read(path).file == str(path)
    document = tmp_path / "two.md"
    document.write_text("```mermaid\ngraph TD;A-->B\n```\n" * 2)
    with pytest.raises(MermaidError, match="holds 2 drawings"):
        read(document)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"stateDiagram-v2\n\xff", r":2:1: error: the file is not UTF-8 text \(byte 0xff"),
        (b"text\n```mermaid\ngraph TD;A-->B\n", "the fence is never closed"),
        (b"# no diagram\n", "no drawing is in this page"),
    ],
)
def test_a_file_without_a_whole_diagram_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "x.md"
    path.write_bytes(content)
    with pytest.raises(MermaidError, match=what):
        read_all(path)


def test_what_mermaid_would_not_draw_for_its_size_is_read_and_said() -> None:
    (text,) = parse("stateDiagram-v2\n    [*] --> A : " + "long " * 10_000, first_line=7).diagnostics
    assert (text.severity, text.line) == ("warning", 7)
    assert "more than 50000 characters, and this one has 500" in text.message
