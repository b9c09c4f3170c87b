"""What the page's server answers, and to whom; how `fsm watch` begins and ends."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from starlette.testclient import TestClient

from fsm import cli
from fsm.errors import ConfigError
from fsm.journal import Journal
from fsm.store import open_store
from fsm.store.local import LocalStore
from fsm.view.web import panels, server
from fsm.view.web.app import app
from fsm.view.web.watched import Watching
from tests.fsm.view.web.works import Works, until


@pytest.fixture
def client(bakery: Any, quiet: Any) -> Iterator[TestClient]:
    """A client of the bakery's store, with one run that is done."""
    bakery.run(logger=quiet, mishap="Burnt")
    with TestClient(app(open_store(bakery.store), "127.0.0.1"), base_url="http://127.0.0.1:8377") as made:
        yield made


def test_the_list_has_a_line_for_each_run_and_a_damaged_one_does_not_hide_the_others(
    bakery: Any, client: TestClient
) -> None:
    (bakery.directory / "runs" / "broken").mkdir()
    (bakery.directory / "runs" / "broken" / "run.json").write_text("{")
    rows = {row["run"]: row for row in client.get("/api/runs").json()["runs"]}
    assert rows["bread"]["status"] == "done"
    assert rows["bread"]["progress"] == [3, 3]
    assert rows["bread"]["age"] >= 0
    assert "problem" in rows["broken"]


def test_a_run_has_its_machines_its_index_and_its_state(client: TestClient) -> None:
    said = client.get("/api/runs/bread").json()
    assert said["status"]["state"] == "done"
    assert set(said["machines"]) == {"bakery", "oven", "mishaps"}
    assert said["machines"]["bakery"]["edges"]["Bake --> Deliver : Bread baked"][2] == "Bread baked"
    assert said["index"]["records"] == said["status"]["records"]


def test_the_timeline_of_a_run_ends_where_its_journal_does(bakery: Any, client: TestClient) -> None:
    client.get("/api/runs/bread")
    chunk = client.get("/api/runs/bread/timeline?from=0").json()
    lines = (bakery.directory / "runs" / "bread" / "journal.jsonl").read_text().splitlines()
    assert [c["seq"] for c in chunk["changes"]] == list(range(len(lines)))
    assert chunk["changes"][-1]["m"]["bakery"]["s"]["Deliver"]["look"] == "visited"


def test_a_moment_is_found_by_its_record_and_by_its_time(bakery: Any, client: TestClient) -> None:
    client.get("/api/runs/bread")
    lines = (bakery.directory / "runs" / "bread" / "journal.jsonl").read_text().splitlines()
    now = client.get("/api/runs/bread/moment").json()
    assert now["key"]["seq"] == len(lines) - 1
    assert [row["seq"] for row in now["rows"]] == list(range(len(lines) - 12, len(lines)))
    fifth = client.get("/api/runs/bread/moment?at=5").json()
    assert fifth["key"]["seq"] == fifth["rows"][-1]["seq"] == 5
    times = [json.loads(line)["time"] for line in lines]
    last = max(n for n, time in enumerate(times) if time <= times[5])  # of the same millisecond
    then = client.get(f"/api/runs/bread/moment?at={last}").json()
    assert client.get(f"/api/runs/bread/moment?until={times[5]}").json() == then
    before = client.get("/api/runs/bread/moment?until=0").json()
    assert (before["key"]["seq"], before["rows"]) == (-1, [])
    assert client.get("/api/runs/bread/moment?at=9999").status_code == 422


def test_the_records_of_a_state_and_of_its_recovery_are_found_without_the_others(client: TestClient) -> None:
    client.get("/api/runs/bread")
    said = client.get("/api/runs/bread/state?machine=oven&state=CheckTemperature").json()
    assert [row["kind"] for row in said["records"]] == ["error", "verdict", "transition", "transition"]
    assert {row["from"] for row in said["recovery"]} == {
        "Mishaps.Burnt",
        "Mishaps.OpenWindow",
        "Mishaps.TryAgain",
    }
    first = said["records"][0]["seq"]
    past = client.get(f"/api/runs/bread/state?machine=oven&state=CheckTemperature&at={first}").json()
    assert [row["seq"] for row in past["records"]] == [first]
    assert past["recovery"] == []
    assert "Traceback" in client.get(f"/api/runs/bread/records/{first}").json()["traceback"]


def test_the_inside_of_a_composite_answers_for_it(client: TestClient) -> None:
    client.get("/api/runs/bread")
    said = client.get("/api/runs/bread/state?machine=bakery&state=Prepare").json()
    assert [row["from"] for row in said["records"]] == ["Prepare.Weigh", "Prepare.Knead"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/runs/no%20run", 422, "cannot name a run"),
        ("/api/runs/..", 404, None),
        ("/api/runs/bread/records/999", 404, "no record 999"),
        ("/api/runs/bread/picture/barn.svg", 404, "No drawing of machine 'barn'"),
        ("/api/runs/bread/artifacts/nothing", 400, "SHA-256"),
        ("/api/runs/bread/artifacts/" + "0" * 64, 404, "is gone"),
        ("/api/runs/bread/panels/nobody.answers/1", 404, "no panel"),
    ],
)
def test_what_is_not_there_is_said(client: TestClient, path: str, status: int, words: str | None) -> None:
    client.get("/api/runs/bread")
    answer = client.get(path)
    assert answer.status_code == status
    if words:
        assert words in answer.json()["error"]


def test_a_run_that_is_not_there_is_a_state_and_no_error(client: TestClient) -> None:
    said = client.get("/api/runs/cake").json()
    assert said["status"]["state"] == "absent"
    assert "no run cake" in said["status"]["why"]


def test_a_run_of_a_newer_format_and_one_with_a_torn_tail_are_told(bakery: Any, client: TestClient) -> None:
    runs = bakery.directory / "runs"
    header = json.loads((runs / "bread" / "run.json").read_text())
    (runs / "later").mkdir()
    (runs / "later" / "run.json").write_text(json.dumps(header | {"format": 999, "name": "later"}))
    assert client.get("/api/runs/later").json()["status"]["state"] == "newer format"
    (runs / "torn").mkdir()
    (runs / "torn" / "run.json").write_text(json.dumps(header | {"name": "torn"}))
    lines = (runs / "bread" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (runs / "torn" / "journal.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:20])
    said = client.get("/api/runs/torn").json()
    assert (said["status"]["state"], said["status"]["records"]) == ("stopped", 4)
    (runs / "torn" / "journal.jsonl").write_bytes(b"".join(lines[:4]) + b"what is this\n")
    until(lambda: client.get("/api/runs/torn").json()["status"]["state"] == "unreadable")


def test_the_runs_of_a_server_share_the_requests_of_a_minute(bakery: Any) -> None:
    watching = Watching(open_store(bakery.store))
    runs = [watching.run(name) for name in ("bread", "cake", "rolls")]
    try:
        until(lambda: [run.following._trail.share for run in runs] == [3, 3, 3])
    finally:
        watching.close()


def test_a_package_whose_panels_cannot_be_loaded_is_told_beside_the_others(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = EntryPoint("broken", "no.such.module", panels.GROUP)
    own = panels.installed()
    monkeypatch.setattr(panels, "installed", lambda: (*own, ("broken", panels._loaded(broken))))
    said = client.get("/api/runs/bread/panels").json()["panels"]
    assert [(p["id"], p["kind"]) for p in said] == [("broken.trouble", "trouble")]
    assert "no.such.module cannot be loaded" in said[0]["why"]
    assert client.get("/api/runs/bread/panels/broken.x/1").status_code == 404


def test_only_the_beginning_of_a_large_artifact_is_read(bakery: Any, client: TestClient) -> None:
    sha = "f" * 64
    path = bakery.directory / "runs" / "bread" / "artifacts" / sha
    with path.open("wb") as f:
        f.write(b"begin\n")
        f.truncate(2 << 30)
    answer = client.get(f"/api/runs/bread/artifacts/{sha}?name=model.bin&most=100")
    assert (answer.headers["x-size"], len(answer.content)) == (str(2 << 30), 100)
    assert client.get(f"/api/runs/bread/artifacts/{sha}?name=model.svg&as=picture").status_code == 415


def test_an_artifact_is_text_or_a_file_and_never_a_page(bakery: Any, client: TestClient) -> None:
    found = bakery.directory / "runs" / "bread" / "artifacts"
    sha = next(iter(found.iterdir())).name
    for form in ("part", "file"):
        answer = client.get(f"/api/runs/bread/artifacts/{sha}?name=x.html&as={form}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] in ("text/plain", "application/octet-stream")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_the_page_may_run_its_own_script_alone(client: TestClient) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in answer.text.replace("/static", "")
    assert client.get("/static/main.js").status_code == 200
    assert client.get("/static/../app.py").status_code == 404


def test_no_module_of_the_page_writes_html() -> None:
    for path in (Path(server.__file__).parent / "static").glob("*.js"):
        text = path.read_text("utf-8")
        for way in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert way not in text, f"{path.name} uses {way}"
        assert "http://" not in text.replace("http://www.w3.org/", "")
        assert "https://" not in text
        assert len(text.splitlines()) < 500


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_only_reads(client: TestClient, method: str) -> None:
    assert client.request(method, "/api/runs").status_code == 405


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8377", "10.1.2.3:8377", "", "localhost.evil.example"]
)
def test_a_name_of_somebody_else_that_leads_here_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8377", "127.0.0.1", "[::1]:8377", "LOCALHOST"])
def test_the_names_of_loopback_are_its_own(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 200


def test_another_sites_request_is_refused_and_a_link_from_it_is_not(client: TestClient) -> None:
    assert (
        client.get(
            "/api/runs", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        ).status_code
        == 403
    )
    assert (
        client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code
        == 200
    )


def test_on_another_address_a_token_is_asked_for(bakery: Any) -> None:
    served = app(open_store(bakery.store), "0.0.0.0", "secret")
    with TestClient(served, base_url="http://10.1.2.3:8377") as client:
        assert client.get("/api/runs").status_code == 401
        assert client.get("/").status_code == 401
        assert client.get("/static/main.js").status_code == 401
        assert client.get("/?token=wrong").status_code == 401
        assert client.get("/api/runs", headers={"host": "evil.example"}).status_code == 421
        answer = client.get("/?token=secret", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "httponly" in answer.headers["set-cookie"].lower()
        assert client.get("/api/runs").status_code == 200
        assert client.get("/api/runs", headers={"host": socket.gethostname()}).status_code == 200


def test_the_address_is_the_first_line_and_it_names_the_run(works: Works) -> None:
    one, url = works.serve("bread")
    assert urlsplit(url).hostname == "127.0.0.1"
    assert urlsplit(url).fragment == "run=bread"
    with urllib.request.urlopen(url.partition("#")[0]) as answer:
        assert answer.status == 200
    one.send_signal(signal.SIGINT)
    assert one.wait(20) == 0
    assert one.stderr is not None
    assert "There is no run bread" in one.stderr.read()


def test_an_address_for_others_has_a_token_in_it(works: Works) -> None:
    _, url = works.serve("--host", "0.0.0.0")
    port = urlsplit(url).port
    assert "token=" in url
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/")
    assert refused.value.code == 401


def test_a_port_in_use_is_said_and_the_usual_one_gives_way_to_a_free_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ["watch", "--store", str(tmp_path), "--no-open", "--port", str(port)]
        assert cli.main(words) == 2
        assert f"Port {port} of 127.0.0.1 is in use" in capsys.readouterr().err
        monkeypatch.setattr(server, "PORT", port)
        with server.listen("127.0.0.1", None) as found:
            assert found.getsockname()[1] not in (0, port)


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("no.such.host.invalid", None, "there is no such address"),
        ("127.0.0.1", 70000, "from 0 to 65535"),
        ("127.0.0.1", -1, "from 0 to 65535"),
    ],
)
def test_an_address_that_cannot_be_had_is_said(host: str, port: int | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        server.listen(host, port)


def test_a_browser_that_is_not_there_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    server._browse("http://127.0.0.1:1/")
    assert "No browser could be opened here" in capsys.readouterr().err


def events(url: str, most: int) -> list[tuple[str, Any]]:
    """The first events of a run, as a page gets them."""
    found: list[tuple[str, Any]] = []
    name = ""
    with urllib.request.urlopen(url, timeout=20) as answer:
        while len(found) < most:
            line = answer.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                found.append((name, json.loads(line[6:])))
    return found


def test_who_has_missed_records_is_told_them_and_who_has_another_run_begins_anew(
    bakery: Any, works: Works, quiet: Any
) -> None:
    bakery.directory, bakery.store = works.directory, str(works.directory)
    bakery.run(logger=quiet)
    _, url = works.serve()
    base = f"{url}api/runs/bread"
    with urllib.request.urlopen(base) as answer:
        header = json.load(answer)
    last = header["index"]["records"] - 1
    name, changes = events(f"{base}/events?from={last - 3}&born={header['born'].replace('+', '%2B')}", 1)[0]
    assert (name, [c["seq"] for c in changes]) == ("change", [last - 2, last - 1, last])
    name, said = events(f"{base}/events?from={last}&born=another", 1)[0]
    assert (name, said["born"]) == ("anew", header["born"])


def test_of_a_run_that_has_run_ahead_a_page_is_told_the_newest_moment_and_no_longer_each_record(
    works: Works,
) -> None:
    run = LocalStore(works.directory).run("loop")
    run.write_header(b'{"format": 1, "machine": "loop"}')
    journal = Journal(run)
    journal.open()
    step = {
        "kind": "transition",
        "at": [],
        "machine": "loop",
        "from": "A",
        "label": "On",
        "to": ["A"],
        "took": 0.1,
    }
    for visit in range(1, 100):
        journal.append(step | {"visit": visit})
    journal.close()
    _, url = works.serve("loop")
    base = f"{url.partition('#')[0]}api/runs/loop"
    born = until(lambda: json.load(urllib.request.urlopen(base))["born"])
    name, told = events(f"{base}/events?from=50&born={quote(born)}", 1)[0]
    assert name == "leap"
    assert (told["moment"]["key"]["seq"], told["marks"]) == (99, [])
    assert told["moment"]["key"]["m"]["loop"]["s"]["A"]["visits"] == 99
    name, told = events(f"{base}/events?from=90&born={quote(born)}", 1)[0]
    assert (name, [change["seq"] for change in told]) == ("change", list(range(91, 100)))


def test_a_watched_run_says_its_address_shows_its_log_and_its_page_ends_after_it(
    bakery: Any, works: Works
) -> None:
    bakery.directory, bakery.store = works.directory, str(works.directory)
    config = bakery.file(pause=0.2, talk=True, secret="hush-hush-hush")
    del works.environment["XDG_CACHE_HOME"]
    one = works.start("-m", "fsm.run", str(config), "--watch", "--log", "json", "--json")
    assert one.stderr is not None
    said = one.stderr.readline()
    assert "Watch run bread at http://127.0.0.1:" in said
    base = said.split()[-1].partition("#")[0]
    until(lambda: json.load(urllib.request.urlopen(f"{base}api/runs/bread"))["status"]["state"] == "done")
    log = json.load(urllib.request.urlopen(f"{base}api/runs/bread/log?state=Prepare.Weigh"))
    weighing = next(line for line in log["lines"] if line["event"] == "weighing")
    assert (log["kept"], weighing["kilos"], weighing["level"]) == (True, 3, "info")
    other = json.load(urllib.request.urlopen(f"{base}api/runs/bread/log?state=Deliver"))
    assert "weighing" not in [line["event"] for line in other["lines"]]
    out, _ = one.communicate(timeout=60)
    assert json.loads(out)["outcome"] == "done"

    def gone() -> bool:
        try:
            urllib.request.urlopen(base, timeout=1).close()
        except OSError:
            return True
        return False

    until(gone)
