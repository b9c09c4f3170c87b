"""Runs put into a store record by record: recorded ones, cut or changed, and ones with a student of the tests' own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fsm.journal import GENESIS, digest, encode
from fsm.store import open_store

Record = dict[str, Any]
RECORDED = Path(__file__).with_name("recorded")


def records() -> list[Record]:
    """Those of a distillation of six epochs, ended by their number; of its artifacts only the names."""
    return [json.loads(line) for line in (RECORDED / "records.jsonl").read_text("utf-8").splitlines()]


def artifacts() -> dict[str, bytes]:
    """Its reports, and four answers to frozen prompts, with their scores, of each epoch."""
    said = json.loads((RECORDED / "artifacts.json").read_text("utf-8"))
    return {
        name: "".join(
            json.dumps(row) + "\n" for row in (value if isinstance(value, list) else [value])
        ).encode()
        for name, value in said.items()
    }


def write(
    url: Path,
    name: str,
    found: Iterable[Mapping[str, Any]],
    content: Mapping[str, bytes | Path],
    machine: str = "distillation",
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write a run. A record's `files` is a list of names in `content`."""
    run = open_store(str(url)).run(name)
    header = {"format": 1, "name": name, "machine": machine, "seed": 42, "config": dict(config or {})}
    run.write_header(json.dumps(header).encode())
    run.acquire()
    prev, epoch = GENESIS, 0
    for seq, record in enumerate(found):
        epoch += record["kind"] == "claim"
        frame = {"seq": seq, "epoch": epoch, "writer": "w", "id": f"w-{seq}", "prev": prev}
        body: Record = {"host": "h", "pid": 1} if record["kind"] == "claim" else {"took": 0.0}
        body |= record
        if "files" in record:
            put = {n: run.put_artifact(n, content[n]) for n in record["files"]}
            body["files"] = {n: {"sha256": a.sha256, "size": a.size} for n, a in put.items()}
        line = encode(frame | body)
        run.append(seq, line)
        prev = digest(line)
    run.release()


def step(machine: str, state: str, to: list[str], **more: Any) -> Record:
    """A transition of the outermost machine, a second after midnight of 1970."""
    return {
        "kind": "transition",
        "time": 1.0,
        "at": [],
        "machine": machine,
        "from": state,
        "visit": 1,
        "label": None,
        "to": to,
        **more,
    }


CLAIM: Record = {"kind": "claim", "time": 0.0}
