"""Pictures of the page for the README: ``python -m tests.web.screenshots DIR``.

With ``--all``, every view at the width of a desktop and of a phone, light and dark, to look at.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.web.page_browser import Browser
from tests.web.world import World, furnished

READY = "document.querySelector('main h1') !== null"
WIDTH = 1100
# A picture in a README is loaded by whoever looks at it.
MOST_BYTES = 150_000


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
    with tempfile.TemporaryDirectory() as root:
        world = World(Path(root) / "world")
        ids = furnished(world)
        world.fleet.away = {"pi5-b"}
        world.fleet.held.set()
        ids["live-job"] = world.job("resnet50", ["nuc-13", "pi5-a"])[0].job_id
        world.start()
        browser = Browser(program, Path(root) / "profile")
        try:
            browser.open_tab()
            if asked.all:
                _everything(browser, world, ids, asked.directory)
            else:
                _two(browser, world, ids, asked.directory)
        finally:
            browser.close()
            world.stop()
    return 0


def _two(browser: Browser, world: World, ids: dict[str, str], directory: Path) -> None:
    for name, to, height in (("fleet", "/devices", 800), ("run", f"/runs/{ids['good']}", 960)):
        browser.view(WIDTH, height=height)
        _open(browser, world, to)
        path = directory / f"page-{name}.png"
        browser.screenshot(path, whole=False)
        if path.stat().st_size > MOST_BYTES:
            raise SystemExit(f"{path} has {path.stat().st_size} bytes, more than {MOST_BYTES}")
        print(path)


def _everything(browser: Browser, world: World, ids: dict[str, str], directory: Path) -> None:
    from tests.web.test_page_views import every_view

    for view in every_view(ids):
        name = view.strip("/").split("?")[0].replace("/", "-")[:24]
        for width in (1280, 375):
            for dark in (False, True):
                browser.view(width, height=900, dark=dark)
                _open(browser, world, view)
                tall = browser.evaluate("document.documentElement.scrollHeight")
                browser.view(width, height=min(int(tall), 4000), dark=dark)
                shade = "dark" if dark else "light"
                path = directory / f"{name}-{abs(hash(view)) % 100:02d}-{width}-{shade}.png"
                browser.screenshot(path)
                print(path)


def _open(browser: Browser, world: World, to: str) -> None:
    browser.open(world.link(to))
    browser.wait_for(READY)
    # The charts and the first news.
    time.sleep(0.8)


if __name__ == "__main__":
    raise SystemExit(main())
