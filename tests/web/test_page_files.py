"""The page's files, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import agents

WEB = Path(agents.__file__).parent / "coordinator" / "web"
FILES = {path.name: path.read_text() for path in WEB.iterdir()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    page = FILES["index.html"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)
    local = [each for each in linked if not each.startswith(("data:", "#"))]
    assert {each.removeprefix("/static/") for each in local} <= set(FILES)
    for name, text in FILES.items():
        # The name of SVG's namespace is no address that is asked for anything.
        found = set(
            re.findall(r"https?://[^\s\"'`)]+", text.replace("http://www.w3.org/2000/svg", ""))
        )
        assert not found, name


def test_the_scripts_never_make_markup_of_text() -> None:
    for name, script in SCRIPTS.items():
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in script, name


def test_every_module_is_fetched_at_once_and_imports_what_is_there() -> None:
    page = FILES["index.html"]
    preloaded = set(re.findall(r'modulepreload" href="/static/([^"]+)"', page))
    assert preloaded == set(SCRIPTS) - {"main.js"}
    for name, script in SCRIPTS.items():
        assert set(re.findall(r'from "\./([^"]+)"', script)) <= set(SCRIPTS), name


def test_every_colour_class_has_a_colour() -> None:
    colours = int(re.findall(r"COLOURS = (\d+)", FILES["charts.js"])[0])
    for index in range(colours):
        assert f"--c{index}: light-dark(" in FILES["base.css"]
        assert f".swatch.c{index} " in FILES["charts.css"]
