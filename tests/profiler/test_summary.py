"""What of a recording becomes a figure, and what is said where there is none."""

from __future__ import annotations

import pytest

from profiler.samples import Blocks, Iterations, Recording, SentinelSlices
from profiler.spec import RunSpec, Runtime, Scenario, ServerSpec
from profiler.summary import _on_device
from tests.builders import make_spec


def recording(device_ns: list[int]) -> Recording:
    timed = [(10 * n, 10 * n + 9) for n in range(100)]
    parts = [Iterations.from_stamps(index, [], timed, device_ns=device_ns) for index in range(2)]
    return Recording(Iterations.concatenate(parts), Blocks.empty(), SentinelSlices.empty())


def test_the_accelerators_own_time_is_a_latency_beside_the_clocks() -> None:
    found, reason = _on_device(recording([5] * 100), make_spec(), "cuda:0")
    assert reason is None
    assert found is not None
    assert found.n == 200
    assert found.p50 is not None
    assert found.p50.value == pytest.approx(5e-9)


@pytest.mark.parametrize(
    ("spec", "accelerator", "why"),
    [
        (make_spec(), "cpu", "ran on cpu"),
        (make_spec(runtime=Runtime.ONNXRUNTIME), "cuda:0", "onnxruntime does not tell"),
        (make_spec(scenario=Scenario.OFFLINE), "cuda:0", "scenario offline"),
        (
            make_spec(scenario=Scenario.SERVER, server=ServerSpec(rate_per_second=1.0)),
            "cuda:0",
            "scenario server",
        ),
    ],
)
def test_why_there_is_none(spec: RunSpec, accelerator: str, why: str) -> None:
    found, reason = _on_device(recording([]), spec, accelerator)
    assert found is None
    assert why in (reason or "")
