"""Results by what a user calls them: a JSON file, a run's id or a job's id.

Of what a coordinator keeps there are raw iterations as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from agents.cli import connection
from agents.client import ApiError, Client
from agents.messages import RunList
from profiler.errors import FleetmarkError, InputError
from profiler.result import RunResult, RunStatus
from profiler.spec import Scenario

if TYPE_CHECKING:  # NumPy; not on the way to --help
    from profiler.comparing.compare import Sample

NOT_FOUND = 404
# The most that the coordinator lists at once.
MOST_LISTED = 1000


class Sources:
    """Files, and a coordinator that is asked only where an id is given."""

    def __init__(self, coordinator: str | None, token_file: Path | None) -> None:
        self._coordinator = coordinator
        self._token_file = token_file
        self._client: Client | None = None
        self._kept: set[str] = set()
        self.without: str | None = None
        """Why raw iterations that should be there could not be had, of the first run of those."""

    def read(self, field: str, text: str) -> list[RunResult]:
        """The results that a user names.

        Raises:
            InputError: there are none.
        """
        content = _content(field, Path(text)) if text else None
        if content is not None:
            return _from_json(field, text, content)
        if not text or Path(text).suffix or "/" in text:
            remedy = "Check the path, or give the id of a run or a job"
            raise InputError(field, text, "is no file", remedy)
        found = self._from_coordinator(field, text)
        self._kept |= {result.run_id for result in found}
        return found

    def iterations(self, result: RunResult) -> Sample | None:
        """Raw iterations of a run that was read by an id, one array per process.

        ``None`` where none are kept: of what came from a file, has failed, or has no latency by
        its nature. Where they are kept and cannot be had, ``without`` says why.
        """
        if (
            self._client is None
            or result.run_id not in self._kept
            or result.status is not RunStatus.SUCCEEDED
            or result.scenario == Scenario.OFFLINE
        ):
            return None
        try:
            return self._client.iterations(result.run_id).timed_groups() or None
        except FleetmarkError as error:
            self.without = self.without or str(error)
            return None

    def _from_coordinator(self, field: str, name: str) -> list[RunResult]:
        if self._client is None:
            self._client = connection.connect(self._coordinator, self._token_file)
        try:
            return [self._client.result(name)]
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
        return _of_job(self._client, field, name)


def _of_job(client: Client, field: str, job_id: str) -> list[RunResult]:
    try:
        job = client.job(job_id)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        remedy = "`fleetmark runs --json` and `fleetmark jobs` list ids"
        raise InputError(
            field, job_id, "is no file, no job, and no run that is over", remedy
        ) from error
    waiting = sum(not run.state.final for run in job.runs)
    if waiting:
        remedy = f"`fleetmark watch {job_id}` waits for them"
        raise InputError(field, job_id, f"has {waiting} run(s) that are not over", remedy)
    if not job.runs:
        raise InputError(field, job_id, "is a job without runs", "Give another")
    if len(job.runs) <= MOST_LISTED:
        return list(client.runs(limit=MOST_LISTED, job_id=job_id).runs)
    return [client.result(run.id) for run in job.runs]


def _content(field: str, path: Path) -> bytes | None:
    """What is in the file; ``None`` where there is none of that name.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "Give a JSON file of results, or the id of a run or a job"
        raise InputError(field, path, f"cannot be read ({why})", remedy) from error


def _from_json(field: str, name: str, content: bytes) -> list[RunResult]:
    """Raises:
    InputError: it holds no results.
    """
    remedy = "Give what `fleetmark run --json` or `fleetmark demo --json` wrote"
    try:
        found = RunList.model_validate_json(content).runs
    except ValidationError as error:
        try:
            # What the API answers for one run.
            return [RunResult.model_validate_json(content)]
        except ValidationError:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            why = f"{where}: {first['msg']}" if where else str(first["msg"])
            raise InputError(field, name, f"holds no results ({why})", remedy) from error
    if not found:
        raise InputError(field, name, "holds no results", remedy)
    return list(found)
