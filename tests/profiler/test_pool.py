"""Workers that wait for their next run, and runs that take turns in them: real ones."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from profiler.errors import DeviceError
from profiler.events import ProgressEvent, WorkerRequest
from profiler.order import abba
from profiler.pool import WorkerPool
from profiler.result import FailureKind, RunResult, RunStatus, StartMethod
from profiler.samples import FILE_NAME
from profiler.session import measure, run_worker
from profiler.spec import ArtifactRef, RunSpec, Runtime
from tests.small_onnx import save_small_onnx


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[ArtifactRef, Path]:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    return save_small_onnx(path), path


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool() as found:
        yield found


def request(
    model: tuple[ArtifactRef, Path], directory: Path, run_id: str = "run1", **spec: Any
) -> WorkerRequest:
    ref, path = model
    work = directory / run_id
    work.mkdir()
    values: dict[str, Any] = {
        "model": ref,
        "runtime": Runtime.ONNXRUNTIME,
        "threads": 1,
        "repetitions": 2,
        "max_time_seconds": 0.3,
        "stop": {"min_seconds": 0.05},
    }
    return WorkerRequest(
        run_id=run_id,
        device="here",
        spec=RunSpec.model_validate(values | spec),
        model_path=path,
        cache_dir=directory / "cache",
        work_dir=work,
    )


def waiting(pool: WorkerPool) -> list[int]:
    return [worker.pid for _, worker in pool._waiting]


def test_the_second_run_finds_the_worker_of_the_first(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    first = run_worker(request(model, tmp_path, "a"), pool=pool)
    (pid,) = waiting(pool)
    second = run_worker(request(model, tmp_path, "b"), pool=pool)
    assert waiting(pool) == [pid]
    assert first.status is second.status is RunStatus.SUCCEEDED, first.error or second.error
    # Only what a new interpreter took is called its start.
    assert "start" in first.phases_seconds
    assert "start" not in second.phases_seconds
    assert [r.start_method for r in second.repetitions] == [StartMethod.FORK] * 2


def test_another_kind_of_run_ends_the_one_that_waits(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    run_worker(request(model, tmp_path, "a"), pool=pool)
    (pid,) = waiting(pool)
    found = run_worker(request(model, tmp_path, "b", threads=2), pool=pool)
    assert found.threads == 2
    assert len(waiting(pool)) == 1
    assert waiting(pool) != [pid]
    assert not psutil.pid_exists(pid)


def test_a_worker_whose_run_failed_is_not_used_again(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    bad = request(model, tmp_path, "a", inputs=[{"name": "y", "dtype": "float32", "shape": [1]}])
    found = run_worker(bad, pool=pool)
    assert found.status is RunStatus.FAILED
    assert found.error is not None
    assert found.error.kind is FailureKind.MODEL_ERROR
    assert waiting(pool) == []
    assert run_worker(request(model, tmp_path, "b"), pool=pool).status is RunStatus.SUCCEEDED


def test_a_worker_that_died_while_it_waited_is_replaced(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    run_worker(request(model, tmp_path, "a"), pool=pool)
    (pid,) = waiting(pool)
    os.kill(pid, signal.SIGKILL)
    # Not reaped: it stays a zombie until the pool looks.
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.001)
    found = run_worker(request(model, tmp_path, "b"), pool=pool)
    assert found.error is None
    assert waiting(pool) != [pid]


def test_the_pool_leaves_no_process_behind(model: tuple[ArtifactRef, Path], tmp_path: Path) -> None:
    with WorkerPool() as pool:
        run_worker(request(model, tmp_path, "a"), pool=pool)
        (pid,) = waiting(pool)
    assert not psutil.pid_exists(pid)


def test_a_cancelled_run_ends_its_worker(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    cancel = threading.Event()

    def on_progress(event: ProgressEvent) -> None:
        if event.iterations:
            cancel.set()

    long = request(model, tmp_path, "a", max_time_seconds=60, stop={"relative_half_width": 0})
    found = run_worker(long, pool=pool, cancel=cancel, on_progress=on_progress)
    assert found.status is RunStatus.CANCELLED
    assert waiting(pool) == []


def test_configurations_take_turns_and_share_a_worker(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    requests = [
        request(model, tmp_path, f"b{size}", batch_size=size, repetitions=3) for size in (1, 8)
    ]
    results = measure(requests, pool, seed=4)
    assert [r.batch_size for r in results] == [1, 8]
    assert [r.order_seed for r in results] == [4, 4]
    positions = [[each.position for each in r.repetitions] for r in results]
    assert sorted(positions[0] + positions[1]) == list(range(6))
    # In rounds: each has had its n-th repetition before either has its next.
    for index in range(3):
        assert {positions[0][index] // 2, positions[1][index] // 2} == {index}
    assert len(waiting(pool)) == 1


def test_one_that_fails_takes_none_of_the_others_with_it(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    good = request(model, tmp_path, "good")
    bad = request(model, tmp_path, "bad", inputs=[{"name": "y", "dtype": "float32", "shape": [1]}])
    results = measure([bad, good], pool)
    assert [r.status for r in results] == [RunStatus.FAILED, RunStatus.SUCCEEDED]


def test_a_result_is_told_as_soon_as_it_is_there(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    """A failure before the others have had their turns; a success with its iterations on disk."""
    good = request(model, tmp_path, "good")
    bad = request(model, tmp_path, "bad", inputs=[{"name": "y", "dtype": "float32", "shape": [1]}])
    told: list[tuple[str, int]] = []

    def on_progress(place: int, event: ProgressEvent) -> None:
        if event.repetition == 1 and ("last turn", place) not in told:
            told.append(("last turn", place))

    def on_result(place: int, result: RunResult) -> None:
        told.append((result.status, place))
        assert (good.work_dir / FILE_NAME).exists() is (result.status is RunStatus.SUCCEEDED)

    results = measure([good, bad], pool, on_progress=on_progress, on_result=on_result)
    assert told == [("failed", 1), ("last turn", 0), ("succeeded", 0)]
    assert [result.status for result in results] == [RunStatus.SUCCEEDED, RunStatus.FAILED]


def test_one_of_several_is_cancelled(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    """While another has its turn: the worker that they share goes on."""
    requests = [request(model, tmp_path, name) for name in "ab"]
    cancels = [threading.Event() for _ in requests]
    before = {child.pid for child in psutil.Process().children()}
    pids: set[int] = set()

    def on_progress(place: int, event: ProgressEvent) -> None:
        pids.update(child.pid for child in psutil.Process().children() if child.pid not in before)
        if place == 0 and event.iterations:
            cancels[1].set()

    first, second = measure(requests, pool, on_progress=on_progress, cancels=cancels)
    assert first.status is RunStatus.SUCCEEDED, first.error
    assert len(first.repetitions) == 2
    assert second.status is RunStatus.CANCELLED
    assert waiting(pool) == list(pids)


def test_the_one_that_has_its_turn_is_cancelled_at_once(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    endless = {"max_time_seconds": 600, "stop": {"relative_half_width": 0}}
    requests = [request(model, tmp_path, "a", **endless), request(model, tmp_path, "b")]
    cancels = [threading.Event() for _ in requests]
    ended: list[int] = []

    def on_progress(place: int, event: ProgressEvent) -> None:
        if place == 0 and event.iterations:
            cancels[0].set()

    first, second = measure(
        requests,
        pool,
        on_progress=on_progress,
        on_result=lambda place, _result: ended.append(place),
        cancels=cancels,
    )
    assert first.status is RunStatus.CANCELLED
    assert second.status is RunStatus.SUCCEEDED, second.error
    assert ended == [0, 1]


def test_two_can_be_measured_abba(
    model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path
) -> None:
    requests = [request(model, tmp_path, name, repetitions=4) for name in "ab"]
    results = measure(requests, pool, order=lambda _counts, seed: abba(2, seed), seed=1)
    positions = [[each.position for each in r.repetitions] for r in results]
    for start in (0, 4):
        inner, outer = {start + 1, start + 2}, {start, start + 3}
        of_first = {p for p in positions[0] if start <= p < start + 4}  # type: ignore[operator]
        assert of_first in (inner, outer)


def test_an_interpreter_that_is_not_there_is_a_failed_run(
    model: tuple[ArtifactRef, Path], tmp_path: Path
) -> None:
    found = run_worker(request(model, tmp_path), python="/nowhere/python")
    assert found.error is not None
    assert found.error.kind is DeviceError.kind
    assert "/nowhere/python" in found.error.message
