"""Pictures of the page for the README: ``python -m tests.web.screenshots DIR``.

With ``--all``, every view at the width of a desktop and of a phone, light and dark, to look at.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.web.chromium import NARROW, WIDE, chromium, look, tab
from tests.web.views import every_view, visit
from tests.web.world import World, furnished

WIDTH = 1100
# A picture in a README is loaded by whoever looks at it.
MOST_BYTES = 150_000
# The charts, and the first news.
SETTLE_MS = 800
TALLEST = 4000
EMPTY = {
    "fleet": "/devices",
    "jobs": "/jobs",
    "submit": "/submit",
    "results": "/results",
    "compare": "/compare",
    "history": "/history?device=pi5-a&model=resnet18",
    "register": "/register",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.web.screenshots", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--all", action="store_true", help="every view, four ways")
    asked = parser.parse_args()
    program = shutil.which("chromium")
    if program is None:
        print("chromium is not installed", file=sys.stderr)
        return 1
    asked.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as root, chromium(program) as browser:
        world = World(Path(root) / "world")
        ids = furnished(world)
        world.fleet.away = {"pi5-b"}
        world.fleet.held.set()
        ids["live-job"] = world.job("resnet50", ["nuc-13", "pi5-a"])[0].job_id
        world.start()
        try:
            if asked.all:
                _every(browser, world, every_view(ids), asked.directory)
                _locked(browser, world, asked.directory)
            else:
                _two(browser, world, ids, asked.directory)
        finally:
            world.stop()
        if asked.all:
            _first_day(browser, Path(root) / "nothing", asked.directory)
    return 0


def _two(browser: Browser, world: World, ids: dict[str, str], directory: Path) -> None:
    for name, to, height in (("fleet", "/devices", 800), ("run", f"/runs/{ids['good']}", 960)):
        path = directory / f"page-{name}.png"
        with tab(browser) as page:
            look(page, WIDTH, height=height)
            _open(page, world, to)
            page.screenshot(path=path)
        if path.stat().st_size > MOST_BYTES:
            raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {MOST_BYTES}")
        print(path)


def _every(browser: Browser, world: World, views: dict[str, str], directory: Path) -> None:
    with tab(browser) as page:
        for name, to in views.items():
            for width in (WIDE, NARROW):
                for dark in (False, True):
                    look(page, width, height=900, dark=dark)
                    _open(page, world, to)
                    _take(page, directory / f"{name}-{width}-{'dark' if dark else 'light'}.png")


def _locked(browser: Browser, world: World, directory: Path) -> None:
    with tab(browser) as page:
        for width in (WIDE, NARROW):
            for dark in (False, True):
                look(page, width, height=900, dark=dark)
                page.goto("about:blank")
                page.goto(f"{world.url}/#token=wrong")
                expect(page.locator("#token-form")).to_be_visible()
                _take(page, directory / f"locked-{width}-{'dark' if dark else 'light'}.png")


def _first_day(browser: Browser, root: Path, directory: Path) -> None:
    world = World(root)
    world.start()
    try:
        views = {f"empty-{name}": to for name, to in EMPTY.items()}
        _every(browser, world, views, directory)
    finally:
        world.stop()


def _open(page: Page, world: World, to: str) -> None:
    visit(page, world, to)
    page.wait_for_timeout(SETTLE_MS)


def _take(page: Page, path: Path) -> None:
    tall = page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": min(tall, TALLEST)}
    page.screenshot(path=path, full_page=True, clip=clip)
    print(path)


if __name__ == "__main__":
    raise SystemExit(main())
