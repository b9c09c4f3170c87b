"""Drawings are found where people keep them: files, fences of pages, directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm import mermaid
from fsm.mermaid import MermaidError

DRAWING = "stateDiagram-v2\n    [*] --> A\n    A --> [*]\n"
FENCE = f"```mermaid\n{DRAWING}```\n"


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text, "utf-8")
    return path


def names(where: Path) -> list[str]:
    return [one.name for one in mermaid.find_all(where)]


def test_fences_are_named_after_the_heading_above_as_github_links_to_it(tmp_path: Path) -> None:
    text = f"{FENCE}# The *Retry* policy, 2nd!\n{FENCE}text\n{FENCE}```sh\n# no heading\n```\n{FENCE}## Größe ##\n{FENCE}"
    path = page(tmp_path, text)
    assert names(path) == [
        "1",
        "the-retry-policy-2nd",
        "the-retry-policy-2nd-2",
        "the-retry-policy-2nd-3",
        "größe",
    ]


def test_a_fence_is_found_by_name_or_number_and_knows_its_line(tmp_path: Path) -> None:
    path = page(tmp_path, f"# One\n\n{FENCE}\n# Two\n{FENCE}")
    two = mermaid.find(f"{path}#two")
    assert two == mermaid.find(f"{path}#2")
    assert (two.text, two.line, two.where) == (DRAWING, 11, f"{path}#two")
    diagram = mermaid.read(f"{path}#two")
    assert isinstance(diagram, mermaid.StateDiagram)
    assert diagram.transitions[0].line == 12


def test_a_page_of_one_drawing_needs_no_name(tmp_path: Path) -> None:
    assert mermaid.find(page(tmp_path, f"# Only\n{FENCE}")).fence == "only"


def test_a_hash_in_a_file_s_own_name_is_no_fence(tmp_path: Path) -> None:
    path = tmp_path / "a#b.mmd"
    path.write_text(DRAWING)
    assert mermaid.find(path).file == path


def test_a_directory_is_all_below_it_in_the_order_of_paths(tmp_path: Path) -> None:
    for name in ("b.mmd", "a/z.mermaid", ".git/hidden.mmd", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(DRAWING)
    page(tmp_path, f"# In a page\n{FENCE}")
    (tmp_path / "readme.md").write_text("no drawing\n")
    assert names(tmp_path) == ["z", "b", "in-a-page"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "page.md",
            "it holds 2 drawings where one is wanted: name one of them (expected page.md#one, page.md#two)",
        ),
        ("page.md#three", "there is no drawing 'three' in page.md (expected page.md#one, page.md#two)"),
        ("bare.md", "no drawing is in this page (expected a fence that begins with ```mermaid)"),
        ("empty", "no drawing is below empty"),
        (".#one", "is a directory"),
    ],
)
def test_what_is_not_one_drawing_is_told_with_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    page(tmp_path, f"# One\n{FENCE}# Two\n{FENCE}")
    Path("bare.md").write_text("stateDiagram-v2\n")
    Path("empty").mkdir()
    with pytest.raises(MermaidError) as refused:
        mermaid.find(where)
    assert said in str(refused.value)
