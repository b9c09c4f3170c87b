"""Fuzz the Mermaid reader: whatever the text, a diagram or a MermaidError, in time linear in the text.

    python benchmarks/fuzz_mermaid.py --seconds 600

Two parts. *Mutation*: diagrams of all kinds of statement are cut, joined and spiked with the grammar's own words;
anything raised but MermaidError is a failure, and so is a text that takes more than a millisecond a character.
*Growth*: texts that drive each rule to its worst are doubled four times; the exponent of their time is measured.
Prints a table and writes benchmarks/results/fuzz_mermaid.json. Exit code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fsm.mermaid import MermaidError, dump, parse

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "fuzz_mermaid.json"

STATE_SEEDS = (
    "stateDiagram-v2\n[*] --> A\nA --> B : go: on\nB --> [*]\nstate B {\n  direction LR\n  [*] --> C\n  --\n  [*] --> D\n}\n",
    'stateDiagram\nstate "Long name" as s1\nstate f <<fork>>\nstate j [[join]]\nf --> s1\nnote right of s1 : text\n',
    "---\ntitle: T\n---\n%%{init: {}}%%\nstateDiagram-v2\nnote left of A\n  two\n  lines\nend note\nA:::x --> B %% why\n",
    'stateDiagram-v2\nclassDef x fill:#f00,color:red;\nclass A,B x\nstyle A fill:#fff\nclick A "u" "t"\nscale 3 width\n',
    "stateDiagram-v2\naccTitle: t\naccDescr { a\n b }\nhide empty description\nA : x #quot; y\nA --> A\n",
)
FLOW_SEEDS = (
    'flowchart TD\n  A["x\\ny"] --> B{"q?"}\n  B -->|Yes| C(("c"))\n  B -- No --> D & E -.-> F\n',
    'graph LR;A-->B;subgraph one["t"]\n direction TB\n C[/d/] == t ==> D[(e)]\nend\nstyle A fill:#f9f,stroke:#333\n',
    'flowchart LR\n  A e1@--> B\n  e1@{ curve: linear }\n  A@{ shape: diam, label: "x" }\n  classDef c fill:#f96\n  class A c\n',
    'flowchart\n A(-e-) ~~~ B>odd]\n C{{h}} x--x D([s])\n linkStyle 0 stroke:red\n click A call f(1) "t"\n A:::c o--o B\n',
)
_STATE_WORDS = (
    "state note class classDef style click href default scale direction LR TB as end note [*] --> -- : :: ::: ; % %% "
    '%%{ }%% # { } " ` <<fork>> [[choice]] accTitle: accDescr{ hide width left of right --- \n \t \r\n \u2028 \ufeff é 😀'
)
_FLOW_WORDS = (
    "subgraph end style linkStyle classDef class click href call default interpolate graph flowchart direction LR TD "
    '--> --- -- ==> == -.-> -. .-> ~~~ <--> x--x o--o & | [ ] ( ) { } [[ ]] (( )) [/ /] [\\ \\] (- -) > @ @{ e@ " "` `" ; '
    ": ::: , # * v ^ . - = ! \\ _blank accTitle: accDescr{ %% %%{ }%% --- \n \t \r\n \u2028 é 😀 漢"
)
STATE_WORDS, FLOW_WORDS = (words.split(" ") for words in (_STATE_WORDS, _FLOW_WORDS))

# Worst cases of single rules: (name, text of size n).
GROWTH: dict[str, Callable[[int], str]] = {
    "state: names on one line": lambda n: "stateDiagram-v2\n" + "a " * n,
    "state: `state` on one line": lambda n: "stateDiagram-v2\n" + "state a " * n,
    "state: two words, no brace": lambda n: "stateDiagram-v2\n" + "state a b\n" * n,
    "state: directions in one line": lambda n: "stateDiagram-v2\n" + "a direction " * n,
    "state: nested bodies": lambda n: "stateDiagram-v2\n" + "state a {\n" * n + "}\n" * n,
    "state: regions": lambda n: "stateDiagram-v2\nstate a {\n" + "x --> y\n--\n" * n + "z\n}\n",
    "state: note without an end": lambda n: "stateDiagram-v2\nnote left of a\n" + "\n \n" * n,
    "state: end note without a line": lambda n: "stateDiagram-v2\nnote left of a\n" + "x end note " * n,
    "state: quotes": lambda n: "stateDiagram-v2\n" + "a\"" * n,
    "state: percent signs": lambda n: "stateDiagram-v2\n" + "a%%{" * n,
    "state: colons": lambda n: "stateDiagram-v2\nA --> B : " + "x:" * n + "y",
    "state: blank lines": lambda n: "stateDiagram-v2\n" + " \n" * n + "a",
    "state: comments": lambda n: "stateDiagram-v2\n" + "\n  %% c\n" * n,
    "state: bare comments": lambda n: "stateDiagram-v2\n" + " %%\n" * n,
    "state: class names": lambda n: "stateDiagram-v2\nclass " + "a, " * n,
    "state: edges": lambda n: "stateDiagram-v2\n" + "".join(f"a{i} --> b{i} : x{i}\n" for i in range(n)),
    "state: mentions in bodies": lambda n: "stateDiagram-v2\n" + "".join(f"state c{i} {{\nx\n}}\n" for i in range(n)),
    "text: unclosed directives": lambda n: "stateDiagram-v2\n" + "%%{a " * n,
    "text: unclosed tags": lambda n: "stateDiagram-v2\n" + "<a" * n,
    "text: entities": lambda n: "stateDiagram-v2\nA : " + "#a;" * n,
    "text: style lines": lambda n: "stateDiagram-v2\n" + "style a b:#c;" * n,
    "text: front matter fences": lambda n: "---\n" + " \n---x\n" * n,
    "text: front matter brackets": lambda n: "---\na: " + "[" * n + "\n---\nstateDiagram-v2\n",
    "text: front matter nesting": lambda n: "---\n" + "- " * n + "\n---\nstateDiagram-v2\n",
    "text: front matter keys": lambda n: "---\n" + "".join(f"k{i}: v\n" for i in range(n)) + "---\nstateDiagram-v2\n",
    "flow: chain": lambda n: "flowchart LR\n" + "A" + " --> A" * n,
    "flow: ampersands": lambda n: "flowchart LR\nA" + " & A" * n,
    "flow: edges of one pair": lambda n: "flowchart LR\n" + "A --> B\n" * n,
    "flow: nested subgraphs": lambda n: "flowchart LR\n" + "".join(f"subgraph s{i}\n" for i in range(n)) + "end\n" * n,
    "flow: edge text of blanks": lambda n: "flowchart LR\nA -- x" + " " * n + "y --> B",
    "flow: edge text of arrows": lambda n: "flowchart LR\nA -- " + "x " * n + "--> B",
    "flow: dotted text": lambda n: "flowchart LR\nA -. " + "- x " * n + ".-> B",
    "flow: alternating white space": lambda n: "flowchart LR\n" + "\n " * n + "A",
    "flow: white space behind a chart": lambda n: "flowchart" + " \n" * n + "A",
    "flow: unclosed text": lambda n: "flowchart LR\nA[" + "x " * n,
    "flow: ellipse": lambda n: "flowchart LR\nA(-" + " ~ " * n + "-)",
    "flow: ids with @": lambda n: "flowchart LR\n" + "a&" * n,
    "flow: numbers": lambda n: "flowchart LR\n" + "1:" * n,
    "flow: dashes": lambda n: "flowchart LR\nA" + "-" * n,
    "flow: dots": lambda n: "flowchart LR\nA " + "." * n,
    "flow: tildes": lambda n: "flowchart LR\nA " + "~" * n,
    "flow: braces and blanks": lambda n: "flowchart LR\n" + "A{x}  \n" * n,
    "flow: metadata": lambda n: "flowchart LR\n" + "A@{ shape: rect }\n" * n,
    "flow: metadata brackets": lambda n: "flowchart LR\nA@{ a: " + "[" * n + " }",
    "flow: metadata words": lambda n: "flowchart LR\nA@{ a: " + "x? " * n + "}",
    "flow: letters outside ASCII": lambda n: "flowchart LR\n" + "é" * n,
    "flow: link styles": lambda n: "flowchart LR\nA-->B\nlinkStyle " + "0," * n + "0 color:red",
}  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A text on which the reader did what it must not."""

    what: str
    text: str


def mutate(random_: random.Random, text: str, others: tuple[str, ...], words: list[str]) -> str:
    """One to six edits: a word in, characters out, a piece of another diagram in, lines repeated or swapped."""
    for _ in range(random_.choice((1, 1, 2, 2, 3, 6))):
        at = random_.randrange(len(text) + 1)
        kind = random_.random()
        if kind < 0.45:
            text = text[:at] + random_.choice(words) + random_.choice(("", " ")) + text[at:]
        elif kind < 0.65:
            text = text[:at] + text[at + random_.choice((1, 1, 2, 5, 20)) :]
        elif kind < 0.8:
            other = random_.choice(others)
            start = random_.randrange(len(other))
            text = text[:at] + other[start : start + random_.choice((3, 12, 40))] + text[at:]
        elif kind < 0.9:
            text = text[:at] + chr(random_.randrange(0x250)) * random_.choice((1, 1, 3)) + text[at:]
        else:
            lines = text.split("\n")
            lines.insert(random_.randrange(len(lines) + 1), random_.choice(lines))
            text = "\n".join(lines)
    return text


def fuzz(seconds: float, seed: int) -> tuple[Counter[str], list[Failure], float]:
    """Mutate for so many seconds: what came out how often, the failures, the slowest microseconds a character."""
    random_ = random.Random(seed)
    kinds = ((STATE_SEEDS, STATE_WORDS), (FLOW_SEEDS, FLOW_WORDS))
    pools = [list(seeds) for seeds, _ in kinds]
    outcomes: Counter[str] = Counter()
    failures: list[Failure] = []
    slowest = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        which = random_.randrange(2)
        seeds, words = kinds[which]
        text = mutate(random_, random_.choice(pools[which]), seeds, words)
        begin = time.process_time()
        try:
            diagram = parse(text)
            json.dumps(dump(diagram))
            outcomes["diagram"] += 1
            outcomes["diagnostics"] += len(diagram.diagnostics)
            if len(text) < 2000 and random_.random() < 0.05:
                pools[which][random_.randrange(len(pools[which]))] = text  # mutants of mutants reach further
                pools[which][random_.randrange(len(pools[which]))] = random_.choice(seeds)
        except MermaidError as error:
            outcomes["refused"] += 1
            str(error)
        except Exception as error:
            failures.append(Failure(f"{type(error).__name__}: {error}", text))
        cost = (time.process_time() - begin) / (len(text) + 200)
        if cost > 1e-3:
            failures.append(Failure(f"{cost * 1e6:.0f} microseconds a character", text))
        slowest = max(slowest, cost)
    return outcomes, failures, slowest * 1e6


def growth(name: str, size: int = 500, doublings: int = 4) -> tuple[float, float]:
    """(exponent of time over length between the first and the last size, seconds for the last).

    Time of the processor, and the best of three, for another process may have had the core.
    """
    points = []
    for doubling in range(doublings + 1):
        text = GROWTH[name](size << doubling)
        best = math.inf
        for _ in range(3):
            begin = time.process_time()
            try:
                parse(text)
            except MermaidError as error:
                str(error)
            best = min(best, time.process_time() - begin)
        points.append((len(text), best))
    (small, quick), (large, slow) = points[1], points[-1]
    return math.log(slow / max(quick, 1e-6)) / math.log(large / small), slow


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    arguments.add_argument("--seconds", type=float, default=60, help="length of the mutation part (60)")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--out", type=Path, default=RESULTS)
    options = arguments.parse_args()

    rows = {name: growth(name) for name in GROWTH}
    print(f"{'text that doubles four times':<36}{'exponent':>9}{'seconds at 8,000':>20}")
    for name, (exponent, seconds) in rows.items():
        print(f"{name:<36}{exponent:>9.2f}{seconds:>20.4f}")
    steep = [name for name, (exponent, seconds) in rows.items() if exponent > 1.5 and seconds > 0.05]

    outcomes, failures, slowest = fuzz(options.seconds, options.seed)
    total = outcomes["diagram"] + outcomes["refused"] + len(failures)
    print(f"\n{'mutation':<36}{'count':>12}")
    for name, count in (*sorted(outcomes.items()), ("failures", len(failures)), ("texts", total)):
        print(f"{name:<36}{count:>12,}")
    print(f"{'slowest, microseconds a character':<36}{slowest:>12.1f}")
    for failure in failures[:10]:
        print(f"FAILED {failure.what}: {failure.text!r}")
    for name in steep:
        print(f"FAILED {name}: more than linear")
    result = {
        "seconds": options.seconds,
        "seed": options.seed,
        "python": platform.python_version(),
        "texts": total,
        "outcomes": dict(sorted(outcomes.items())),
        "failures": [asdict(failure) for failure in failures[:100]],
        "slowest_microseconds_per_character": round(slowest, 2),
        "growth": {name: {"exponent": round(e, 3), "seconds": round(s, 5)} for name, (e, s) in rows.items()},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if failures or steep else 0


if __name__ == "__main__":
    sys.exit(main())
