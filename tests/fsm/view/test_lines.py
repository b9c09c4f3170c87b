"""A run as a log: one line an event, nothing secret in it, and nothing of a library past it."""

from __future__ import annotations

import io
import json
import logging
import sys
import time
import warnings
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from fsm import session
from fsm.secrets import redactor
from fsm.store.local import LocalStore
from fsm.view.projection import Projection
from fsm.view.stray import Lines
from fsm.view.terminal import telling

SECRET = 'pass"word\\with\nall'


@pytest.fixture(autouse=True)
def an_environment_with_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKERY_TOKEN", SECRET)
    monkeypatch.delenv("NO_COLOR", raising=False)


def told(bakery: Any, log: str, **said: Any) -> str:
    """What a run writes where no terminal is."""
    stream = io.StringIO()
    config = bakery.config(**said)
    with telling(config, log, stream) as (observer, logger):
        session.run(config, observer=observer, logger=logger)
    return stream.getvalue()


def test_as_json_every_line_is_an_event_with_its_time_level_and_place(bakery: Any) -> None:
    events = [json.loads(line) for line in told(bakery, "json", talk=True, secret=SECRET).splitlines()]
    assert all({"time", "level", "event"} <= event.keys() for event in events)
    left = [(event["place"], event.get("label")) for event in events if event["event"] == "left"]
    assert left[0] == ("Prepare.Weigh", "Flour found")
    assert left[-1] == ("Deliver", "Delivered")
    (weighing,) = (event for event in events if event["event"] == "weighing")
    assert weighing == weighing | {"place": "Prepare.Weigh", "kilos": 3, "level": "info"}


def test_what_libraries_print_warn_and_log_are_events_too(bakery: Any) -> None:
    events = [json.loads(line) for line in told(bakery, "json", talk=True).splitlines()]
    by_words = {event["event"]: event for event in events}
    assert by_words["a stray print"]["printed"] == "stdout"
    assert by_words["scales 3/3"]["printed"] == "stderr"  # of a progress bar only its last form
    assert "scales 1/3" not in by_words
    assert by_words["flour is dusty"]["category"] == "UserWarning"
    assert by_words["the scales are old"] == by_words["the scales are old"] | {
        "library": "library",
        "level": "warning",
    }


@pytest.mark.parametrize("log", ["json", "console"])
def test_no_line_shows_a_secret_in_any_form(bakery: Any, log: str) -> None:
    text = told(bakery, log, talk=True, secret=SECRET)
    assert "**********" in text
    for form in (SECRET, json.dumps(SECRET)[1:-1], repr(SECRET)[1:-1]):
        assert form not in text


def test_off_a_terminal_lines_have_no_colours(bakery: Any) -> None:
    text = told(bakery, "auto", talk=True)
    assert "\x1b" not in text
    assert any("[warning  ] flour is dusty" in line for line in text.splitlines())


def test_errors_and_what_the_recovery_decides_are_told(bakery: Any) -> None:
    text = told(bakery, "console", mishap="Burnt")
    assert "error=Mishap message=Burnt recovery=Mishaps.Burnt" in text
    assert "verdict=again last=Mishaps.TryAgain" in text


def test_a_traceback_shows_no_local_variables(bakery: Any) -> None:
    stream = io.StringIO()
    hidden = "a local variable"
    with telling(bakery.config(), "console", stream) as (_, logger):
        try:
            raise ValueError(len(hidden))
        except ValueError:
            logger.exception("went wrong")
    assert "ValueError: 16" in stream.getvalue()
    assert hidden not in stream.getvalue().replace('hidden = "a local variable"', "")


def test_none_is_silent(bakery: Any, capfd: pytest.CaptureFixture[str]) -> None:
    config = bakery.config()
    with telling(config, "none") as (observer, logger):
        session.run(config, observer=observer, logger=logger)
        print("stray")
        warnings.warn("stray", stacklevel=1)
        logger.error("said")
    assert capfd.readouterr() == ("", "")


def test_everything_is_put_back_also_after_an_exception(bakery: Any) -> None:
    before = (
        sys.stdout,
        sys.stderr,
        warnings.showwarning,
        list(logging.getLogger().handlers),
        structlog.get_config(),
    )
    with pytest.raises(KeyboardInterrupt), telling(bakery.config(), "json", io.StringIO()):
        raise KeyboardInterrupt
    after = (
        sys.stdout,
        sys.stderr,
        warnings.showwarning,
        list(logging.getLogger().handlers),
        structlog.get_config(),
    )
    assert after == before


def test_a_stream_that_a_library_kept_leads_to_the_real_one_afterwards(
    bakery: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with telling(bakery.config(), "json", io.StringIO()):
        kept = sys.stderr
    kept.write("still here\n")
    assert capsys.readouterr().err == "still here\n"


def test_a_followed_run_is_told_as_lines_that_name_it(
    bakery: Any, quiet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsm.journal import Watch
    from fsm.view import lines

    monkeypatch.setattr(lines, "BETWEEN_POLLS", 0.01)
    said: list[dict[str, Any]] = []
    logger = writing_to(said)
    teller = lines.Teller(logger, Projection())
    bakery.run("van", "oven", logger=quiet)
    teller.watched([], "Deliver", Watch(LocalStore(bakery.directory).run("van")))
    end = time.monotonic() + 5
    while not any(e.get("outcome") for e in said) and time.monotonic() < end:
        time.sleep(0.01)
    teller.close()
    assert said[0] == {"event": "follows a run", "place": "Deliver", "run": "van"}
    assert [e["place"] for e in said if e["event"] == "left"][:2] == ["Preheat", "CheckTemperature"]
    assert {e["run"] for e in said} == {"van"}


def writing_to(said: list[dict[str, Any]]) -> Any:
    """A logger whose events are kept."""

    def keep(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        said.append(dict(event))
        raise structlog.DropEvent

    return structlog.wrap_logger(None, processors=[keep])


def test_progress_is_told_now_and_then_and_not_each_time(
    bakery: Any, quiet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsm.view import lines

    said: list[dict[str, Any]] = []
    logger = writing_to(said)
    teller = lines.Teller(logger, Projection())
    teller.entered([], "m", "Work", 1)
    for i in range(1000):
        teller.progress([], "Work", i, 1000, "")
    assert [e for e in said if e["event"] == "progress"] == []
    monkeypatch.setattr(lines, "BETWEEN_PROGRESS", 0.0)
    teller.progress([], "Work", 7, 1000, "things")
    assert said[-1] == {"event": "progress", "place": "Work", "done": 7, "total": 1000, "note": "things"}


def test_lines_are_whole_however_they_are_written() -> None:
    got: list[str] = []
    lines = Lines(got.append, io.StringIO())
    for piece in ("a", "b\nc\n", "\r10%", "\r20%\r", "30%\n", "\n", "end"):
        lines.write(piece)
    assert got == ["ab", "c", "30%"]
    lines.finish()
    assert got[-1] == "end"


def test_of_two_secrets_one_of_which_begins_the_other_both_are_hidden() -> None:
    assert redactor(["token", "token-longer"])("token-longer token") == "********** **********"


def test_rich_and_structlog_are_not_imported_before_something_is_told() -> None:
    import subprocess

    words = "import sys, fsm.view.terminal, fsm.run; print(sorted({'rich', 'structlog'} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    out = subprocess.run(
        [sys.executable, "-c", words], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "[]"
