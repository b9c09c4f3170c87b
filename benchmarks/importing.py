"""How much of other people's machines a drawing can say: every file of a directory, read by `fsm import`.

    python -m benchmarks.importing FORMAT DIRECTORY SOURCE     adds to benchmarks/results/importing.json

FORMAT is asl, scxml or xstate; DIRECTORY holds machines of it, none of which is this project's; SOURCE says where they are from.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from fsm.errors import FsmError
from fsm.exchange import asl_read, scxml, text_of, xstate

RESULTS = Path(__file__).parent / "results" / "importing.json"
READ = {"asl": asl_read.read, "scxml": scxml.read, "xstate": xstate.read}
SHOWN = 8  # reasons


def tried(kind: str, directory: Path) -> dict[str, Any]:
    """{"files", "same", "listed", "refused", "reasons"}: those that mean the same as a drawing, those of which it cannot say all,
    those that are no machine, and what of them is said most often."""
    found: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for path in sorted(directory.iterdir()):
        try:
            read = READ[kind](path.read_text("utf-8", "replace"))
        except FsmError as e:
            found["refused"] += 1
            reasons[e.message.partition(":")[0]] += 1
            continue
        try:
            text_of(read.root, read.notes)
        except FsmError as e:
            read.unsaid.append(e.message.partition(":")[0])
        found["listed" if read.unsaid else "same"] += 1
        reasons.update({_kind(said) for said in read.unsaid})
    return {
        "files": sum(found.values()),
        **{key: found[key] for key in ("same", "listed", "refused")},
        "reasons": dict(reasons.most_common(SHOWN)),
    }


def _kind(said: str) -> str:
    """What is said, without the names in it."""
    words = said.partition(": ")[2] or said
    words = re.sub(r"^('[^']*'|\"[^\"]*\"|None)", "…", words)
    return re.sub(r"(: |to |in )[A-Za-z0-9_.#-]+(, which.*)?$", r"\1…", words)[:80]


def main(kind: str, directory: str, source: str) -> int:
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[f"{kind}: {source}"] = tried(kind, Path(directory))
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(results[f"{kind}: {source}"], indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
