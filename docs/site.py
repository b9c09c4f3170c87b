"""What the site has beside the pages of this folder: the pages of the project's root, the files that pages link to, and Mermaid itself."""

import re
from collections.abc import Iterator
from importlib.resources import files as package
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages of the root, and what they are in the site."""
FIRST = ("index.md", "tutorial.md", "extending.md", "checks.md", "live.md", "api.md")
SOURCE = "source"
"""The folder of the site with the files of the project that pages link to."""
LINK = re.compile(r"(\]\(|href=\")(?!https?:|#)([^)\s\"#]+)")
MERMAID = "assets/mermaid.js"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.extra_javascript.append(MERMAID)  # the theme takes it, and fetches none from elsewhere
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside this folder."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    linked = {
        target
        for page in files.documentation_pages()
        for target in _linked(page)
        if _in_the_site(target) == f"{SOURCE}/{target}"
    }
    for target in sorted(linked):
        files.append(File.generated(config, f"{SOURCE}/{target}", abs_src_path=str(ROOT / target)))
    files.append(
        File.generated(config, MERMAID, abs_src_path=str(package("mermaidx") / "assets" / "mermaid.js"))
    )
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let its links lead to where things are in the site; a link to nothing stays, and mkdocs complains of it."""
    return LINK.sub(lambda link: link[1] + (_in_the_site(_target(page.file, link[2])) or link[2]), markdown)


def on_nav(nav: Navigation, **_: Any) -> Navigation:
    """What is read first comes first, the rest by name."""

    def place(item: Any) -> tuple[int, str]:
        name = item.file.src_uri if isinstance(item, Page) else ""
        return (FIRST.index(name) if name in FIRST else len(FIRST), name)

    nav.items.sort(key=place)
    return nav


def _linked(page: File) -> Iterator[str]:
    for link in LINK.finditer(page.content_string):
        yield _target(page, link[2])


def _target(page: File, path: str) -> str:
    """What a link of a page leads to, from the root of the project."""
    at_root = page.src_uri in PAGES.values()
    return str(Path((ROOT / ("" if at_root else "docs") / path).resolve()).relative_to(ROOT))


def _in_the_site(target: str) -> str | None:
    """Where a file of the project is in the site; None where there is no such file."""
    if target in PAGES:
        return PAGES[target]
    if not (ROOT / target).is_file():
        return None
    return target.removeprefix("docs/") if target.startswith("docs/") else f"{SOURCE}/{target}"
