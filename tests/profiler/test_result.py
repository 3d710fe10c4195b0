"""The JSON of a result has the keys that scripts rely on, and says why what is null is null."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from profiler.errors import RunFailure
from profiler.failure import result_without_figures, source_of
from profiler.flags import single_repetition
from profiler.result import (
    SCHEMA_VERSION,
    FailureKind,
    Interval,
    Latency,
    Memory,
    RunError,
    RunResult,
    RunStatus,
)
from tests.builders import NOW, RESNET, make_artifact, make_latency, make_result, make_spec

# Scripts read these; to rename or drop one is a new schema version.
RUN_KEYS = {
    "schema_version", "run_id", "attempt", "job_id", "status", "error", "device", "model",
    "model_info", "runtime", "runtime_version", "precision", "accelerator", "threads",
    "batch_size", "inputs", "scenario", "seed", "started_at", "finished_at", "latency",
    "latency_reason", "throughput_items_per_second", "repetitions", "memory", "memory_reason",
    "energy", "energy_reason", "sensors_absent", "sampler", "clock_overhead_seconds", "flags",
    "environment", "environment_reason", "phases_seconds",
    # since version 2
    "order_seed", "stop", "latency_undisturbed", "latency_undisturbed_reason",
    "over_runs", "over_runs_reason", "at_usual_speed", "at_usual_speed_reason", "contention",
    "latency_unthrottled", "latency_unthrottled_reason", "throttling", "throttling_reason",
    "sentinel", "sentinel_reason", "preflight", "offline", "server", "sustained", "overhead",
    "tuning", "tuning_reason", "latency_device", "latency_device_reason",
}  # fmt: skip
LATENCY_KEYS = {
    "n", "n_effective", "mean", "minimum", "maximum", "median_absolute_deviation", "outliers",
    *(f"{p}{end}" for p in ("p50", "p90", "p95", "p99", "p999") for end in ("", "_reason")),
}  # fmt: skip
MEMORY_KEYS = {
    "peak_rss_bytes", "peak_rss_reason", "rss_before_load_bytes", "rss_anonymous_bytes",
    "rss_file_bytes", "accelerator_peak_allocated_bytes", "accelerator_peak_reserved_bytes",
    "accelerator_reason",
    # since version 2
    "peak_rss_anonymous_bytes", "peak_rss_file_bytes", "peak_rss_split_reason",
    "tree_peak_rss_bytes", "tree_processes", "tree_reason", "cgroup_peak_bytes", "cgroup_reason",
    "accelerator_process_bytes", "accelerator_process_before_load_bytes",
    "accelerator_process_reason", "unified", "unified_reason",
}  # fmt: skip


def as_json(result: RunResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.model_dump_json())
    return found


def test_the_keys_of_a_run_are_the_documented_ones() -> None:
    data = as_json(make_result(flags=(single_repetition(),)))
    assert set(data) == RUN_KEYS
    assert set(data["latency"]) == LATENCY_KEYS
    assert set(data["latency"]["p50"]) == {"value", "low", "high"}
    assert set(data["memory"]) == MEMORY_KEYS
    assert [set(flag) for flag in data["flags"]] == [{"name", "detail", "advice"}]
    assert data["schema_version"] == SCHEMA_VERSION == 2


def test_the_values_are_plain_json() -> None:
    data = as_json(make_result())
    assert data["status"] == "succeeded"
    assert data["latency"]["p50"]["value"] == 0.011
    assert data["latency"]["p99"] is None
    assert data["latency"]["p99_reason"]
    assert data["energy"] is None
    assert data["energy_reason"]
    assert data["started_at"] == "2026-01-02T03:04:05Z"


def test_json_and_back_is_the_same() -> None:
    result = make_result(flags=(single_repetition(),))
    assert RunResult.model_validate_json(result.model_dump_json()) == result


def test_a_result_cannot_be_changed() -> None:
    result = make_result()
    with pytest.raises(ValidationError, match="frozen"):
        result.device = "another"  # type: ignore[misc]


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        make_result(fps=30)
    with pytest.raises(ValidationError, match="Extra inputs"):
        Memory(peak_rss_bytes=1, peak_mem=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_figure(value: float) -> None:
    # Neither has a place in JSON; what could not be measured is null.
    with pytest.raises(ValidationError, match="finite"):
        Interval(value=value, low=0, high=1)
    with pytest.raises(ValidationError, match="finite"):
        make_result(throughput_items_per_second=value)


@pytest.mark.parametrize("name", ["latency", "memory", "energy", "environment", "precision"])
def test_a_figure_cannot_be_forgotten(name: str) -> None:
    data = make_result().model_dump()
    del data[name]
    with pytest.raises(ValidationError, match=name):
        RunResult.model_validate(data)


def test_a_percentile_cannot_be_forgotten() -> None:
    data = make_latency().model_dump()
    del data["p99"]
    with pytest.raises(ValidationError, match="p99"):
        Latency.model_validate(data)


# --- runs without figures --------------------------------------------------------------------


def without_figures(status: RunStatus, **changes: Any) -> RunResult:
    values: dict[str, Any] = {
        "run_id": "run1",
        "attempt": 2,
        "job_id": "job1",
        "device": "pi5-a",
        "spec": make_spec(batch_size=8, seed=3),
        "status": status,
        "error": RunError(kind=FailureKind.TIMEOUT, message="not finished after 600 s"),
        "started_at": NOW,
        "environment": None,
        "environment_reason": "the device did not report",
    }
    return result_without_figures(**values | changes)


def test_a_failed_run_has_an_error_and_a_reason_for_every_null() -> None:
    found = without_figures(RunStatus.FAILED)
    assert found.error is not None
    assert found.error.kind is FailureKind.TIMEOUT
    data = as_json(found)
    assert set(data) == RUN_KEYS
    for name in ("latency", "memory", "energy", "environment"):
        assert data[name] is None
        assert data[f"{name}_reason"]
    assert "not finished after 600 s" in data["latency_reason"]
    assert (found.attempt, found.batch_size, found.seed) == (2, 8, 3)
    assert found.model_info.parameters_reason


def test_a_cancelled_run_is_no_failure() -> None:
    found = without_figures(RunStatus.CANCELLED)
    assert found.error is None
    assert found.latency_reason == "cancelled"


def test_the_model_is_named_as_its_user_did() -> None:
    assert source_of(RESNET) == "torchvision:resnet18"
    assert source_of(make_artifact(name="net.onnx")) == "net.onnx"
    found = without_figures(RunStatus.FAILED, spec=make_spec(model=make_artifact()))
    assert found.model_info.digest == "a" * 64


def test_every_failure_but_lost_has_its_exception() -> None:
    kinds = {error.kind for error in RunFailure.__subclasses__()}
    assert kinds == set(FailureKind) - {FailureKind.LOST}
