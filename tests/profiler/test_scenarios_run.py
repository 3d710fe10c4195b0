"""Every scenario through a real worker: each has its own figures, and the others' are null."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from profiler.events import WorkerRequest
from profiler.pool import WorkerPool
from profiler.result import RunResult, RunStatus
from profiler.samples import Recording
from profiler.session import run_worker
from profiler.spec import ArtifactRef, RunSpec, Runtime
from tests.builders import make_spec
from tests.small_onnx import save_small_onnx


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[ArtifactRef, Path]:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    return save_small_onnx(path, width=256, layers=4), path


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool() as found:
        yield found


@pytest.fixture
def measured(model: tuple[ArtifactRef, Path], pool: WorkerPool, tmp_path: Path) -> Any:
    def run(**spec: Any) -> RunResult:
        values = {
            "model": model[0],
            "runtime": Runtime.ONNXRUNTIME,
            "threads": 1,
            "repetitions": 2,
            "max_time_seconds": 1.2,
        }
        request = WorkerRequest(
            run_id="run1",
            device="here",
            spec=RunSpec.model_validate(values | spec),
            model_path=model[1],
            cache_dir=tmp_path / "cache",
            work_dir=tmp_path,
        )
        found = run_worker(request, pool=pool)
        assert found.status is RunStatus.SUCCEEDED, found.error
        assert found.scenario == request.spec.scenario
        return found

    return run


def test_single_stream(measured: Any, tmp_path: Path) -> None:
    found = measured()
    assert found.latency is not None
    assert found.stop is not None
    assert found.stop.repetitions == 2
    assert found.contention is not None
    assert found.contention.blocks >= 2
    assert found.sentinel is not None
    assert found.sentinel.relative_p50 is not None
    assert found.preflight is not None
    assert (found.offline, found.server, found.sustained) == (None, None, None)
    recording = Recording.load(tmp_path / "iterations.npz")
    # Every statistic can be computed again from what is kept.
    assert found.latency.n == (~recording.iterations.warmup).sum()
    # What was sampled is beside them, on their clock, in every process.
    trace = recording.trace
    assert any(name.endswith("memory_used_bytes") for name in trace.names)
    for index in (0, 1):
        mine = recording.iterations.start_ns[recording.iterations.repetition == index]
        read = trace.time_ns[trace.repetition == index]
        assert ((read > mine[0]) & (read < mine[-1])).any()
    assert found.sampler is not None
    assert found.sampler.readings == len(trace)
    assert {each.source for each in found.sampler.by_source} == set(found.sampler.sources)
    ratio = recording.slices.duration_ns.mean() / 1e9 / found.sentinel.seconds.value
    assert 0.2 < ratio < 5


def test_offline_has_throughput_and_no_latency(measured: Any) -> None:
    found = measured(scenario="offline", batch_size=4)
    assert found.latency is None
    assert "measures throughput" in found.latency_reason
    assert found.offline is not None
    assert found.offline.items_per_second.value == found.throughput_items_per_second
    calls = sum(each.iterations for each in found.repetitions)
    assert found.offline.blocks < calls
    assert found.sentinel.relative_p50 is None
    assert found.sentinel.relative_p50_reason


def test_server_at_a_rate(measured: Any) -> None:
    found = measured(scenario="server", server={"rate_per_second": 50})
    assert found.server is not None
    (trial,) = found.server.trials
    assert trial.rate_per_second == 50
    measured_calls = sum(each.iterations for each in found.repetitions)
    assert trial.queries - trial.abandoned == measured_calls
    assert found.latency.n == trial.queries
    # Some sixty calls say nothing of the 99th percentile, and it is not made up.
    assert found.latency.p99 is None
    assert found.latency.p99_reason


def test_server_that_is_asked_for_too_much(measured: Any) -> None:
    found = measured(scenario="server", server={"rate_per_second": 500_000})
    assert found.server.trials[0].overloaded
    assert "overloaded" in [flag.name for flag in found.flags]
    assert found.latency.p90 is None
    assert "overloaded" in found.latency.p90_reason


def test_a_bound_that_no_rate_meets_says_why(measured: Any) -> None:
    bound = {"latency_bound_seconds": 1e-9, "percentile": "p50"}
    found = measured(scenario="server", server=bound)
    assert found.server.highest_rate_per_second is None
    assert "without any queue" in found.server.highest_rate_reason
    assert found.latency is not None


def test_a_bound_that_is_easily_met_gives_a_rate(measured: Any) -> None:
    bound = {"latency_bound_seconds": 60, "percentile": "p50"}
    found = measured(scenario="server", server=bound, max_time_seconds=4)
    report = found.server
    assert report.latency_bound_seconds == 60
    assert report.highest_rate_per_second or report.highest_rate_reason
    # The search is of the first process; what it found is measured in all of them.
    assert len(report.trials) >= 2
    assert report.trials[-1].rate_per_second == report.rate_per_second


def test_sustained_is_measured_for_all_of_its_time(measured: Any) -> None:
    found = measured(scenario="sustained", repetitions=1, max_time_seconds=2.4)
    assert found.sustained is not None
    assert len(found.sustained.windows) > 1
    assert found.sustained.slowdown is not None
    last = found.sustained.windows[-1].end_seconds
    # Of 2.4 s warm-up takes at most 40 % and the sentinel 0.1 s; a calm model would have been
    # enough after 0.75 s.
    assert last > 1.1
    assert found.stop is None
    # Two seconds are too short for a trend of clocks and temperatures, or the machine has neither.
    assert not found.sustained.device_settled
    assert found.sustained.device_settled_reason


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenario": "server"}, "a rate or latency bound go together"),
        ({"server": {"rate_per_second": 5}}, "a rate or latency bound go together"),
        ({"scenario": "server", "server": {}}, "either a rate or a latency bound"),
        (
            {
                "scenario": "server",
                "server": {"rate_per_second": 5, "latency_bound_seconds": 1},
            },
            "either a rate or a latency bound",
        ),
        (
            {"scenario": "server", "server": {"rate_per_second": 0.01}},
            "none arrives in a repetition of 1.43 s",
        ),
        ({"server": {"rate_per_second": -1}}, "greater than 0"),
    ],
)
def test_contradictions_are_refused_before_anything_runs(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make_spec(**changes)
