"""Who is told when a run ends or stops: once for a record, within a bound of time, and without harm to the run."""

from __future__ import annotations

import base64
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fsm import config as configs
from fsm import session
from fsm.engine import Outcome
from fsm.errors import ConfigError
from fsm.journal import Journal
from fsm.store import open_store
from tests.fsm.view.conftest import Bakery, toys_on_the_path
from tests.servers.fixtures import S3, aws_environment, s3, server

__all__ = ["aws_environment", "s3", "server", "toys_on_the_path"]

WRITES = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"


class Log:
    """Keeps what the runner says."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def info(self, event: str, **words: Any) -> None:
        self.said.append({"event": event} | words)

    warning = error = info

    def bind(self, **_: Any) -> Log:
        return self

    def why(self) -> str:
        """Why calling out failed, the last time."""
        return str([s for s in self.said if s["event"] == "the run could not be announced"][-1]["why"])


class Baker:
    """A bakery that calls out."""

    def __init__(self, directory: Path) -> None:
        self.bakery = Bakery(directory)
        self.told = directory / "told.jsonl"
        self.log = Log()

    def command(self, program: str = WRITES) -> list[str]:
        return [sys.executable, "-c", program, str(self.told)]

    def file(self, notify: dict[str, Any] | None, **said: Any) -> Path:
        path = self.bakery.file(**said)
        value = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(value | ({"notify": notify} if notify else {})))
        return path

    def run(self, notify: dict[str, Any] | None, how: dict[str, Any] | None = None, **said: Any) -> Outcome:
        return session.run(configs.load(self.file(notify, **said)), logger=self.log, **(how or {}))

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.told.read_text().splitlines()] if self.told.exists() else []

    def records(self) -> list[dict[str, Any]]:
        return list(Journal(open_store(self.bakery.store).run("bread")).records())


@pytest.fixture
def baker(tmp_path: Path) -> Baker:
    return Baker(tmp_path)


class Hook:
    """A server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.answer = 204
        self.let_in_by: str | None = None
        self.wait = threading.Event()
        self.wait.set()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.heard.append((self.path, json.loads(body)))
                hook.let_in_by = self.headers["Authorization"]
                hook.wait.wait(10)
                self.send_response(hook.answer)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Hook()
    yield made
    made.wait.set()
    made.server.shutdown()
    made.server.server_close()


def test_the_end_is_told_to_a_command_once(baker: Baker) -> None:
    notify = {"command": baker.command()}
    assert baker.run(notify).outcome == "done"
    assert baker.run(notify).outcome == "done"  # which has ended, and is only read
    last = baker.records()[-1]
    assert baker.heard() == [
        {
            "run": "bread",
            "status": "done",
            "place": "Deliver",
            "label": "Delivered",
            "message": "Run bread done by 'Delivered', after Deliver.",
            "url": f"{baker.bakery.store}/runs/bread",
            "seq": last["seq"],
        }
    ]
    assert baker.log.said[-1] == {
        "event": "announced",
        "to": sys.executable,
        "status": "done",
        "seq": last["seq"],
    }


def test_a_failure_edge_and_a_stop_are_told_with_where_and_why(baker: Baker) -> None:
    notify = {"command": baker.command()}
    assert baker.run(notify, mishap="NoGas").outcome == "stopped"
    verdict = baker.records()[-1]
    stopped = baker.heard()[-1]
    assert (stopped["status"], stopped["place"], stopped["seq"]) == (
        "stopped",
        "Bake > CheckTemperature",
        verdict["seq"],
    )
    assert "call the plumber" in stopped["message"]
    assert baker.run(notify, mishap="NoGas").outcome == "done"  # gone on with
    assert [told["status"] for told in baker.heard()] == ["stopped", "done"]
    assert baker.run(notify, {"fresh": True}, flour=False).outcome == "failed"
    assert baker.heard()[-1]["label"] == "No flour"
    assert len(baker.heard()) == 3


def test_an_error_that_is_recovered_from_is_nobody_s_news(baker: Baker) -> None:
    assert baker.run({"command": baker.command()}, mishap="Burnt").outcome == "done"
    assert [told["status"] for told in baker.heard()] == ["done"]


def test_the_same_stop_again_is_another_record(baker: Baker) -> None:
    notify = {"command": baker.command()}
    baker.run(notify, mishap="Flood")  # fits no class: it stops there
    assert baker.heard()[-1]["message"].startswith("Bake > CheckTemperature: Mishap: Flood.")
    (baker.bakery.directory / "work").rename(baker.bakery.directory / "elsewhere")
    baker.run(notify, mishap="Flood")
    first, again = baker.heard()
    assert first["seq"] < again["seq"]


def test_an_end_that_its_runner_did_not_come_to_tell_is_told_by_the_next_one(
    baker: Baker, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify = {"command": baker.command()}
    with monkeypatch.context() as killed:
        killed.setattr(session, "_rests", lambda record: False)
        baker.run(notify)
    assert baker.heard() == []
    for _ in range(2):
        assert baker.run(notify).outcome == "done"
    assert [told["seq"] for told in baker.heard()] == [baker.records()[-1]["seq"]]


def test_a_run_in_a_bucket_tells_likewise(baker: Baker, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    baker.bakery.store = f"{s3.url}?endpoint_url={s3.server.url}&path_style=true"
    notify = {"command": baker.command()}
    baker.run(notify, mishap="NoGas")
    with monkeypatch.context() as killed:
        killed.setattr(session, "_rests", lambda record: False)
        baker.run(notify, mishap="NoGas")
    for _ in range(2):
        baker.run(notify, mishap="NoGas")
    assert [(told["status"], told["url"]) for told in baker.heard()] == [
        ("stopped", f"{s3.url}/runs/bread"),
        ("done", f"{s3.url}/runs/bread"),
    ]


def test_an_end_that_nobody_was_to_be_told_of_is_no_news_later(baker: Baker) -> None:
    baker.run(None)
    baker.run({"command": baker.command()})
    assert baker.heard() == []


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; print('no such user'); sys.exit(3)", "it ended with exit code 3: no such user"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "it was ended by signal 15"),
        ("import time; time.sleep(60)", "it had not ended after 0.5 seconds, and was killed"),
        ("print('\\x1b[31mred\\x1b[0m'); raise SystemExit(1)", "it ended with exit code 1: red"),
    ],
)
def test_a_command_that_fails_is_told_and_the_run_is_what_it_was(
    baker: Baker, program: str, why: str
) -> None:
    assert baker.run({"command": baker.command(program), "seconds": 0.5}).outcome == "done"
    assert baker.log.why() == why


def test_a_command_is_killed_with_what_it_began(baker: Baker) -> None:
    below = "import time; time.sleep(0.9); open(sys.argv[1], 'w').write('{}')"
    program = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import sys;' + {below!r}, sys.argv[1]]);"
        "time.sleep(60)"
    )
    baker.run({"command": baker.command(program), "seconds": 0.4})
    threading.Event().wait(1)
    assert baker.heard() == []


def test_a_command_that_is_not_there_is_told(baker: Baker) -> None:
    assert baker.run({"command": ["no-such-program-anywhere"]}).outcome == "done"
    assert baker.log.why() == "it cannot be begun (No such file or directory)"


def test_a_command_that_reads_nothing_and_prints_much_is_no_trouble(baker: Baker) -> None:
    assert baker.run({"command": baker.command("print('x' * 1_000_000)")}).outcome == "done"
    assert baker.log.said[-1]["event"] == "announced"


def test_whoever_is_told_may_go_on_with_the_run(baker: Baker) -> None:
    holds = "import sys, fcntl; f = open(sys.argv[2], 'r+'); fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    journal = baker.bakery.directory / "runs" / "bread" / "journal.jsonl"
    baker.run({"command": [*baker.command(holds), str(journal)]}, mishap="NoGas")
    assert baker.log.said[-1]["event"] == "announced"


def test_the_end_is_posted_to_a_webhook(baker: Baker, hook: Hook) -> None:
    notify = {"webhook": f"{hook.url}/hooks/T0/B0?room=bread"}
    assert baker.run(notify).outcome == "done"
    baker.run(notify)
    [(path, told)] = hook.heard
    assert (path, told["status"], told["run"]) == ("/hooks/T0/B0?room=bread", "done", "bread")
    assert baker.log.said[-1]["to"] == hook.url


@pytest.mark.parametrize(("answer", "why"), [(500, "it answered 500"), (302, "it answered 302")])
def test_an_answer_that_is_no_yes_is_told(baker: Baker, hook: Hook, answer: int, why: str) -> None:
    hook.answer = answer
    assert baker.run({"webhook": f"{hook.url}/hooks/abcdefgh"}).outcome == "done"
    assert baker.log.why() == why
    assert len(hook.heard) == 1


def test_a_webhook_that_does_not_answer_is_left_after_its_time(baker: Baker, hook: Hook) -> None:
    hook.wait.clear()
    assert baker.run({"webhook": f"{hook.url}/hooks/x", "seconds": 0.3}).outcome == "done"
    assert baker.log.why() in ("it has not answered after 0.3 seconds", "it cannot be reached (TimeoutError)")


def test_a_webhook_where_nobody_listens_is_told_without_its_secret(baker: Baker, hook: Hook) -> None:
    hook.server.server_close()
    url = hook.url.replace("//", "//baker:flour-and-water@") + "/hooks/T0-secret-B0"
    assert baker.run({"webhook": url}).outcome == "done"
    assert baker.log.why() == "it cannot be reached (Connection refused)"
    assert "secret" not in str(baker.log.said)
    assert "flour-and-water" not in str(baker.log.said)


def test_a_name_and_a_password_go_where_they_belong(baker: Baker, hook: Hook) -> None:
    assert baker.run({"webhook": hook.url.replace("//", "//baker:flour%20water@") + "/x#y"}).outcome == "done"
    assert hook.heard[0][0] == "/x"
    assert hook.let_in_by == "Basic " + base64.b64encode(b"baker:flour water").decode()
    assert baker.log.said[-1]["to"] == hook.url


def test_a_secret_is_neither_told_nor_kept(baker: Baker, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "a-very-secret-word")
    notify = {"webhook": f"{hook.url}/${{HOOK_TOKEN}}", "command": baker.command()}
    baker.run(notify, mishap="a-very-secret-word")
    assert hook.heard[0][0] == "/a-very-secret-word"
    assert "**********" in hook.heard[0][1]["message"]
    assert "a-very-secret-word" not in baker.told.read_text()
    kept = [p.read_bytes() for p in (baker.bakery.directory / "runs").rglob("*") if p.is_file()]
    assert kept
    assert all(b"a-very-secret-word" not in content and b"hooks" not in content for content in kept)


def test_the_header_does_not_change_with_who_is_told(baker: Baker) -> None:
    baker.run(None, mishap="NoGas")
    assert baker.run({"command": baker.command()}, mishap="NoGas").outcome == "done"
    header = Journal(open_store(baker.bakery.store).run("bread")).header()
    assert "notify" not in header["config"]


def test_no_notify_calls_nobody_and_needs_none_of_its_variables(baker: Baker) -> None:
    path = baker.file({"webhook": "https://example.invalid/${NO_SUCH_TOKEN}"})
    with pytest.raises(ConfigError, match="NO_SUCH_TOKEN"):
        configs.load(path)
    assert configs.load(path, {"notify": None}).engine.notify is None


@pytest.mark.parametrize(
    ("notify", "words"),
    [
        ({}, "calls out to nobody: give it a command"),
        ({"command": []}, "calls out to nobody"),
        ({"command": "mail me"}, "notify.command: must be a list"),
        ({"command": ["mail", ""]}, "notify.command.1: string should have at least 1 character"),
        ({"command": ["mail", 3]}, "notify.command.1"),
        ({"webhook": "ftp://example.org/x"}, "must be an address that begins with http:// or https://"),
        ({"webhook": "https://"}, "names a host"),
        ({"webhook": "http://host:port/"}, "names a host"),
        ({"command": ["mail"], "seconds": 0}, "notify.seconds: input should be greater than 0"),
        ({"command": ["mail"], "seconds": 1e9}, "notify.seconds: input should be less than or equal to 600"),
        ({"comand": ["mail"]}, "unknown key 'notify.comand'; did you mean 'command'"),
    ],
)
def test_what_cannot_be_called_is_refused_before_the_run(
    baker: Baker, notify: dict[str, Any], words: str
) -> None:
    path = baker.file({"command": ["x"]})
    value = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(value | {"notify": notify}))
    with pytest.raises(ConfigError) as refused:
        configs.load(path)
    assert words in refused.value.message.replace("Input", "input")
    for part in ("example.org", "host:port"):
        assert part not in refused.value.message
