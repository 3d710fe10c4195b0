"""The page on a large store: how long until it is drawn, and what the coordinator takes for it."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
from playwright.sync_api import Browser
from sqlalchemy import Engine, insert

from agents.coordinator import schema
from agents.coordinator.summary_rows import columns_of
from profiler.errors import FleetmarkError
from profiler.result import RunResult
from profiler.spec import ArchitectureRef, Library, RunSpec
from tests.benchmarks.context import Context, say
from tests.benchmarks.report import Section, Table, median_and_range
from tests.builders import make_inventory, make_latency, make_request, make_result
from tests.web.chromium import chromium, tab
from tests.web.world import World

NAME = "page_load"
DEVICES, RUNS = 1_000, 100_000
QUICK_DEVICES, QUICK_RUNS = 50, 500
TIMES, QUICK_TIMES = 7, 2
MODELS = [f"model_{index:02d}" for index in range(40)]
CHUNK = 2_000

VIEWS = {
    "fleet": "/devices",
    "results": "/results",
    "results, filtered": "/results?words=board-0042",
    "jobs": "/jobs",
    "history": f"/history?device=board-0001&model={MODELS[1]}",
    "a model on all devices": f"/compare?model={MODELS[3]}",
}
ROUTES = {
    "overview": "/api/v1/page/overview",
    "60 devices": "/api/v1/page/devices",
    "50 results": "/api/v1/page/runs",
    "50 results, filtered": "/api/v1/page/runs?words=board-0042",
    "no result has the words": "/api/v1/page/runs?words=nothing-has-this",
    "the newest of a model on all devices": f"/api/v1/page/latest?model={MODELS[3]}",
    "names to choose from": "/api/v1/page/names",
}


def run(context: Context) -> Section:
    devices, runs, times = (
        (QUICK_DEVICES, QUICK_RUNS, QUICK_TIMES) if context.quick else (DEVICES, RUNS, TIMES)
    )
    world = World(context.directory / "page")
    try:
        say(f"writing a store of {devices} devices and {runs} runs")
        fill(world.engine, devices, runs)
        # A thousand stand-ins on this machine would be measured, not the page: none is here.
        world.start(quiet=True)
        routes = _routes(world, times)
        views = _views(world, times)
    finally:
        world.stop()
        world.engine.dispose()
        shutil.rmtree(world.root, ignore_errors=True)
    return _section(devices, runs, routes, views)


# --- a store of that size ----------------------------------------------------------------------


def fill(engine: Engine, devices: int, runs: int) -> None:
    """Devices, jobs, runs and results, spread over three months; a hundredth has failed."""
    random.seed(1)
    now = datetime.now(timezone.utc)
    names = [f"board-{index:04d}" for index in range(devices)]
    inventory = make_inventory().model_dump_json()
    spec = RunSpec(
        model=ArchitectureRef(library=Library.TORCHVISION, name="resnet18"), runtime="torch"
    ).model_dump_json()
    with engine.begin() as db:
        db.execute(insert(schema.devices), [_device(name, inventory, now) for name in names])
        jobs = max(1, runs // 50)
        request = make_request().model_dump_json()
        for first in range(0, jobs, CHUNK):
            db.execute(insert(schema.jobs), [
                {"id": f"job{n}", "request": request, "model": MODELS[n % len(MODELS)],
                 "created_at": now} for n in range(first, min(first + CHUNK, jobs))
            ])  # fmt: skip
        for chunk in _chunks(runs, names, spec, jobs, now):
            db.execute(insert(schema.runs), chunk["runs"])
            db.execute(insert(schema.results), chunk["results"])
            db.execute(insert(schema.summaries), chunk["summaries"])


def _device(name: str, inventory: str, now: datetime) -> dict[str, Any]:
    return {
        "id": name, "name": name, "key_sha256": "0" * 64, "labels": '{"room": "lab"}',
        "inventory": inventory, "address": "127.0.0.1", "metrics_port": 9, "registered_at": now,
        "last_seen_at": now, "removed": False,
        "versions": '{"fleetmark":"0.1.0","protocol":2,"ray":"2.50.0","python":"3.11.7"}',
    }  # fmt: skip


def _chunks(
    runs: int, names: list[str], spec: str, jobs: int, now: datetime
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    result = make_result()
    whole = result.model_dump_json()
    for first in range(0, runs, CHUNK):
        chunk: dict[str, list[dict[str, Any]]] = {"runs": [], "results": [], "summaries": []}
        for n in range(first, min(first + CHUNK, runs)):
            device, model = names[n % len(names)], MODELS[n // len(names) % len(MODELS)]
            ended = now - timedelta(minutes=(runs - n) * 1.3)
            summary = columns_of(n + 1, _measured(result, n, device, model, ended, jobs))
            row = {"job_id": f"job{n % jobs}", "device_id": device, "device": device}
            chunk["runs"].append({
                "id": f"run{n}", **row, "spec": spec, "state": "succeeded", "attempt": 1,
                "max_attempts": 3, "created_at": ended, "started_at": ended, "finished_at": ended,
            })  # fmt: skip
            chunk["results"].append({
                "seq": n + 1, "run_id": f"run{n}", "device_id": device, "device": device,
                "model": model, "status": summary["status"], "series": summary["series"],
                "result": whole, "received_at": ended,
            })  # fmt: skip
            chunk["summaries"].append(summary)
        yield chunk


def _measured(
    result: RunResult, n: int, device: str, model: str, ended: datetime, jobs: int
) -> RunResult:
    return result.model_copy(
        update={
            "run_id": f"run{n}",
            "job_id": f"job{n % jobs}",
            "device": device,
            "model": model,
            "finished_at": ended,
            "latency": make_latency(random.lognormvariate(-4, 0.6), 0.004),
        }
    )


# --- what is measured --------------------------------------------------------------------------


def _routes(world: World, times: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ROUTES}
    headers = {"Authorization": f"Bearer {world.token}"}
    with httpx.Client(base_url=world.url, headers=headers, timeout=60) as client:
        for _ in range(times):
            for name, path in ROUTES.items():
                before = time.perf_counter()
                client.get(path).raise_for_status()
                found[name].append(time.perf_counter() - before)
    return found


def _views(world: World, times: int) -> dict[str, dict[str, list[float]]]:
    program = shutil.which("chromium")
    if program is None:
        say("chromium is not installed: no view is opened")
        return {}
    with chromium(program) as browser:
        return {name: _view(browser, world, to, times) for name, to in VIEWS.items()}


# Set by the page's own clock, from the navigation on.
PAINT = """new Promise((done) => { const look = () => {
  const [found] = performance.getEntriesByName('first-contentful-paint');
  return found ? done(found.startTime) : setTimeout(look, 5); }; look(); })"""
DRAWN = """new Promise((done) => { const look = () => document.querySelector('main h1')
  ? requestAnimationFrame(() => done(performance.now())) : setTimeout(look, 5); look(); })"""


def _view(browser: Browser, world: World, to: str, times: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"first paint": [], "drawn with its data": []}
    for _ in range(times):
        # A tab of its own has no cache.
        with tab(browser) as page:
            # Not to its load: from then on it is looked at, every few milliseconds.
            page.goto(world.link(to), wait_until="commit")
            drawn = float(page.evaluate(DRAWN))
            found["first paint"].append(float(page.evaluate(PAINT)) / 1e3)
            found["drawn with its data"].append(drawn / 1e3)
            if "no result" in page.inner_text("main").lower():
                raise FleetmarkError(f"{to} shows nothing")
    return found


def _section(
    devices: int,
    runs: int,
    routes: dict[str, list[float]],
    views: dict[str, dict[str, list[float]]],
) -> Section:
    def cell(seconds: list[float]) -> str:
        return median_and_range(seconds)

    return Section(
        name=NAME,
        text=(
            f"A made-up store of {devices:,} devices and {runs:,} results in SQLite; the "
            "coordinator and a headless Chromium share this machine. Each view is opened anew, "
            "without a cache. Median (minimum – maximum)."
        ),
        tables=[
            Table(
                "opening a view",
                ("view", "first paint", "drawn with its data"),
                [(name, *(cell(each) for each in times.values())) for name, times in views.items()],
            ),
            Table(
                "the coordinator's answer",
                ("question", "seconds"),
                [(name, cell(times)) for name, times in routes.items()],
            ),
        ],
        data={"views": views, "routes": routes},
    )
