"""What a new worker takes until its first word is part of where a run's time went."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from profiler.events import Phase, ProgressEvent, ResultEvent, WorkerRequest
from profiler.session import run_worker
from tests.builders import make_result, make_spec

SLOW_TO_SPEAK = 0.3


def make_worker(directory: Path, *events: ProgressEvent | ResultEvent) -> str:
    """An interpreter that says ``events``, the first of them late, whatever it is asked."""
    said = directory / "events"
    said.write_text("".join(f"{event.model_dump_json()}\n" for event in events))
    program = directory / "python"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, time\n"
        "sys.stdin.read()\n"
        f"time.sleep({SLOW_TO_SPEAK})\n"
        f"os.write(int(sys.argv[-1]), open({str(said)!r}, 'rb').read())\n"
    )
    program.chmod(0o700)
    return str(program)


def request_in(directory: Path) -> WorkerRequest:
    return WorkerRequest(
        run_id="run1", device="here", spec=make_spec(), cache_dir=directory, work_dir=directory
    )


def test_start_comes_before_the_workers_own_phases(tmp_path: Path) -> None:
    starting = ProgressEvent(phase=Phase.STARTING, fraction=0)
    result = make_result(phases_seconds={"import": 2.0})
    seen: list[ProgressEvent] = []
    asked = time.perf_counter()
    found = run_worker(
        request_in(tmp_path),
        on_progress=seen.append,
        python=make_worker(tmp_path, starting, ResultEvent(result=result)),
    )
    took = time.perf_counter() - asked
    assert found.error is None
    assert list(found.phases_seconds) == ["start", "import"]
    assert SLOW_TO_SPEAK <= found.phases_seconds["start"] <= took
    assert found.phases_seconds["import"] == pytest.approx(2.0)
    assert seen == [starting]


def test_a_worker_that_says_nothing_has_no_start(tmp_path: Path) -> None:
    result = make_result(phases_seconds={"import": 2.0})
    python = make_worker(tmp_path, ResultEvent(result=result))
    assert run_worker(request_in(tmp_path), python=python) == result
