"""Where the real code that is scored comes from: the sources of the machine's own packages, by lists of our own."""

from __future__ import annotations

from pathlib import Path

from benchmarks.trees import source_lines, source_stanzas, write_sources

ONE_LINE = """\
# the machine's own
deb [signed-by=/usr/share/keyrings/a.gpg] http://mirror.example/debian stable main # packages
deb-src http://mirror.example/debian stable main
#deb http://mirror.example/debian unstable main
  deb http://other.example/debian stable main contrib
"""
STANZAS = """\
# the machine's own
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: stable stable-updates
# a remark inside
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 Types: deb

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: stable
Components: main

types: deb-src
URIs: http://only.example/sources
Suites: stable
Components: main
"""


def test_a_one_line_list_becomes_one_of_sources() -> None:
    assert source_lines(ONE_LINE).splitlines() == [
        "deb-src [signed-by=/usr/share/keyrings/a.gpg] http://mirror.example/debian stable main # packages",
        "deb-src http://mirror.example/debian stable main",
        "deb-src http://other.example/debian stable main contrib",
    ]


def test_what_stands_there_as_both_is_named_once() -> None:
    both = "deb http://mirror.example/debian stable main\ndeb-src http://mirror.example/debian stable main\n"
    assert source_lines(both) == "deb-src http://mirror.example/debian stable main\n"


def test_a_deb822_list_becomes_one_of_sources_with_its_keys() -> None:
    both, only = source_stanzas(STANZAS).split("\n\n")
    assert both.splitlines() == [
        "Types: deb-src",
        "URIs: http://mirror.example/debian",
        "Suites: stable stable-updates",
        "Components: main",
        "Signed-By:",
        " -----BEGIN PGP PUBLIC KEY BLOCK-----",
        " .",
        " Types: deb",
    ]
    assert only.splitlines()[:2] == ["Types: deb-src", "URIs: http://only.example/sources"]


def test_the_machines_own_lists_stay_as_they_are(tmp_path: Path) -> None:
    own = tmp_path / "etc"
    own.mkdir()
    (own / "sources.list").write_text(ONE_LINE)
    (own / "debian.sources").write_text(STANZAS)
    where = tmp_path / "ours"
    stale = where / "sources.list.d" / "gone.sources"
    stale.parent.mkdir(parents=True)
    stale.write_text(STANZAS)
    options = write_sources([own / "sources.list", own / "debian.sources"], where)
    assert options == [
        f"Dir::Etc::sourcelist={where / 'sources.list'}",
        f"Dir::Etc::sourceparts={stale.parent}",
    ]
    assert (where / "sources.list").read_text() == source_lines(ONE_LINE)
    assert [(p.name, p.read_text()) for p in stale.parent.iterdir()] == [
        ("debian.sources", source_stanzas(STANZAS))
    ]
    assert (own / "sources.list").read_text() == ONE_LINE
    assert (own / "debian.sources").read_text() == STANZAS
