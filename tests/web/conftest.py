"""One Chromium for a module, and a coordinator that it looks at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.tools import need_program
from tests.web.chromium import chromium, watched_tab
from tests.web.world import World, furnished


# Of a module: while Playwright runs, asyncio takes this thread for one with a loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(need_program("chromium")) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A clean slate before, and nothing to complain about after."""
    with watched_tab(browser) as opened:
        yield opened


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
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A coordinator that does not run yet; what it shall have measured can be written now."""
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.stop()
    world.engine.dispose()


@pytest.fixture
def nothing(stopped: World) -> World:
    """A coordinator on its first day."""
    stopped.start()
    return stopped
