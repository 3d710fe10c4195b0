"""Small, valid objects to test with; every argument that a test is about can be given."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from agents.messages import (
    AgentStatus,
    AttemptKey,
    CurrentRun,
    Inventory,
    JobRequest,
    Progress,
    Registration,
    Run,
    RunState,
    Versions,
)
from profiler.commands import Repeated
from profiler.device.environment import read_environment
from profiler.device.inventory import Catalogs
from profiler.events import Phase
from profiler.plan import LoadedFacts, RepetitionReport
from profiler.result import (
    InputInfo,
    Interval,
    Latency,
    Memory,
    ModelInfo,
    RepetitionFigures,
    RunError,
    RunResult,
    RunStatus,
)
from profiler.runtimes.table import RuntimeStatus
from profiler.spec import ArchitectureRef, ArtifactRef, Library, ModelFormat, RunSpec, Runtime

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
VERSIONS = Versions(fleetmark="0.1.0", protocol=1, ray="2.50.0", python="3.11.7")
RESNET = ArchitectureRef(library=Library.TORCHVISION, name="resnet18")
KEY = "k" * 43


def make_artifact(digest: str = "a" * 64, name: str = "net.onnx", size: int = 10) -> ArtifactRef:
    return ArtifactRef(digest=digest, format=ModelFormat.ONNX, name=name, size_bytes=size)


def make_spec(**changes: Any) -> RunSpec:
    return RunSpec.model_validate({"model": RESNET, "runtime": Runtime.TORCH} | changes)


def make_request(**changes: Any) -> JobRequest:
    return JobRequest.model_validate({"model": RESNET} | changes)


def make_inventory(**changes: Any) -> Inventory:
    values: dict[str, Any] = {
        "kind": "cpu-board",
        "hostname": "board",
        "machine": "aarch64",
        "board": "Raspberry Pi 5",
        "cpu_model": "Cortex-A76",
        "cpu_count": 4,
        "memory_total_bytes": 8 * 2**30,
        "accelerators": (),
        "runtimes": (
            RuntimeStatus(runtime=Runtime.TORCH, version="2.1.0"),
            RuntimeStatus(runtime=Runtime.ONNXRUNTIME, version="1.17.0"),
        ),
        "catalogs": Catalogs(torchvision=("mobilenet_v3_large", "resnet18", "resnet50")),
        "energy_sources": (),
        "energy_reason": "no source of power was found",
    }
    return Inventory.model_validate(values | changes)


def make_registration(name: str = "pi5-a", **changes: Any) -> Registration:
    values: dict[str, Any] = {
        "name": name,
        "device_key": KEY,
        "labels": {},
        "versions": VERSIONS,
        "inventory": make_inventory(),
        "address": "192.0.2.7",
        "metrics_port": 9400,
    }
    return Registration.model_validate(values | changes)


def make_run(**changes: Any) -> Run:
    values: dict[str, Any] = {
        "id": "run1",
        "job_id": "job1",
        "device_id": "dev1",
        "device": "pi5-a",
        "spec": make_spec(),
        "state": RunState.ASSIGNED,
        "attempt": 1,
        "max_attempts": 3,
        "created_at": NOW,
        "started_at": None,
        "finished_at": None,
    }
    return Run.model_validate(values | changes)


def make_current(key: AttemptKey, progress: Progress | None = None) -> CurrentRun:
    return CurrentRun(key=key, progress=progress or Progress(phase=Phase.STARTING, fraction=0))


def make_status(**changes: Any) -> AgentStatus:
    values: dict[str, Any] = {
        "device_id": "dev1",
        "version": 1,
        "current": (),
        "finished": (),
        "cached_models": (),
    }
    return AgentStatus.model_validate(values | changes)


def make_report(index: int = 0, **changes: Any) -> RepetitionReport:
    """One repetition of a hundred calm iterations."""
    figures = RepetitionFigures(
        index=index,
        load_seconds=0.2,
        first_inference_seconds=0.05,
        warmup_iterations=20,
        warmup_seconds=0.4,
        iterations=100,
        median_seconds=0.011,
    )
    facts = LoadedFacts(
        inputs=(InputInfo(name="x", dtype="float32", shape=(1, 3, 224, 224)),),
        precision="fp32",
        accelerator="cpu",
        threads=2,
        parameters=11_689_512,
        fallback=None,
    )
    values: dict[str, Any] = {
        "figures": figures,
        "facts": facts,
        "steady": True,
        "converged": True,
        "clock_overhead_seconds": 1e-7,
        "measured_seconds": 1.5,
    }
    return RepetitionReport.model_validate(values | changes)


def make_repeated(index: int = 0, **changes: Any) -> Repeated:
    values: dict[str, Any] = {
        "report": make_report(index),
        "other_share": 0.01,
        "seconds": 1.8,
        "spent": False,
    }
    return Repeated.model_validate(values | changes)


def make_latency(p50: float = 0.011, width: float = 0.01, **changes: Any) -> Latency:
    """A latency whose intervals reach ``width`` (relative) to either side."""

    def around(value: float) -> Interval:
        return Interval(value=value, low=value * (1 - width), high=value * (1 + width))

    values: dict[str, Any] = {
        "n": 1000,
        "n_effective": 800.0,
        "mean": p50 * 1.05,
        "minimum": p50 * 0.9,
        "maximum": p50 * 4,
        "median_absolute_deviation": p50 * 0.03,
        "outliers": 3,
        "p50": around(p50),
        "p90": around(p50 * 1.2),
        "p95": around(p50 * 1.3),
        "p99": None,
        "p99_reason": "too few effective iterations for p99",
        "p999": None,
        "p999_reason": "too few effective iterations for p999",
    }
    return Latency.model_validate(values | changes)


def make_result(**changes: Any) -> RunResult:
    """A run that succeeded."""
    values: dict[str, Any] = {
        "run_id": "run1",
        "job_id": "job1",
        "status": RunStatus.SUCCEEDED,
        "device": "pi5-a",
        "model": "resnet18",
        "model_info": ModelInfo(source="torchvision:resnet18", parameters=11_689_512),
        "runtime": "torch",
        "runtime_version": "2.1.0",
        "precision": "fp32",
        "accelerator": "cpu",
        "threads": 4,
        "batch_size": 1,
        "scenario": "single_stream",
        "seed": 0,
        "started_at": NOW,
        "finished_at": NOW,
        "latency": make_latency(),
        "throughput_items_per_second": 90.0,
        "memory": Memory(peak_rss_bytes=200 * 2**20, accelerator_reason="ran on cpu"),
        "energy": None,
        "energy_reason": "no source of power was found",
        "environment": read_environment(),
    }
    return RunResult.model_validate(values | changes)


def make_failed(error: RunError, **changes: Any) -> RunResult:
    """A run that failed with ``error``."""
    why = f"the run failed: {error.message}"
    return make_result(
        **{
            "status": RunStatus.FAILED,
            "error": error,
            "model_info": ModelInfo(source="torchvision:resnet18", parameters_reason=why),
            "precision": None,
            "accelerator": None,
            "threads": None,
            "latency": None,
            "latency_reason": why,
            "throughput_items_per_second": None,
            "memory": None,
            "memory_reason": why,
            "energy_reason": why,
        }
        | changes
    )


def key_of(run: Run) -> AttemptKey:
    return AttemptKey(run_id=run.id, attempt=run.attempt)
