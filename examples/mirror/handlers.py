"""What the states of mirror.mmd do: the files that a data set's SHA256SUMS lists are fetched, verified, and kept or quarantined."""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

from pydantic import BaseModel, Field

from fsm.engine import Context, Machine, Phase, Verdict


class Settings(BaseModel, extra="forbid", frozen=True):
    source: str
    into: Path
    batch: int = Field(default=100, ge=1, le=10_000)
    most_missing: float = Field(default=0.1, ge=0, le=1)
    tries: int = Field(default=5, ge=0, le=20)
    wait_s: float = Field(default=1.0, ge=0, le=60)


# What the drawings cannot say: what bounds the loop, which ending is a failure, and what the ends of the recovery decide.
HERE = Path(__file__).parent
MACHINE = Machine(
    "mirror", HERE / "mirror.mmd", bounds={("Enter", "More"): "SHA256SUMS"}, failures={"Too much is missing"}
)
ENDS = {"AskAgain": Verdict.AGAIN, "LeaveOut": Verdict.SKIP}
ERRORS = Machine("errors", HERE / "errors.mmd", entered_at=("SourceAway", "NotThere"), ends=ENDS)
PHASE = Phase("mirror", config=Settings)
RECOVERY = Phase("errors")


@PHASE.state("Compare")
def compare(ctx: Context) -> str:
    with opened(ctx.config.source, "SHA256SUMS") as stream:
        listed = listing(stream.read().decode())
    wanted = {p: sha256 for p, sha256 in listed.items() if digest(ctx.config.into / "files" / p) != sha256}
    ctx.put("wanted.json", json.dumps(wanted))  # an artifact, kept by content
    ctx.data |= {"listed": len(listed), "wanted": len(wanted), "done": 0, "missing": {}}
    return "Something to fetch" if wanted else "All there"  # the label of the edge to take


@PHASE.state("Batch.Fetch", effects=True)
def fetch(ctx: Context) -> None:
    wanted = list(json.loads(ctx.open("wanted.json").read_text()).items())
    ctx.data["batch"] = dict(wanted[ctx.data["done"] :][: ctx.config.batch])  # durable, with the transition
    for path in ctx.data["batch"]:
        target = incoming(ctx, path)
        if path in ctx.skipped or target.exists():  # given up by the recovery; fetched by an earlier attempt
            continue
        part = target.with_name(target.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            with opened(ctx.config.source, path) as stream, part.open("wb", buffering=0) as file:
                shutil.copyfileobj(stream, file)
                os.fsync(file.fileno())
        except OSError as error:
            error.item = path  # type: ignore[attr-defined]  # so that the recovery may leave out this one alone
            raise
        part.replace(target)  # whole and on the disk, or not at all


@PHASE.state("Batch.Verify")
def verify(ctx: Context) -> None:
    ctx.data["became"] = {}
    for path, sha256 in ctx.data["batch"].items():
        found = digest(incoming(ctx, path))
        ctx.data["became"][path] = {None: "absent", sha256: "sound"}.get(found, "damaged")


@PHASE.state("Batch.Keep", effects=True)
def keep(ctx: Context) -> None:
    for path, became in ctx.data["became"].items():
        target = ctx.config.into / "files" / path
        if became == "sound" and digest(target) != ctx.data["batch"][path]:  # else an earlier attempt did it
            moved(incoming(ctx, path), target)


@PHASE.state("Batch.Quarantine", effects=True)
def quarantine(ctx: Context) -> None:
    for path, became in ctx.data["became"].items():
        if became == "damaged" and (found := incoming(ctx, path)).exists():
            moved(found, ctx.config.into / "quarantine" / found.name)


@PHASE.state("Enter", effects=True)
def enter(ctx: Context) -> str:
    became, batch = ctx.data["became"], ctx.data["batch"]
    with closing(sqlite3.connect(ctx.config.into / "catalogue.sqlite")) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS file (path PRIMARY KEY, sha256, became, run)")
        db.executemany(  # a second attempt finds its rows, and changes no byte of the file
            "INSERT INTO file VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET sha256 = ?2, became = ?3, run = ?4"
            " WHERE (sha256, became, run) != (?2, ?3, ?4)",
            [(path, sha256, became[path], ctx.run_name) for path, sha256 in batch.items()],
        )
    ctx.data["missing"] |= {path: how for path, how in became.items() if how != "sound"}
    ctx.data["done"] += len(batch)
    return "More" if ctx.data["done"] < ctx.data["wanted"] else "All seen"


@PHASE.state("Report")
def report(ctx: Context) -> str:
    ctx.put("report.json", json.dumps({key: ctx.data[key] for key in ("listed", "wanted", "missing")}) + "\n")
    too_much = len(ctx.data["missing"]) > ctx.config.most_missing * ctx.data["listed"]
    return "Too much is missing" if too_much else "Mirrored"


@RECOVERY.classifies  # an exception without an entry in errors.mmd stops the run where it is
def classify(error: BaseException) -> str | None:
    if isinstance(error, FileNotFoundError) or (isinstance(error, HTTPError) and error.code in (404, 410)):
        return "NotThere"
    return "SourceAway" if isinstance(error, URLError | ConnectionError | TimeoutError) else None


@RECOVERY.state("Errors.SourceAway")
def source_away(ctx: Context) -> str:
    attempt, settings = ctx.data["error"]["attempt"], ctx.section("mirror")
    if attempt < settings.tries:
        time.sleep(settings.wait_s * 2**attempt)
    return "Tries left" if attempt < settings.tries else "No tries left"


@RECOVERY.state("Errors.NotThere", "Errors.AskAgain", "Errors.LeaveOut")
def told(ctx: Context) -> None:
    ctx.log.warning(ctx.data["error"]["message"], item=ctx.data["error"]["item"])


def listing(text: str) -> dict[str, str]:
    """The SHA-256 of each file that sha256sum has listed, by its path, sorted. Raises ValueError."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9a-f]{64}) [ *]([^/].*)", line)
        if match is None or ".." in PurePosixPath(match[2]).parts:
            raise ValueError(f"SHA256SUMS: {line!r} is not a digest and a path within the data set")
        found[match[2]] = match[1]
    return dict(sorted(found.items()))


def incoming(ctx: Context, path: str) -> Path:
    return Path(ctx.config.into, "incoming", f"{quote(path, safe='')}.{ctx.data['batch'][path][:12]}")


def opened(source: str, path: str) -> IO[bytes]:
    remote = "://" in source
    return urlopen(f"{source}/{quote(path)}", timeout=60) if remote else Path(source, path).open("rb")


def moved(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
