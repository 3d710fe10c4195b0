"""Python client of the coordinator's HTTP API, used by the command line and by the devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

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
from agents.parquet import read_iterations, require_pyarrow
from agents.verdicts import Standing, StandingList, VerdictDetail
from agents.views import DevicePage, MeasuredModelList, Overview
from profiler.base import Frozen
from profiler.errors import FleetmarkError, InputError
from profiler.result import RunResult
from profiler.spec import ArtifactRef

if TYPE_CHECKING:  # imported where it is used: a run on this machine alone needs no HTTP
    import httpx

    from profiler.samples import Iterations  # NumPy; not on the way to --help

TIMEOUT_SECONDS = 20.0
# A model may take minutes over a slow link; what counts is that bytes keep moving.
UPLOAD_WRITE_SECONDS, UPLOAD_READ_SECONDS = 120.0, 300.0
CHUNK_BYTES = 1 << 20

Answer = TypeVar("Answer", bound=Frozen)


class Unreachable(FleetmarkError):  # noqa: N818 - reads as what it says
    """No coordinator answers at the address."""


class ApiError(FleetmarkError):
    """The coordinator refused. ``status`` is the HTTP status."""

    def __init__(self, status: int, problem: Problem) -> None:
        self.status = status
        self.problem = problem
        where = f"{problem.field}: {problem.value!r} " if problem.field else ""
        super().__init__(f"{where}{problem.problem}. {problem.remedy}")


def _checked_url(text: str) -> httpx.URL:
    """Raises:
    InputError: it is no URL of a host.
    """
    import httpx

    remedy = "Write http://HOST:PORT"
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise InputError("coordinator", text, "is no URL", remedy) from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise InputError("coordinator", text, "is no URL", remedy)
    return url


def _segment(text: str) -> str:
    """What a user typed as one part of a path: it must not become another path.

    Raises:
        InputError: it can be no name and no id.
    """
    if text.strip(".") == "":
        raise InputError("id", text, "is no name and no id", "The listings show them")
    return quote(text, safe="")


def _problem(response: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return Problem(
            problem=f"the coordinator answered {response.status_code} {response.reason_phrase}",
            remedy="Is that address a fleetmark coordinator's? See its log",
        )


class Client:
    """Calls to one coordinator.

    Args:
        url: such as ``http://host:8470``.
        token: bearer token.
        transport: for tests.

    Raises:
        InputError: ``url`` is none.
        FleetmarkError: ``token`` cannot be one.
    """

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        import httpx

        self.url = url.rstrip("/")
        if not token.isascii() or not token.isprintable():
            raise FleetmarkError("the token has characters that no token of a coordinator has")
        self._http = httpx.Client(
            base_url=_checked_url(url),
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_SECONDS,
            transport=transport,
        )

    def close(self) -> None:
        self._http.close()

    def _call(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: Frozen | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Answer:
        content = body.model_dump_json().encode() if body is not None else None
        return self._parse(self._send(method, path, content=content, params=params), answer)

    def _parse(self, response: httpx.Response, answer: type[Answer]) -> Answer:
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise FleetmarkError(
                f"{self.url} answered what this version does not understand; "
                f"update the older of the two ({error.error_count()} differences)"
            ) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | Iterator[bytes] | None = None,
        params: Mapping[str, str | int] | None = None,
        timeout: httpx.Timeout | float = TIMEOUT_SECONDS,
        media_type: str = "application/json",
    ) -> httpx.Response:
        import httpx

        try:
            response = self._http.request(
                method,
                path,
                content=content,
                params=params,
                timeout=timeout,
                headers={"Content-Type": media_type},
            )
        except httpx.TransportError as error:
            raise Unreachable(f"no coordinator answers at {self.url} ({error})") from error
        if response.is_error:
            raise ApiError(response.status_code, _problem(response))
        return response

    # --- devices -----------------------------------------------------------------------------

    def register(self, registration: Registration) -> Admission:
        return self._call("POST", "/api/v1/devices", Admission, body=registration)

    def heartbeat(self, device_id: str, beat: Heartbeat) -> HeartbeatAnswer:
        path = f"/api/v1/devices/{_segment(device_id)}/heartbeat"
        return self._call("POST", path, HeartbeatAnswer, body=beat)

    def devices(self) -> DeviceList:
        return self._call("GET", "/api/v1/devices", DeviceList)

    def remove_device(self, name: str) -> None:
        self._send("DELETE", f"/api/v1/devices/{_segment(name)}")

    # --- models that were measured ------------------------------------------------------------

    def measured_models(self) -> MeasuredModelList:
        return self._call("GET", "/api/v1/models", MeasuredModelList)

    def remove_model(self, model: str) -> None:
        self._send("DELETE", "/api/v1/models", params={"name": model})

    # --- models and jobs ---------------------------------------------------------------------

    def upload(self, path: Path) -> ArtifactRef:
        """Send a model file; the coordinator inspects it before it keeps it."""

        def chunks() -> Iterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk

        import httpx

        response = self._send(
            "POST",
            "/api/v1/models",
            content=chunks(),
            params={"name": path.name},
            timeout=httpx.Timeout(
                TIMEOUT_SECONDS, write=UPLOAD_WRITE_SECONDS, read=UPLOAD_READ_SECONDS
            ),
            media_type="application/octet-stream",
        )
        return self._parse(response, ArtifactRef)

    def submit(self, request: JobRequest) -> JobWithRuns:
        return self._call("POST", "/api/v1/jobs", JobWithRuns, body=request)

    def jobs(self, limit: int = 50) -> JobList:
        return self._call("GET", "/api/v1/jobs", JobList, params={"limit": limit})

    def job(self, job_id: str) -> JobWithRuns:
        return self._call("GET", f"/api/v1/jobs/{_segment(job_id)}", JobWithRuns)

    def cancel(self, job_id: str) -> Job:
        return self._call("POST", f"/api/v1/jobs/{_segment(job_id)}/cancel", Job)

    # --- what is watched ---------------------------------------------------------------------

    def overview(self) -> Overview:
        return self._call("GET", "/api/v1/page/overview", Overview)

    def device_page(self, limit: int = 60) -> DevicePage:
        """The fleet's devices, those at work first, with the power that they draw."""
        params: dict[str, str | int] = {"limit": limit, "power": "true"}
        return self._call("GET", "/api/v1/page/devices", DevicePage, params=params)

    # --- results -----------------------------------------------------------------------------

    def runs(
        self, limit: int = 100, job_id: str | None = None, device: str | None = None
    ) -> RunList:
        params: dict[str, str | int] = {"limit": limit}
        if job_id is not None:
            params["job"] = job_id
        if device is not None:
            params["device"] = device
        return self._call("GET", "/api/v1/runs", RunList, params=params)

    def result(self, run_id: str) -> RunResult:
        return self._call("GET", f"/api/v1/runs/{_segment(run_id)}", RunResult)

    def iterations(self, run_id: str) -> Iterations:
        """Every iteration of a run, as its device measured it.

        Raises:
            ApiError: the coordinator has none of this run.
            NoPyarrow: they cannot be read here; nothing was asked for.
            FleetmarkError: what came is something else.
        """
        require_pyarrow()
        response = self._send("GET", f"/api/v1/runs/{_segment(run_id)}/iterations")
        return read_iterations(response.content)

    # --- baselines ---------------------------------------------------------------------------

    def standings(
        self, device: str | None = None, model: str | None = None, limit: int = 1000
    ) -> StandingList:
        given = {"limit": limit, "device": device, "model": model}
        params = {name: value for name, value in given.items() if value is not None}
        return self._call("GET", "/api/v1/baselines", StandingList, params=params)

    def verdict(self, run_id: str) -> VerdictDetail:
        return self._call("GET", f"/api/v1/runs/{_segment(run_id)}/verdict", VerdictDetail)

    def pin_baseline(self, run_id: str) -> Standing:
        return self._call("PUT", f"/api/v1/runs/{_segment(run_id)}/baseline", Standing)

    def unpin_baseline(self, run_id: str) -> Standing:
        return self._call("DELETE", f"/api/v1/runs/{_segment(run_id)}/baseline", Standing)

    def metrics(self) -> str:
        return self._send("GET", "/metrics").text
