"""How the tests are spread over the processes that run them, and what is said at the end of those that were not run."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests import order
from tests.local_run import local_run

__all__ = ["local_run"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadscope`: hand out what stays together by tests/order.py, when a process is about to run dry.

    Of xdist's own, `loadfile` keeps every file together, and `loadgroup` nothing under pytest 9.2 (pytest-xdist #1386).
    """
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Spread(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return order.group(nodeid)

    config.option.loadscopereorder = False
    return Spread(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes run the tests, begin with what takes long: they end together."""
    if hasattr(config, "workerinput"):
        items[:] = order.longest_first(items)


@pytest.fixture(autouse=True)
def no_loop_of_a_browser(request: pytest.FixtureRequest) -> Iterator[None]:
    """Playwright's synchronous interface leaves its event loop as the running one of the thread for as long as the browser lives:
    only who looks at pages finds it."""
    running = asyncio._get_running_loop()
    if running is None or "chromium" in request.fixturenames:
        yield
        return
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(running)


def unrun(stats: Mapping[str, list[pytest.TestReport]]) -> list[tuple[str, int]]:
    """Why tests were skipped, and how many for each reason, most first."""
    reasons: Counter[str] = Counter()
    for report in stats.get("skipped", ()):
        said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[said.removeprefix("Skipped: ")] += 1
    return reasons.most_common()


def _stats(config: pytest.Config) -> Mapping[str, list[pytest.TestReport]]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.stats if reporter is not None else {}


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI is set everything must have been run: a test that was skipped fails the whole."""
    if os.environ.get("CI") and session.exitstatus == 0 and unrun(_stats(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason, count in unrun(terminalreporter.stats):
        tests = "1 test was" if count == 1 else f"{count} tests were"
        terminalreporter.write_line(f"{tests} not run: {reason}", yellow=True, bold=True)
    if os.environ.get("CI") and unrun(terminalreporter.stats):
        terminalreporter.write_line("CI is set: a test that is not run is a failure.", red=True, bold=True)
