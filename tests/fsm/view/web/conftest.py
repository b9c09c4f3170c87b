"""The page in a real browser: a server and runs in processes of their own, as users have them."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fsm.engine import Machine, Registry
from fsm.view.web import pictures
from tests.fsm.view.web.works import PATIENCE, VIEW, Opened, Works
from tests.needs import listed, require


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are kept once they were drawn."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def drawings(cache: Path) -> None:
    """The bakery's pictures are there already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.syspath_prepend(str(VIEW))
        machines = Registry("toys.machines", Machine)
        for name in ("bakery", "oven", "mishaps"):
            pictures.drawn(machines[name])


@pytest.fixture
def works(tmp_path: Path, cache: Path) -> Iterator[Works]:
    made = Works(tmp_path, cache)
    yield made
    made.end()


@functools.cache
def _launched() -> Any:
    """One browser for all tests of the process, wherever they stand: Playwright cannot be begun twice in one."""
    from playwright.sync_api import sync_playwright

    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=listed.chromium(), args=["--no-sandbox"])
    atexit.register(playwright.stop)
    atexit.register(browser.close)
    return browser


@pytest.fixture(scope="session")
def chromium() -> Any:
    require("chromium")
    return _launched()


@pytest.fixture
def opened(chromium: Any, drawings: None) -> Iterator[Opened]:
    """A page of a browser of its own; in the end nothing went beyond loopback, and nothing was complained of."""
    context = chromium.new_context(viewport={"width": 1500, "height": 950})
    context.set_default_timeout(PATIENCE * 1000)
    one = Opened(context.new_page())
    yield one
    context.close()
    beyond = [url for url in one.asked if urlsplit(url).hostname not in ("127.0.0.1", None)]
    assert beyond == []
    assert one.complaints == []
