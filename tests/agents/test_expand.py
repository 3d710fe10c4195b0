"""A job becomes one run per device and point, or is refused as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agents.coordinator.expand import MAX_RUNS, expand
from agents.coordinator.rows import DeviceRecord
from agents.messages import Axes, JobRequest
from profiler.device.inventory import Catalogs
from profiler.errors import InputError
from profiler.runtimes.table import RuntimeStatus
from profiler.spec import Precision, Runtime, WarmupSpec
from tests.builders import NOW, VERSIONS, make_artifact, make_inventory, make_request


def record(name: str = "pi5-a", **inventory: Any) -> DeviceRecord:
    return DeviceRecord(
        id=f"id-{name}",
        name=name,
        labels={},
        inventory=make_inventory(**inventory),
        versions=VERSIONS,
        address="192.0.2.1",
        metrics_port=9400,
        registered_at=NOW,
        last_seen_at=None,
    )


FLEET = (record("pi5-a"), record("pi5-b"))


def test_one_device_and_one_point_are_one_run() -> None:
    plan = expand(make_request(), FLEET[:1])
    assert len(plan) == 1
    device, spec = plan[0]
    assert device.name == "pi5-a"
    assert spec.runtime is Runtime.TORCH
    assert (spec.batch_size, spec.threads, spec.precision) == (1, None, Precision.FP32)


def test_every_device_gets_every_point() -> None:
    axes = Axes(
        runtime=(Runtime.TORCH, Runtime.ONNXRUNTIME), batch_size=(1, 8), threads=(1, 2, None)
    )
    plan = expand(make_request(axes=axes), FLEET)
    assert len(plan) == 2 * 2 * 2 * 3
    assert [device.name for device, _ in plan] == ["pi5-a"] * 12 + ["pi5-b"] * 12
    points = {(s.runtime, s.batch_size, s.threads) for _, s in plan[:12]}
    assert len(points) == 12
    first, second = [s for _, s in plan[:12]], [s for _, s in plan[12:]]
    assert {s.model_dump_json() for s in first} == {s.model_dump_json() for s in second}


def test_every_device_has_its_own_order_and_a_seed_gives_it_again() -> None:
    axes = Axes(batch_size=tuple(range(1, 13)))
    plan = expand(make_request(axes=axes, seed=1), FLEET)
    first = [s.batch_size for _, s in plan[:12]]
    assert first != sorted(first)
    assert first != [s.batch_size for _, s in plan[12:]]
    assert plan == expand(make_request(axes=axes, seed=1), FLEET)
    assert plan != expand(make_request(axes=axes, seed=2), FLEET)


def test_resolution_is_an_axis() -> None:
    axes = Axes(resolution=((224, 224), (160, 120), None))
    plan = expand(make_request(axes=axes), FLEET[:1])
    assert {s.resolution for _, s in plan} == {(224, 224), (160, 120), None}


def test_what_is_no_axis_goes_into_every_run() -> None:
    request = make_request(
        accelerator="cpu",
        warmup=WarmupSpec(min_iterations=3),
        repetitions=2,
        max_time_seconds=7,
        timeout_seconds=70,
        memory_limit_bytes=2**30,
        seed=9,
    )
    spec = expand(request, FLEET[:1])[0][1]
    for name in (
        "model", "accelerator", "warmup", "repetitions", "max_time_seconds", "timeout_seconds",
        "memory_limit_bytes", "seed", "inputs",
    ):  # fmt: skip
        assert getattr(spec, name) == getattr(request, name), name


def test_nothing_of_a_request_is_forgotten_on_the_way_to_the_spec() -> None:
    """A field that is added to the request must reach the spec, or be one of the job's own."""
    of_the_job = {"devices", "axes", "max_attempts"}
    reaches = set(JobRequest.model_fields) - of_the_job
    spec = expand(make_request(), FLEET[:1])[0][1]
    assert reaches <= set(type(spec).model_fields)


def test_a_file_runs_in_its_own_runtime() -> None:
    plan = expand(make_request(model=make_artifact()), FLEET[:1])
    assert plan[0][1].runtime is Runtime.ONNXRUNTIME


def refused(request: JobRequest, *devices: DeviceRecord) -> InputError:
    with pytest.raises(InputError) as caught:
        expand(request, devices)
    return caught.value


def test_a_model_that_nobody_knows_has_close_matches() -> None:
    request = make_request(model={"kind": "architecture", "library": "torchvision",
                                  "name": "resnet81"})  # fmt: skip
    error = refused(request, *FLEET)
    assert error.field == "model"
    assert "Did you mean resnet18" in error.remedy


def test_a_model_of_another_library_is_not_the_same() -> None:
    request = make_request(model={"kind": "architecture", "library": "timm", "name": "resnet18"})
    assert "no chosen device has installed" in refused(request, *FLEET).problem


def test_one_device_that_knows_the_model_is_enough() -> None:
    bare = record("bare", catalogs=Catalogs())
    assert len(expand(make_request(), (bare, *FLEET))) == 3
    refused(make_request(), bare)


def test_a_runtime_that_is_nowhere_is_refused_with_its_remedy() -> None:
    missing = RuntimeStatus(
        runtime=Runtime.TORCH,
        version=None,
        reason="torch is not installed",
        remedy="pip install 'fleetmark[torch]'",
    )
    bare = record("bare", runtimes=(missing,))
    error = refused(make_request(), bare)
    assert error.field == "runtime"
    assert "torch is not installed" in error.problem
    assert error.remedy == "pip install 'fleetmark[torch]'"
    assert len(expand(make_request(), (bare, FLEET[0]))) == 2


def test_a_runtime_that_cannot_run_the_format_is_refused() -> None:
    request = make_request(model=make_artifact(), axes=Axes(runtime=(Runtime.TORCHSCRIPT,)))
    error = refused(request, *FLEET)
    assert error.field == "runtime"
    assert "--runtime onnxruntime" in error.remedy


def test_too_many_runs_are_refused() -> None:
    sizes = tuple(range(1, MAX_RUNS // 2 + 2))
    error = refused(make_request(axes=Axes(batch_size=sizes)), *FLEET)
    assert str(MAX_RUNS) in error.problem
    assert len(expand(make_request(axes=Axes(batch_size=sizes[:50])), FLEET)) == 100


@pytest.mark.parametrize("axis", ["precision", "batch_size", "threads"])
def test_an_axis_without_a_value_would_be_a_job_without_runs(axis: str) -> None:
    with pytest.raises(ValidationError, match=axis):
        Axes.model_validate({axis: ()})


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("batch_size", (1, 1)),
        ("threads", (None, None)),
        ("runtime", ("torch", "torch")),
        ("precision", ("fp32", "fp32")),
    ],
)
def test_a_value_twice_is_refused(axis: str, values: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError, match="names a value twice"):
        Axes.model_validate({axis: values})
