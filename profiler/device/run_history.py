"""Medians of earlier runs on this device, by configuration, kept beside the cache."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import Field, ValidationError

from profiler.base import Frozen
from profiler.result import RunResult

_NAME = "runs.json"
# Of one configuration, and of all together: a file that is read in a millisecond.
MOST_RUNS = 20
MOST_CONFIGURATIONS = 500


class Past(Frozen):
    """A run that was.

    Attributes:
        sentinel_kind: ``None`` where none was timed; so is ``sentinel_seconds``.
        usual_seconds: what the sentinel usually takes on the device, once that is known.
    """

    finished_at: datetime
    p50_seconds: float = Field(gt=0)
    sentinel_kind: str | None = None
    sentinel_seconds: float | None = Field(default=None, gt=0)
    usual_seconds: float | None = Field(default=None, gt=0)


class _History(Frozen):
    configurations: dict[str, tuple[Past, ...]] = Field(default_factory=dict)


def configuration_of(result: RunResult) -> str:
    """Names what has to be equal for two runs to measure the same."""
    parts = [
        result.model_info.source, result.model_info.digest, result.runtime,
        result.runtime_version, result.precision, result.accelerator, result.threads,
        result.batch_size, [(i.name, i.dtype, i.shape) for i in result.inputs],
        result.scenario, result.seed,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def past_runs(directory: Path, configuration: str) -> tuple[Past, ...]:
    """Earlier runs, oldest first; empty where none is known, or the file is none of ours."""
    return _load(directory).configurations.get(configuration, ())


def other_runs(directory: Path, configuration: str) -> tuple[tuple[Past, ...], ...]:
    """Those of all other configurations, the one that was measured last at the end."""
    known = _load(directory).configurations
    return tuple(runs for name, runs in known.items() if name != configuration)


def remember(directory: Path, configuration: str, run: Past) -> None:
    """Add a run. Runs that end at once are both kept.

    Raises:
        OSError: the file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _alone(directory):
        known = dict(_load(directory).configurations)
        runs = (*known.pop(configuration, ()), run)[-MOST_RUNS:]
        # The configuration that was measured last is the last one to be forgotten.
        kept = [*known.items(), (configuration, runs)][-MOST_CONFIGURATIONS:]
        path = directory / _NAME
        partial = path.with_suffix(".partial")
        text = _History(configurations=dict(kept)).model_dump_json()
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)


def _load(directory: Path) -> _History:
    try:
        return _History.model_validate_json((directory / _NAME).read_bytes())
    except (OSError, ValidationError):
        return _History()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with (directory / "runs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
