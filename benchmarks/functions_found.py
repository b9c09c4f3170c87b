"""Which functions of real trees data preparation finds, beside ctags; and what finding them costs, beside bare parsing.

    python -m benchmarks.functions_found [--rounds 5] [--small]

The trees are source packages of the machine's own Debian, fetched once below build/benchmarks/. ctags (universal-ctags) says
which functions there are and on which line each ends; a macro that stands for a whole head (TEST(a, b) {) is one to both.
--small leaves out the linux source, which is by far the largest. Writes results/functions_found.json.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import trees
from benchmarks.common import Goal, in_turns, machine, measure, table, write
from phases.data_preparation.comments import header
from phases.data_preparation.declarators import parser
from phases.data_preparation.examples import Origin, choose_template, function_example
from phases.data_preparation.functions import EMPTY_BODY, find_functions
from phases.data_preparation.identity import md5s
from phases.data_preparation.licences import declared
from phases.data_preparation.redaction import redact
from phases.decoding import NotText, decode_latin1, decode_utf8

C_TREES: dict[str, tuple[str, ...]] = {
    "linuxptp": (),
    "lldpd": (),
    "iproute2": (),
    "gstreamer1.0": (),
    "linux": ("drivers/net",),
}
CPP_TREES = ("leveldb", "rapidjson", "tinyxml2")
HEADERS, SOURCES = (".h", ".hh", ".hpp"), (".cc", ".cpp", ".cxx")
MOST = 1_000_000  # bytes: data_preparation.max_file_bytes
SAMPLE = 8 << 20  # bytes that are parsed in a round


@dataclass
class Count:
    """Of one kind of files: ctags' functions, those of them that are found, those that end on the same line."""

    name: str
    ctags: int = 0
    found: int = 0
    named: int = 0  # ... by the same name
    empty: int = 0  # ... and left out, for an empty body
    same_end: int = 0
    more: int = 0  # that ctags does not have
    not_found: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.found / max(1, self.ctags)

    @property
    def ends(self) -> float:
        return self.same_end / max(1, self.found - self.empty)

    def __add__(self, other: Count) -> Count:
        mine, theirs = asdict(self), asdict(other)
        return Count(self.name, **{key: mine[key] + theirs[key] for key in mine if key != "name"})


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--small", action="store_true")
    asked = words.parse_args()
    roots = {
        name: trees.tree(name, *folders) for name, folders in C_TREES.items() if not (asked.small and folders)
    }
    of_c = [counted(name, root, "C", (".c", ".h")) for name, root in roots.items()]
    whole = {
        "C": sum(of_c, Count("C, all")),
        "headers": sum((counted(n, trees.tree(n), "C++", HEADERS) for n in CPP_TREES), Count("C++, headers")),
        "sources": sum((counted(n, trees.tree(n), "C++", SOURCES) for n in CPP_TREES), Count("C++, sources")),
    }
    shown = [*of_c, *whole.values()]
    print(_shown(shown))
    texts = [text for root in roots.values() for _, text in _texts(root, (".c", ".h"))]
    random.Random(42).shuffle(texts)
    made_of = prompts(texts)
    print(f"prompts: {', '.join(f'{name} {n:,}' for name, n in made_of.items())}")
    costs = in_turns(asked.rounds, *_contestants(texts))
    goal = Goal("ratio", ">=", 0.65)
    measures = [
        measure("functions and examples", "MB/s", "bare parsing", [(a, b) for a, b, _ in costs], goal),
        measure("... and licence and redaction", "MB/s", "bare parsing", [(c, b) for _, b, c in costs], goal),
    ]
    print(table(measures))
    names = (*roots, *CPP_TREES)
    write(
        "functions_found",
        measures,
        machine=machine(("tree-sitter", "tree-sitter-c", "tree-sitter-cpp")),
        ctags=_version(),
        packages=trees.versions(*names),
        prompts=dict(made_of),
        found=[asdict(count) | {"share": count.share, "same_end_share": count.ends} for count in shown],
    )
    bars = (
        (whole["C"].share, 0.995),
        (whole["C"].ends, 0.99),
        (whole["headers"].share, 0.99),
        (whole["sources"].share, 0.90),
    )
    return int(any(found < bar for found, bar in bars) or any(m.met is False for m in measures))


def counted(name: str, root: Path, language: str, suffixes: tuple[str, ...]) -> Count:
    """The functions of one tree beside ctags'."""
    count = Count(name)
    wanted = tags(root, language, suffixes)
    for path, text in _texts(root, suffixes):
        found = find_functions(str(path), text)
        ours = {function.line: (_last(function.name), function.last) for function in found.functions}
        empty = {left.line: _last(left.name) for left in found.left_out if left.reason == EMPTY_BODY}
        theirs = wanted.pop(str(path), [])
        for tag in theirs:
            line, said = tag["line"], tag["name"].replace(" ", "").rpartition("::")[2]
            count.ctags += 1
            if line not in ours and line not in empty:
                count.not_found.append(f"{path.relative_to(root)}:{line} {tag['name']}")
                continue
            count.found += 1
            count.empty += line in empty
            count.named += (empty.get(line) or ours[line][0]) == said
            count.same_end += line in ours and ours[line][1] == tag.get("end")
        count.more += len(set(ours) - {tag["line"] for tag in theirs})
    return count


def tags(root: Path, language: str, suffixes: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """ctags' functions by file."""
    files = "\n".join(str(path) for path, _ in _texts(root, suffixes))
    asked = ["ctags", f"--language-force={language}", f"--kinds-{language}=f", "--fields=+ne", "--output-format=json"]  # fmt: skip
    try:
        said = subprocess.run([*asked, "-f", "-", "-L", "-"], input=files, capture_output=True, text=True, check=True)  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as e:
        raise SystemExit(
            f"universal-ctags cannot be run: {e}. On Debian it is a package of that name."
        ) from e
    found: dict[str, list[dict[str, Any]]] = {}
    for line in said.stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") == "tag":
            found.setdefault(tag["path"], []).append(tag)
    return found


def prompts(texts: list[str]) -> Counter[str]:
    """What the prompts of a tree's functions are made of."""
    found: Counter[str] = Counter()
    for text in texts:
        of = find_functions("a.c", text)
        for function in of.functions:
            found[function_example(function, 0, of.language, Origin("a.c", "TSN")).prompt_from] += 1
    return found


def _contestants(texts: list[str]) -> Any:
    chosen: list[str] = []
    for text in texts:
        if sum(map(len, chosen)) >= SAMPLE:
            break
        chosen.append(text)
    contents = [text.encode() for text in chosen]
    size = sum(map(len, contents)) / 1e6

    def timed(work: Any) -> Any:
        def go() -> float:
            begun = time.process_time()
            for number in range(len(chosen)):
                work(number)
            return float(size / (time.process_time() - begun))

        return go

    def examples(text: str) -> None:
        found, origin = find_functions("a.c", text), Origin("a.c", "TSN")
        made = [
            function_example(function, choose_template(function, 42), found.language, origin)
            for function in found.functions
        ]
        for example, md5 in zip(made, md5s([example.identity for example in made]), strict=True):
            example.row(md5)

    def all_of_it(text: str) -> None:
        declared(header(text))
        examples(redact(text)[0])

    bare = parser("C")
    return (
        timed(lambda number: examples(chosen[number])),
        timed(lambda number: bare.parse(contents[number])),
        timed(lambda number: all_of_it(chosen[number])),
    )


def _texts(root: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """The files of a tree as data preparation reads them, in key order."""
    for path in sorted(root.rglob("*")):
        if path.suffix in suffixes and path.is_file() and path.stat().st_size <= MOST:
            content = path.read_bytes()
            try:
                yield path, decode_utf8(content)
            except NotText:
                try:
                    yield path, decode_latin1(content)
                except NotText:
                    continue


def _last(name: str) -> str:
    """What ctags calls a function: without its scope and, of a macro that stands for a head, without its arguments."""
    operator = name.find("operator")
    if operator >= 0 and (operator == 0 or name[operator - 1] == ":"):
        return name[operator:].replace(" ", "")
    return name.partition("(")[0].rpartition("::")[2]


def _shown(counts: list[Count]) -> str:
    lines = [f"{'':24}{'ctags':>8}{'found':>8}{'share':>9}{'same name':>10}{'same end':>9}{'more':>6}"]
    lines += [
        f"{c.name:24}{c.ctags:8,}{c.found:8,}{c.share:9.3%}{c.named / max(1, c.found):10.2%}{c.ends:9.2%}{c.more:6,}"
        for c in counts
    ]
    return "\n".join(lines)


def _version() -> str:
    said = subprocess.run(["ctags", "--version"], capture_output=True, text=True, check=True).stdout
    return said.partition(",")[0]


if __name__ == "__main__":
    sys.exit(main())
