"""The HTTP API, version 1. Everything but ``/healthz`` and the page's own files needs a token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CollectorRegistry
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from agents.coordinator.auth import Role, Tokens
from agents.coordinator.baseline_routes import add_baselines
from agents.coordinator.database import StoreFullError
from agents.coordinator.events import BusyError
from agents.coordinator.page_api import add_page
from agents.coordinator.samples import RawTable
from agents.coordinator.service import Coordinator
from agents.coordinator.store_errors import GoneError, NotFoundError
from agents.exporter import CoordinatorCollector
from agents.exposition import expose
from agents.messages import (
    Admission,
    DeviceList,
    Heartbeat,
    HeartbeatAnswer,
    Job,
    JobList,
    JobRequest,
    JobWithRuns,
    Problem,
    Registration,
    RunList,
)
from agents.views import MeasuredModelList
from profiler.base import Frozen
from profiler.device.environment import fleetmark_version
from profiler.errors import InputError
from profiler.refusal import first_of
from profiler.result import RunResult
from profiler.spec import ArtifactRef

MAX_LISTED = 1000
Limit = Annotated[int, Query(ge=1, le=MAX_LISTED)]

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Meta(Frozen):
    """What the page shows of the coordinator itself."""

    version: str
    url: str
    join_command: str
    agent_token_file: str = ""
    python: str = ""
    ray: str = ""


class ScrapeTarget(Frozen):
    """One entry of Prometheus' HTTP service discovery."""

    targets: tuple[str, ...]
    labels: dict[str, str]


def create_app(coordinator: Coordinator, tokens: Tokens, meta: Meta) -> FastAPI:
    """The application; its lifespan is the coordinator's."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await coordinator.start()
        yield
        await coordinator.stop()

    app = FastAPI(
        title="fleetmark",
        version=fleetmark_version(),
        lifespan=lifespan,
        # Served below, to those who have a token.
        openapi_url=None,
        # Its page loads scripts from elsewhere, which the content policy forbids.
        docs_url=None,
        redoc_url=None,
    )
    app.state.coordinator, app.state.tokens, app.state.meta = coordinator, tokens, meta
    _add_errors(app)
    _add_headers(app)
    _add_public(app)
    _add_devices(app, coordinator)
    _add_measured_models(app, coordinator)
    _add_jobs(app, coordinator)
    # Before the raw tables, whose route takes any name behind a run's id.
    add_baselines(app, coordinator, needs())
    _add_results(app, coordinator)
    _add_metrics(app, coordinator)
    add_page(app, coordinator, needs())
    return app


# --- who may -----------------------------------------------------------------------------------

_bearer = HTTPBearer(auto_error=False, description="A token of the coordinator")


def needs(*roles: Role) -> Any:
    """A dependency: the caller holds the token of one of ``roles``, or of ``admin``."""

    def check(
        request: Request,
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> None:
        tokens: Tokens = request.app.state.tokens
        role = tokens.role_of(given.credentials) if given else None
        if role is None:
            problem = "no token was given" if given is None else "the token is wrong"
            raise HTTPException(
                401,
                Problem(
                    field="token",
                    problem=problem,
                    remedy=f"Tokens are in the coordinator's {tokens.directory}: use --token-file",
                ).model_dump(),
                headers={"WWW-Authenticate": "Bearer"},
            )
        if role is not Role.ADMIN and role not in roles:
            raise HTTPException(
                403,
                Problem(
                    field="token",
                    problem=f"the {role} token may not do this",
                    remedy="Use the admin token",
                ).model_dump(),
            )

    return Depends(check)


# --- errors ------------------------------------------------------------------------------------


def _answer(status: int, problem: Problem, headers: Any = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(), status_code=status, headers=headers)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(InputError)
    async def _input(_: Request, error: InputError) -> JSONResponse:
        return _answer(
            422,
            Problem(
                field=error.field, value=error.value, problem=error.problem, remedy=error.remedy
            ),
        )

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        found = first_of(first)
        field = ".".join(part for part in found.field if part != "body")
        if first["type"] == "json_invalid":
            # What stands there is a position.
            field = "body"
        value = None if isinstance(found.value, dict | list) else str(found.value)[:200]
        remedy = "See /api/v1/openapi.json for what is accepted"
        return _answer(422, Problem(field=field, value=value, problem=found.problem, remedy=remedy))

    @app.exception_handler(NotFoundError)
    async def _missing(_: Request, error: NotFoundError) -> JSONResponse:
        return _answer(404, Problem(problem=str(error), remedy="Check the name or the id"))

    @app.exception_handler(GoneError)
    async def _gone(_: Request, error: GoneError) -> JSONResponse:
        remedy = "Start `fleetmark agent` on it again to let it back in"
        return _answer(410, Problem(problem=str(error), remedy=remedy))

    @app.exception_handler(StoreFullError)
    async def _full(_: Request, error: StoreFullError) -> JSONResponse:
        return _answer(507, Problem(problem=str(error), remedy="Nothing was changed"))

    @app.exception_handler(BusyError)
    async def _busy(_: Request, error: BusyError) -> JSONResponse:
        return _answer(503, Problem(problem=str(error), remedy="Close some of them"))

    @app.exception_handler(StarletteHTTPException)
    async def _http(_: Request, error: StarletteHTTPException) -> JSONResponse:
        if isinstance(error.detail, dict):
            return _answer(error.status_code, Problem(**error.detail), error.headers)
        remedy = "See /api/v1/openapi.json for what there is"
        return _answer(error.status_code, Problem(problem=str(error.detail), remedy=remedy))


def _add_headers(app: FastAPI) -> None:
    @app.middleware("http")
    async def _secure(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers.update(SECURITY_HEADERS)
        return response


# --- routes ------------------------------------------------------------------------------------

MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def _add_public(app: FastAPI) -> None:
    web = files("agents.coordinator") / "web"
    # What is served is what is there now, by name: no request is ever a path.
    page = {
        each.name: MEDIA_TYPES[suffix]
        for each in web.iterdir()
        if (suffix := PurePath(each.name).suffix) in MEDIA_TYPES
    }

    @app.get("/healthz", include_in_schema=False)
    def _health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/", include_in_schema=False)
    def _index() -> FileResponse:
        return FileResponse(str(web / "index.html"), media_type="text/html")

    @app.get("/static/{name}", include_in_schema=False)
    def _static(name: str) -> FileResponse:
        if name not in page:
            raise HTTPException(404, "no such file")
        return FileResponse(str(web / name), media_type=page[name])


def _add_devices(app: FastAPI, coordinator: Coordinator) -> None:
    @app.post("/api/v1/devices", status_code=201, dependencies=[needs(Role.AGENT)])
    def _register(body: Registration) -> Admission:
        return coordinator.register(body)

    @app.post("/api/v1/devices/{device_id}/heartbeat", dependencies=[needs(Role.AGENT)])
    def _heartbeat(device_id: str, body: Heartbeat) -> HeartbeatAnswer:
        return coordinator.heartbeat(device_id, body)

    @app.get("/api/v1/devices", dependencies=[needs()])
    def _devices() -> DeviceList:
        return DeviceList(devices=coordinator.devices())

    @app.delete("/api/v1/devices/{name}", status_code=204, dependencies=[needs()])
    def _remove(name: str) -> None:
        coordinator.remove_device(name)


def _add_measured_models(app: FastAPI, coordinator: Coordinator) -> None:
    @app.get("/api/v1/models", dependencies=[needs()])
    def _models() -> MeasuredModelList:
        """Models that there are results of, the one that was measured last first."""
        return coordinator.measured_models()

    # By query and not by path: a model's name may have a slash.
    @app.delete("/api/v1/models", status_code=204, dependencies=[needs()])
    def _remove_model(name: Annotated[str, Query(min_length=1, max_length=200)]) -> None:
        """Its results stay; no metric, standing or board has it until it is measured again."""
        coordinator.remove_model(name)


def _add_jobs(app: FastAPI, coordinator: Coordinator) -> None:
    @app.post("/api/v1/models", status_code=201, dependencies=[needs()])
    async def _upload(
        request: Request, name: Annotated[str, Query(min_length=1, max_length=200)]
    ) -> ArtifactRef:
        return await _receive(request, coordinator, name)

    @app.post("/api/v1/jobs", status_code=201, dependencies=[needs()])
    def _submit(body: JobRequest) -> JobWithRuns:
        return coordinator.submit(body)

    @app.get("/api/v1/jobs", dependencies=[needs()])
    def _jobs(limit: Limit = 50) -> JobList:
        return JobList(jobs=coordinator.jobs(limit))

    @app.get("/api/v1/jobs/{job_id}", dependencies=[needs()])
    def _job(job_id: str) -> JobWithRuns:
        return coordinator.job(job_id)

    @app.post("/api/v1/jobs/{job_id}/cancel", dependencies=[needs()])
    def _cancel(job_id: str) -> Job:
        return coordinator.cancel(job_id)


async def _receive(request: Request, coordinator: Coordinator, name: str) -> ArtifactRef:
    """Pass the body on to the model store, a chunk at a time, without holding it in memory."""
    try:
        with coordinator.models.receive(name) as upload:
            async for chunk in request.stream():
                await run_in_threadpool(upload.write, chunk)
            return await run_in_threadpool(upload.finish)
    except OSError as error:
        raise StoreFullError(f"the model cannot be stored: {error.strerror}") from error


def _add_results(app: FastAPI, coordinator: Coordinator) -> None:
    @app.get("/api/v1/runs", dependencies=[needs()])
    def _runs(limit: Limit = 100, job: str | None = None, device: str | None = None) -> RunList:
        return coordinator.runs(limit, job, device)

    @app.get("/api/v1/runs/{run_id}", dependencies=[needs()])
    def _result(run_id: str) -> RunResult:
        return coordinator.result(run_id)

    @app.get("/api/v1/runs/{run_id}/{table}", dependencies=[needs()])
    def _raw(run_id: str, table: RawTable) -> FileResponse:
        """Raw data as Parquet: iterations, the blocks they were timed in, sentinel, sensors."""
        result = coordinator.result(run_id)
        path = coordinator.samples.path(run_id, result.attempt, table)
        if not path.exists():
            raise NotFoundError(f"run {run_id} has no raw {table} ({result.status})")
        return FileResponse(
            path,
            media_type="application/vnd.apache.parquet",
            filename=f"{run_id}.{table}.parquet",
        )


def _add_metrics(app: FastAPI, coordinator: Coordinator) -> None:
    registry = CollectorRegistry()
    registry.register(CoordinatorCollector(coordinator.snapshot))
    meta: Meta = app.state.meta

    @app.get("/metrics", include_in_schema=False, dependencies=[needs(Role.METRICS)])
    def _metrics(request: Request) -> Response:
        found = expose(registry, request.headers.get("Accept"))
        return Response(found.body, media_type=found.content_type)

    @app.get("/api/v1/sd/targets", dependencies=[needs(Role.METRICS)])
    def _targets() -> tuple[ScrapeTarget, ...]:
        """Every agent, for ``http_sd_configs``; an empty list when there is none."""
        return tuple(
            ScrapeTarget(
                targets=(f"{record.address}:{record.metrics_port}",),
                labels={"device": record.name},
            )
            for record in coordinator.records()
        )

    @app.get("/api/v1/openapi.json", include_in_schema=False, dependencies=[needs()])
    def _openapi() -> dict[str, Any]:
        return app.openapi()

    @app.get("/api/v1/meta", dependencies=[needs()])
    def _meta() -> Meta:
        return meta
