"""A known cost is found with its sign and size, none is not, and too few rounds bound nothing."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from profiler.device.fingerprint import load_overhead, save_overhead
from profiler.errors import DeviceError
from profiler.forked import call_in_child
from profiler.overhead import measure
from profiler.overhead.measure import BLOCK_ITERATIONS, BLOCK_NS, Bench, figures
from profiler.overhead.plan import OverheadMeasured, OverheadPlan, Round, Subject
from profiler.result import Overhead
from tests.builders import NOW
from tests.fake_model import REQUEST, FakeAdapter


class Device:
    """Virtual time: a call takes 5 ms, drifts, and is slower while the suspect runs."""

    def __init__(self, cost: float, jitter: float = 0.002, drift: float = 1e-4) -> None:
        self.now = 0
        self.cost = cost
        self.running = False
        self._drift = drift
        self._noise = random.Random(7)
        self._jitter = jitter
        self._calls = 0

    def call(self) -> None:
        self._calls += 1
        latency = 5e6 * (1 + self._drift * self._calls) * self._noise.gauss(1, self._jitter)
        self.now += int(latency * (1 + self.cost if self.running else 1))

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def rounds(self, count: int, subject: Subject = Subject.SAMPLER) -> list[Round]:
        bench = Bench(self.call, None, lambda: self.now)
        draw = random.Random(3)
        return [
            bench.round(subject, self.start, self.stop, bool(draw.getrandbits(1)))
            for _ in range(count)
        ]


def control(count: int = 12) -> list[Round]:
    return Device(cost=0.0).rounds(count, Subject.CONTROL)


def test_a_known_cost_is_found_under_drift() -> None:
    (found,) = figures([*Device(cost=0.03).rounds(12), *control()])
    assert found.what == "sampler"
    assert found.pairs == 24
    assert found.relative.low is not None
    assert found.relative.high is not None
    assert found.relative.low <= 0.03 <= found.relative.high
    assert found.relative.low > 0.02
    assert not found.passes


def test_no_cost_passes_and_the_control_holds_zero() -> None:
    (found,) = figures([*Device(cost=0.0).rounds(12), *control()])
    assert found.passes
    for interval in (found.relative, found.control):
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low <= 0 <= interval.high


def test_what_cannot_be_told_does_not_pass() -> None:
    noisy = Device(cost=0.0, jitter=0.3)
    (found,) = figures([*noisy.rounds(12), *control()])
    assert found.relative.high is not None
    assert found.relative.high > 0.01
    assert not found.passes


def test_too_few_rounds_bound_nothing() -> None:
    with pytest.raises(ValueError, match="10 rounds"):
        figures([*Device(cost=0.0).rounds(9), *control()])


def test_a_round_is_two_blocks_of_each_whichever_comes_first() -> None:
    device = Device(cost=1.0, jitter=0.0, drift=0.0)
    bench = Bench(device.call, None, lambda: device.now)
    for first in (True, False):
        found = bench.round(Subject.SAMPLER, device.start, device.stop, first)
        assert found.still == pytest.approx((0.005, 0.005))
        assert found.running == pytest.approx((0.010, 0.010))
        assert found.log_ratio == pytest.approx(math.log(2))


def test_a_block_of_slow_calls_has_enough_of_them() -> None:
    device = Device(cost=0.0)
    calls = 0

    def slow() -> None:
        nonlocal calls
        calls += 1
        device.now += BLOCK_NS

    Bench(slow, None, lambda: device.now).block()
    assert calls == BLOCK_ITERATIONS + 1


TREES = Path(__file__).parents[1] / "fixtures" / "sysfs"


def test_a_recorded_tree_is_measured_beside_the_devices_own_sensors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measure, "BLOCK_NS", 10_000_000)
    plan = OverheadPlan(
        rounds=2,
        hertz=100.0,
        fleet_pids=(),
        warmup_seconds=0.0,
        seed=0,
        recorded_root=TREES / "intel-desktop",
    )
    adapter = FakeAdapter(lambda: time.sleep(0.001))
    found = call_in_child(
        lambda: measure.measure_overhead(adapter, REQUEST, plan, lambda _: None),
        OverheadMeasured,
        "it",
    )
    counts = Counter(each.subject for each in found.rounds)
    assert counts == {Subject.CONTROL: 2, Subject.SAMPLER: 2, Subject.RECORDED: 2}
    monkeypatch.setattr(measure, "READY_SECONDS", 0.0)
    with pytest.raises(DeviceError, match="took no reading"):
        call_in_child(
            lambda: measure.measure_overhead(adapter, REQUEST, plan, lambda _: None),
            OverheadMeasured,
            "it",
        )


def test_it_is_kept_for_later_results(tmp_path: Path) -> None:
    assert load_overhead(tmp_path) is None
    found = Overhead(
        measured_at=NOW,
        model="m",
        runtime="onnxruntime",
        figures=figures([*Device(cost=0.0).rounds(10), *control(10)]),
    )
    path = save_overhead(tmp_path / "new", found)
    assert load_overhead(tmp_path / "new") == found
    path.write_text("{}")
    assert load_overhead(tmp_path / "new") is None
