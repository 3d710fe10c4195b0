"""Routes of the page: listings by the page, charts in few points, and views that change."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import BaseModel

from agents.coordinator import charts
from agents.coordinator.auth import Role, Tokens
from agents.coordinator.events import Streams
from agents.coordinator.history import history
from agents.coordinator.samples import RawTable
from agents.coordinator.service import Coordinator
from agents.coordinator.store_errors import NotFoundError
from agents.messages import DeviceState, JobRequest
from agents.views import (
    CHART_POINTS,
    Architectures,
    DevicePage,
    DeviceView,
    History,
    JobPage,
    JobView,
    LatestRuns,
    Names,
    Overview,
    Pair,
    Preview,
    RunChart,
    RunPage,
    RunView,
)
from profiler.comparing.comparable import FIELDS
from profiler.comparing.results import compare_results
from profiler.errors import InputError
from profiler.result import RunResult, RunStatus

PageLimit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Words = Annotated[str, Query(max_length=200)]
Name = Annotated[str, Query(min_length=1, max_length=200)]
# A bootstrap of many iterations takes a second; a page that is loaded again need not wait for it.
KEPT_PAIRS = 64


def add_page(app: FastAPI, coordinator: Coordinator, guard: Any) -> None:
    """Args:
    app: to add the routes to.
    coordinator: who answers.
    guard: the dependency that wants the admin's token.
    """
    _add_listings(app, coordinator, guard)
    _add_views(app, coordinator, guard)
    _add_charts(app, coordinator, guard)
    _add_events(app, coordinator, guard)


def _add_listings(app: FastAPI, coordinator: Coordinator, guard: Any) -> None:
    listings, watching = coordinator.listings, coordinator.watching

    @app.get("/api/v1/page/runs", dependencies=[guard])
    def _runs(
        limit: PageLimit = 50,
        before: Annotated[int | None, Query(ge=1)] = None,
        words: Words = "",
        device: str | None = None,
        model: str | None = None,
        job: str | None = None,
        status: RunStatus | None = None,
    ) -> RunPage:
        return listings.runs(
            limit, before=before, words=words, device=device, model=model, job=job, status=status
        )

    @app.get("/api/v1/page/devices", dependencies=[guard])
    def _devices(
        limit: PageLimit = 60,
        offset: Offset = 0,
        words: Words = "",
        state: DeviceState | None = None,
        power: bool = False,
    ) -> DevicePage:
        return watching.devices(limit, offset, words, state, power=power)

    @app.get("/api/v1/page/jobs", dependencies=[guard])
    def _jobs(limit: PageLimit = 30, offset: Offset = 0) -> JobPage:
        return listings.jobs(limit, offset)

    @app.get("/api/v1/page/names", dependencies=[guard])
    def _names() -> Names:
        return Names(models=listings.models(), devices=coordinator.device_names())

    @app.get("/api/v1/page/architectures", dependencies=[guard])
    def _architectures() -> Architectures:
        return watching.architectures()

    @app.post("/api/v1/page/preview", dependencies=[guard])
    def _preview(body: JobRequest) -> Preview:
        """What the job would be; nothing is queued."""
        return coordinator.preview(body)


def _add_views(app: FastAPI, coordinator: Coordinator, guard: Any) -> None:
    watching = coordinator.watching

    @app.get("/api/v1/page/overview", dependencies=[guard])
    def _overview() -> Overview:
        return watching.overview()

    @app.get("/api/v1/page/devices/{name}", dependencies=[guard])
    def _device(name: str) -> DeviceView:
        return watching.device(name)

    @app.get("/api/v1/page/jobs/{job_id}", dependencies=[guard])
    def _job(job_id: str) -> JobView:
        return watching.job(job_id)

    @app.get("/api/v1/page/runs/{run_id}", dependencies=[guard])
    def _run(run_id: str) -> RunView:
        return watching.run(run_id)


def _add_charts(app: FastAPI, coordinator: Coordinator, guard: Any) -> None:
    listings = coordinator.listings
    pair = lru_cache(KEPT_PAIRS)(lambda *ids: _pair(coordinator, *ids))

    @app.get("/api/v1/page/runs/{run_id}/chart", dependencies=[guard])
    def _chart(run_id: str) -> RunChart:
        """The iterations in ``CHART_POINTS`` buckets at most."""
        result = coordinator.result(run_id)
        path = coordinator.samples.path(run_id, result.attempt)
        if not path.exists():
            raise NotFoundError(f"run {run_id} has no raw iterations ({result.status})")
        trace = coordinator.samples.path(run_id, result.attempt, RawTable.TRACE)
        return charts.run_chart(charts.read(path), trace)

    @app.get("/api/v1/page/history", dependencies=[guard])
    def _history(device: Name, model: Name) -> History:
        found = listings.history(device, model, CHART_POINTS + 1)
        return history(device, model, found[:CHART_POINTS], cut=len(found) > CHART_POINTS)

    @app.get("/api/v1/page/latest", dependencies=[guard])
    def _latest(device: str | None = None, model: str | None = None) -> LatestRuns:
        return listings.latest(CHART_POINTS, device=device, model=model)

    @app.get("/api/v1/page/comparison", dependencies=[guard])
    def _comparison(baseline: Name, candidate: Name, across: Words = "") -> Pair:
        """Two results and the verdict; ``across``: fields that are meant to differ, by comma."""
        found: Pair = pair(baseline, candidate, _fields(across))
        return found


def _fields(text: str) -> tuple[str, ...]:
    fields = tuple(sorted({part.strip() for part in text.split(",") if part.strip()}))
    for field in fields:
        if field.partition(".")[0] not in FIELDS:
            raise InputError("across", field, "is unknown", f"There are: {', '.join(FIELDS)}")
    return fields


def _pair(coordinator: Coordinator, old: str, new: str, across: tuple[str, ...]) -> Pair:
    results = coordinator.result(old), coordinator.result(new)
    paths = [coordinator.samples.path(each.run_id, each.attempt) for each in results]
    raw = None
    if all(path.exists() for path in paths) and all(map(_has_latency, results)):
        groups = [charts.read(path).timed_groups() for path in paths]
        raw = (groups[0], groups[1])
    found = compare_results(*results, across=across, iterations=raw)
    return Pair(baseline=results[0], candidate=results[1], comparison=found)


def _has_latency(result: RunResult) -> bool:
    return result.latency is not None


# --- events ------------------------------------------------------------------------------------


def _topic(coordinator: Coordinator, topic: str) -> Callable[[], BaseModel]:
    """``overview``, ``device:NAME``, ``job:ID``, ``run:ID`` → how the view is made.

    Raises:
        InputError: there is no such topic.
    """
    watching = coordinator.watching
    kind, _, name = topic.partition(":")
    named: dict[str, Callable[[str], BaseModel]] = {
        "device": watching.device,
        "job": watching.job,
        "run": watching.run,
    }
    if topic == "overview":
        return watching.overview
    if kind in named and name:
        return lambda: named[kind](name)
    raise InputError(
        "topic", topic, "is unknown", "There are overview, device:NAME, job:ID, run:ID"
    )


def _add_events(app: FastAPI, coordinator: Coordinator, guard: Any) -> None:
    streams: Streams = coordinator.streams

    @app.get("/api/v1/events", dependencies=[guard], response_class=StreamingResponse)
    def _events(
        request: Request,
        topic: Annotated[str, Query(max_length=300)] = "overview",
        last_event_id: Annotated[str | None, Header(max_length=64)] = None,
    ) -> StreamingResponse:
        """A view as server-sent events: sent at once, unless it was seen, and at every change."""
        make = _topic(coordinator, topic)
        streams.refuse_if_full()
        tokens: Tokens = request.app.state.tokens
        _, given = get_authorization_scheme_param(request.headers.get("Authorization"))

        def may() -> bool:
            return tokens.role_of(given) is Role.ADMIN

        return StreamingResponse(
            streams.follow(topic, make, may, last_event_id), media_type="text/event-stream"
        )
