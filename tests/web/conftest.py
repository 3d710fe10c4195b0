"""One Chromium for a module, and a coordinator that it looks at."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.tools import need_program
from tests.web.page_browser import Browser
from tests.web.world import World, furnished

EXPECTED_COMPLAINTS = re.compile(
    # A browser logs these by itself for every answer of its kind, handled or not.
    r"network: Failed to load resource: .*(401|404|410|422|ERR_CONNECTION_REFUSED"
    r"|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED_ENCODING)"
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(need_program("chromium"), tmp_path_factory.mktemp("profile"))
    try:
        browser.open_tab()
        yield browser
    finally:
        browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A clean slate before, and nothing to complain about after."""
    chromium.complaints.clear()
    chromium.dialogs.clear()
    chromium.requests.clear()
    chromium.view(1280)
    yield chromium
    assert [text for text in chromium.complaints if not EXPECTED_COMPLAINTS.match(text)] == []
    assert chromium.evaluate("document.title") != "owned"
    elsewhere = re.compile(r"^(?!http://127\.0\.0\.1:|about:|data:|blob:)")
    assert [url for url in chromium.requests if elsewhere.match(url)] == []


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A fleet with a past, and one job that stays half way. For tests that change nothing."""
    world = World(tmp_path_factory.mktemp("fleet"))
    world.ids = furnished(world)
    world.fleet.away = {"pi5-b"}
    world.fleet.held.set()
    world.ids["live-job"] = world.job("resnet50", ["nuc-13", "pi5-a"])[0].job_id
    world.start()
    yield world
    world.stop()
    world.engine.dispose()


@pytest.fixture
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A coordinator on its first day."""
    world = World(tmp_path_factory.mktemp("nothing"))
    world.start()
    yield world
    world.stop()
    world.engine.dispose()
