"""The mirror of examples/: what it makes of a source that is away, lacks a file and has a damaged one; and of the night after."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fsm import config, session
from fsm.check import check
from fsm.engine import Outcome
from fsm.journal import Journal
from fsm.store import open_store

EXAMPLE = Path(__file__).parents[2] / "examples" / "mirror"
DAMAGED, ABSENT, LATE = "2026/03.csv", "2026/05.csv", "2026/02.csv"
MOST_LINES = 200


class Source(ThreadingHTTPServer):
    """The example's data set on the loopback. `away` is how often a path is answered by 503 before it is given."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.root = root
        self.away: dict[str, int] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        self.server.asked.append(path)
        file = self.server.root / path
        if self.server.away.get(path, 0) > 0:
            self.server.away[path] -= 1
            self.send_error(503)
        elif not file.is_file():
            self.send_error(404)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(file.read_bytes())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    shutil.copytree(EXAMPLE / "dataset", tmp_path / "dataset")
    with Source(tmp_path / "dataset") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Mirror:
    """The example beside its configuration, as somebody would copy it."""

    def __init__(self, directory: Path, source: str) -> None:
        self.directory = directory
        self.into = directory / "into"
        shutil.copytree(EXAMPLE, directory / "mirror")
        self.says("examples/mirror/dataset", source)
        self.says("output/mirror", str(self.into))
        self.says("most_missing: 0.5", "most_missing: 0.5\n  wait_s: 0")

    def says(self, one: str, other: str) -> None:
        """Change the configuration."""
        file = self.directory / "mirror" / "mirror.yaml"
        text = file.read_text()
        assert one in text
        file.write_text(text.replace(one, other))

    def night(self, name: str) -> Outcome:
        self.name = name
        here = {"store": str(self.directory), "work": str(self.directory / "work"), "run.name": name}
        read = config.load(self.directory / "mirror" / "mirror.yaml", here)
        assert check(read.program) == []
        return session.run(read)

    def records(self) -> list[dict[str, Any]]:
        return list(Journal(open_store(str(self.directory)).run(self.name)).records())

    def report(self) -> dict[str, Any]:
        put = {name: file for r in self.records() for name, file in r.get("files", {}).items()}
        run = open_store(str(self.directory)).run(self.name)
        found: dict[str, Any] = json.loads(run.artifact(put["report.json"]["sha256"]).read_text())
        return found

    def files(self, folder: str) -> dict[str, str]:
        """What lies in a folder of the mirror: the SHA-256 by path."""
        root = self.into / folder
        found = (path for path in root.rglob("*") if path.is_file())
        return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}

    def catalogue(self) -> dict[str, tuple[str, str]]:
        with closing(sqlite3.connect(self.into / "catalogue.sqlite")) as db:
            return {
                path: (became, run) for path, became, run in db.execute("SELECT path, became, run FROM file")
            }


def listed(root: Path) -> dict[str, str]:
    lines = (root / "SHA256SUMS").read_text().splitlines()
    return {path: sha256 for sha256, path in (line.split("  ") for line in lines)}


def test_a_night_keeps_what_is_sound_and_tells_what_is_not(source: Source, tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, source.url)
    source.away = {LATE: 2}
    assert mirror.night("first").exit_code == 0
    assert mirror.report() == {"listed": 6, "wanted": 6, "missing": {DAMAGED: "damaged", ABSENT: "absent"}}
    sound = {path: sha256 for path, sha256 in listed(source.root).items() if path not in (DAMAGED, ABSENT)}
    assert mirror.files("files") == sound
    assert [*mirror.files("quarantine").values()] == [
        hashlib.sha256((source.root / DAMAGED).read_bytes()).hexdigest()
    ]
    assert mirror.files("incoming") == {}
    assert {path: became for path, (became, _) in mirror.catalogue().items()} == dict.fromkeys(
        sound, "sound"
    ) | {
        DAMAGED: "damaged",
        ABSENT: "absent",
    }
    verdicts = [(r["verdict"], r.get("skipped")) for r in mirror.records() if r["kind"] == "verdict"]
    assert [verdict for verdict, _ in verdicts] == ["again", "again", "skip"]
    assert source.asked.count(LATE) == 3
    assert source.asked.count(ABSENT) == 1, "what is not there is not asked for again"
    both = [r["to"] for r in mirror.records() if r.get("from") == "Batch.Verify"]
    assert both == [["Batch.Keep", "Batch.Quarantine"]] * 3


def test_the_next_night_fetches_what_was_missing_or_has_rotted(source: Source, tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, source.url)
    mirror.night("first")
    for path in (DAMAGED, ABSENT):
        sound = (
            (source.root / "2026/04.csv").read_bytes()
            if path == ABSENT
            else (source.root / path).read_bytes()
        )
        (source.root / path).write_bytes(sound.replace(b"s3;", b"s3,"))
    (mirror.into / "files" / "stations.csv").write_bytes(b"rotten")
    source.asked.clear()
    assert mirror.night("second").exit_code == 0
    assert source.asked == ["SHA256SUMS", DAMAGED, ABSENT, "stations.csv"]
    assert mirror.report()["missing"] == {}
    assert mirror.files("files") == listed(source.root)
    assert mirror.catalogue()[DAMAGED] == ("sound", "second")
    assert mirror.catalogue()[LATE] == ("sound", "first")
    source.asked.clear()
    assert mirror.night("third").last == "Report"
    assert source.asked == ["SHA256SUMS"]


def test_a_night_on_which_too_much_is_missing_has_failed(source: Source, tmp_path: Path) -> None:
    mirror = Mirror(tmp_path, source.url)
    mirror.says("most_missing: 0.5", "most_missing: 0.3")
    outcome = mirror.night("first")
    assert (outcome.exit_code, outcome.label) == (1, "Too much is missing")


def test_a_source_that_stays_away_stops_the_night_and_the_same_command_goes_on(
    source: Source, tmp_path: Path
) -> None:
    mirror = Mirror(tmp_path, source.url)
    source.away = {"SHA256SUMS": 6}  # asked once, and five times more
    assert mirror.night("first").exit_code == 3
    assert mirror.night("first").exit_code == 0
    source.away = {LATE: 6}
    shutil.rmtree(mirror.into)
    assert mirror.night("second").exit_code == 0
    assert mirror.report()["missing"][LATE] == "absent"


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "2026/../../outside"])
def test_a_listing_that_leads_out_of_the_mirror_is_refused(source: Source, tmp_path: Path, path: str) -> None:
    mirror = Mirror(tmp_path, source.url)
    (source.root / "SHA256SUMS").write_text(f"{'0' * 64}  {path}\n")
    outcome = mirror.night("first")
    assert outcome.exit_code == 3
    assert "not a digest and a path within the data set" in outcome.message
    assert source.asked == ["SHA256SUMS"]


def test_it_is_short() -> None:
    files = [path for path in EXAMPLE.iterdir() if path.is_file()]
    assert {path.suffix for path in files} == {".mmd", ".py", ".yaml"}
    assert sum(len(path.read_text().splitlines()) for path in files) <= MOST_LINES
