"""The noise floor: traces whose cause is known, and one real neighbour."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.device.preflight import read_preflight
from profiler.errors import InputError
from profiler.noise.figures import resolvable, summarise
from profiler.noise.floor import (
    CauseName,
    Limit,
    NoiseFloor,
    Verdict,
    judge,
    measure_noise,
    noise_floor,
    verdict_on,
)
from profiler.noise.neighbours import Neighbour, Process, busiest, running
from profiler.noise.trace import Moment, Watch, block_of, record
from profiler.sensors.system import CpuTimes
from profiler.stamps import Stamps
from tests.noise_traces import Floats, NoGpu, Trace, state, wander

BLOCK_SECONDS = 0.25


def floor_of(
    trace: Trace, *, virtual: bool = False, neighbours: tuple[Neighbour, ...] = (), **changes: Any
) -> NoiseFloor:
    return judge("test-1", trace.build(), neighbours, state(**changes), virtual=virtual)


def causes(floor: NoiseFloor) -> list[CauseName]:
    return [cause.name for cause in floor.causes]


# --- traces of known cause --------------------------------------------------------------------


@pytest.mark.parametrize("virtual", [False, True])
def test_a_quiet_device_is_quiet_whatever_its_settings(virtual: bool) -> None:
    floor = floor_of(Trace(), virtual=virtual, governors=("powersave",), on_battery=True, smt=True)
    assert floor.verdict is Verdict.QUIET
    assert floor.causes == ()
    assert floor.figures.resolvable is not None
    assert floor.figures.resolvable < 0.001
    assert floor.figures.undisturbed_blocks == 40
    assert floor.figures.run_delay_correlation is None
    assert floor.figures.neighbour_share is None


HOG = Neighbour(pid=4711, name="make", cpu_share=1.0)


def test_a_neighbour_for_some_of_the_time_is_found_and_named() -> None:
    delay = np.where(np.arange(40) % 8 < 3, 0.4, 0.0)
    floor = floor_of(Trace(delay=delay, others=0.4), neighbours=(HOG,))
    assert causes(floor) == [CauseName.NEIGHBOURS_INSIDE]
    assert "make (pid 4711)" in floor.causes[0].evidence
    figures = floor.figures
    assert figures.run_delay_correlation == pytest.approx(1.0, abs=0.02)
    assert figures.neighbour_share == pytest.approx(1.0, abs=0.05)
    assert figures.undisturbed_blocks == 25
    assert figures.spread_undisturbed is not None
    assert figures.spread_undisturbed < 0.01
    assert floor.verdict is not Verdict.QUIET


def test_a_neighbour_all_of_the_time_is_found_without_a_correlation() -> None:
    floor = floor_of(Trace(delay=0.5), neighbours=(HOG,))
    assert causes(floor) == [CauseName.NEIGHBOURS_INSIDE]
    assert floor.verdict is Verdict.NOISY
    assert floor.figures.undisturbed_blocks == 0
    assert floor.figures.spread_undisturbed is None


def test_a_crowd_is_counted_and_not_listed() -> None:
    crowd = tuple(Neighbour(pid=n, name="cc", cpu_share=0.5) for n in range(7))
    evidence = floor_of(Trace(delay=0.3), neighbours=crowd).causes[0].evidence
    assert "cc (pid 3) 50.0 % and 3 more" in evidence
    assert "pid 4" not in evidence


def test_a_neighbour_that_cannot_be_seen_is_still_said() -> None:
    floor = floor_of(Trace(delay=0.3))
    assert "another container" in floor.causes[0].evidence


def test_a_neighbour_on_other_cpus_takes_caches() -> None:
    floor = floor_of(Trace(stretch=wander(0.05), others=2.0), neighbours=(HOG,))
    assert causes(floor) == [CauseName.NEIGHBOURS_INSIDE]
    assert "caches" in floor.causes[0].evidence


def test_on_sibling_threads_it_takes_the_core_too() -> None:
    floor = floor_of(Trace(stretch=wander(0.05), others=2.0), smt=True)
    assert causes(floor) == [CauseName.NEIGHBOURS_INSIDE, CauseName.SMT]


def test_a_neighbour_outside_leaves_no_trace_but_the_stretching() -> None:
    floor = floor_of(Trace(stretch=wander(0.1), clock=None), virtual=True)
    assert causes(floor) == [CauseName.NEIGHBOURS_OUTSIDE]
    assert floor.verdict is Verdict.NOISY
    assert floor.figures.run_delay_share == 0.0


def test_a_neighbour_outside_who_steals_shows_in_the_steal_time() -> None:
    floor = floor_of(Trace(stolen=0.05, stretch=wander(0.02), clock=None), virtual=True)
    assert causes(floor) == [CauseName.NEIGHBOURS_OUTSIDE]
    assert "4.8 %" in floor.causes[0].evidence
    assert floor.figures.steal_share == pytest.approx(0.05 / 1.05)


def test_a_neighbour_inside_a_guest_is_not_blamed_on_the_host() -> None:
    delay = np.where(np.arange(40) % 8 < 3, 0.4, 0.0)
    trace = Trace(delay=delay, stretch=1 + delay / 20, clock=None)
    assert causes(floor_of(trace, virtual=True)) == [CauseName.NEIGHBOURS_INSIDE]


def test_the_governor() -> None:
    clock = 3.0e9 / wander(0.05)
    floor = floor_of(Trace(stretch=3.0e9 / clock, clock=clock), governors=("schedutil",))
    assert causes(floor) == [CauseName.GOVERNOR]
    assert "--tune governor" in floor.causes[0].remedy


def test_a_governor_whose_clock_is_not_shown_is_suspected() -> None:
    floor = floor_of(Trace(stretch=wander(0.05), clock=None), governors=("schedutil",))
    assert causes(floor) == [CauseName.GOVERNOR]


def test_turbo_under_a_governor_that_holds_the_clock() -> None:
    clock = 3.0e9 / wander(0.05)
    trace = Trace(stretch=3.0e9 / clock, clock=clock)
    assert causes(floor_of(trace)) == [CauseName.TURBO]
    assert causes(floor_of(trace, turbo=False)) == [CauseName.NOTHING_FOUND]


def test_heat_that_slows_the_clock_is_not_blamed_on_turbo() -> None:
    clock = np.linspace(3.0e9, 2.4e9, 40)
    hotter = np.linspace(60.0, 95.0, 40)
    floor = floor_of(Trace(stretch=3.0e9 / clock, clock=clock, temperature=hotter))
    assert causes(floor) == [CauseName.THERMAL]
    assert "60 °C at first, 95 °C at last" in floor.causes[0].evidence
    assert floor.figures.drift is not None
    assert floor.figures.drift.value == pytest.approx(0.25, abs=0.03)


def test_throttling_that_the_hardware_counts() -> None:
    trace = Trace(stretch=wander(0.05), clock=None, extra={"throttled": True})
    assert causes(floor_of(trace)) == [CauseName.THERMAL]


def test_a_board_with_a_weak_supply() -> None:
    trace = Trace(stretch=wander(0.05), clock=None, extra={"undervoltage": True})
    assert causes(floor_of(trace)) == [CauseName.UNDERVOLTAGE]


def test_large_and_small_cores() -> None:
    small = np.arange(40) % 3 == 0
    clock = np.where(small, 1.8e9, 3.0e9)
    trace = Trace(stretch=np.where(small, 1.7, 1.0), clock=clock, highest=clock)
    assert causes(floor_of(trace)) == [CauseName.MIXED_CPUS]


def test_a_battery_and_full_memory() -> None:
    trace = Trace(stretch=wander(0.05), memory=0.1)
    floor = floor_of(trace, on_battery=True, swap_used_bytes=2**30)
    assert causes(floor) == [CauseName.BATTERY, CauseName.MEMORY]
    assert "1024 MiB in swap" in floor.causes[1].evidence


def test_what_has_no_cause_that_can_be_seen_says_what_is_hidden() -> None:
    floor = floor_of(Trace(stretch=wander(0.05), clock=None, temperature=None))
    assert causes(floor) == [CauseName.NOTHING_FOUND]
    assert "does not show clocks, temperatures" in floor.causes[0].evidence


@settings(max_examples=60, deadline=None)
@given(
    spread=st.floats(0, 0.3),
    delay=st.floats(0, 0.6),
    stolen=st.floats(0, 0.5),
    virtual=st.booleans(),
    blocks=st.integers(1, 30),
)
def test_what_is_not_quiet_always_has_a_cause_and_what_is_has_none(
    spread: float, delay: float, stolen: float, virtual: bool, blocks: int
) -> None:
    trace = Trace(blocks=blocks, stretch=wander(spread, 30), delay=delay, stolen=stolen)
    floor = floor_of(trace, virtual=virtual)
    assert bool(floor.causes) == (floor.verdict is not Verdict.QUIET)
    assert all(cause.evidence and cause.remedy for cause in floor.causes)
    assert NoiseFloor.model_validate_json(floor.model_dump_json()) == floor


# --- the verdict ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("floor", "verdict"),
    [
        (0.0, Verdict.QUIET),
        (0.0099, Verdict.QUIET),
        (0.01, Verdict.USABLE),
        (0.049, Verdict.USABLE),
        (0.05, Verdict.NOISY),
        (None, Verdict.NOISY),
    ],
)
def test_the_verdict(floor: float | None, verdict: Verdict) -> None:
    assert verdict_on(floor) is verdict


def test_the_largest_figure_is_the_one_that_limits() -> None:
    figures = summarise(Trace().build(), 10.0)
    limited = {
        Limit.SPREAD: {"spread": 0.03},
        Limit.RESOLUTION: {"resolvable": 0.03},
        Limit.LOST_TIME: {"run_delay_share": 0.02, "steal_share": 0.01},
    }
    for limit, change in limited.items():
        assert noise_floor(figures.model_copy(update=change)) == (0.03, limit)
    # A share that the kernel does not tell is no share of 0, but it cannot limit either.
    silent = figures.model_copy(update={"run_delay_share": None, "steal_share": None})
    assert noise_floor(silent)[1] is not Limit.LOST_TIME
    assert noise_floor(figures.model_copy(update={"resolvable": None})) == (None, Limit.UNKNOWN)


def test_a_device_that_wanders_slowly_is_not_called_quiet() -> None:
    # Each block is steady within itself, and the whole goes one slow way.
    floor = floor_of(Trace(blocks=12, jitter=0.0001, stretch=np.linspace(1, 1.004, 12)))
    assert floor.figures.spread < 0.01
    assert floor.figures.resolvable is None
    assert "measure for longer" in (floor.figures.resolvable_reason or "")
    assert floor.verdict is Verdict.NOISY
    assert floor.limit is Limit.UNKNOWN


# --- the resolvable difference ----------------------------------------------------------------


def levels(rng: np.random.Generator, count: int, phi: float, size: float) -> Floats:
    """Blocks' medians of an AR(1) device, stationary from the first on."""
    found = np.empty(count)
    found[0] = rng.normal()
    for index in range(1, count):
        found[index] = phi * found[index - 1] + (1 - phi**2) ** 0.5 * rng.normal()
    return 1.0 + size * found


@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_the_difference_that_is_called_resolvable_is_found_in_four_of_five_cases(
    phi: float,
) -> None:
    rng = np.random.default_rng(3)
    blocks, size = 40, 0.01
    # What the mean of a run really varies by, from many runs and not from a formula.
    means = np.array([levels(rng, blocks, phi, size).mean() for _ in range(4000)])
    critical = 1.96 * 2**0.5 * means.std()
    detected = []
    for _ in range(600):
        seen = resolvable(levels(rng, blocks, phi, size), BLOCK_SECONDS, blocks * BLOCK_SECONDS)
        one, other = rng.choice(means, 2)
        if seen.value is not None:
            detected.append(abs(one * (1 + seen.value) - other) > critical)
    assert len(detected) > 560
    # Estimated from one short trace, it errs to the safe side.
    assert 0.78 <= np.mean(detected) <= 0.95


def test_longer_runs_resolve_more_but_never_more_than_was_measured() -> None:
    medians = levels(np.random.default_rng(4), 40, 0.0, 0.01)
    short, full, long = (resolvable(medians, BLOCK_SECONDS, s).value for s in (2.5, 10.0, 1000.0))
    assert short is not None
    assert full is not None
    assert short == pytest.approx(2 * full)
    assert long == full


@pytest.mark.parametrize("count", [1, 2, 3])
def test_too_few_blocks_resolve_nothing_and_say_so(count: int) -> None:
    value, reason = resolvable(np.linspace(1, 2, count), BLOCK_SECONDS, 10.0)
    assert value is None
    assert reason == f"{count} blocks were measured, 4 are needed"
    assert summarise(Trace(blocks=count).build(), 10.0).drift is None


def test_drift_is_not_moved_by_single_blocks() -> None:
    stretch = np.ones(40)
    stretch[[5, 38]] = 3.0
    figures = summarise(Trace(stretch=stretch).build(), 10.0)
    assert figures.drift is not None
    assert abs(figures.drift.value) < 0.001
    assert figures.drift.low is not None
    assert figures.drift.high is not None
    assert figures.drift.low <= 0 <= figures.drift.high


# --- recording --------------------------------------------------------------------------------


def moment(**changes: Any) -> Moment:
    values: dict[str, Any] = {
        "cpu_ns": 0,
        "involuntary_switches": 0,
        "run_delay_ns": 0,
        "cpu_times": CpuTimes(busy=0, idle=0, stolen=0),
        "cpu_pressure_us": 0,
        "memory_pressure_us": 0,
        "cpu": 1,
        "clock_hertz": 1e9,
        "highest_clock_hertz": 2e9,
        "temperature_celsius": 50.0,
        "throttle_events": 3,
        "firmware_state": None,
    }
    return Moment(**(values | changes))


def test_a_block_holds_the_differences() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    after = moment(
        cpu_ns=200_000_000,
        involuntary_switches=7,
        run_delay_ns=50_000_000,
        cpu_times=CpuTimes(busy=2 * ticks, idle=ticks, stolen=ticks),
        cpu_pressure_us=60_000,
        memory_pressure_us=1,
    )
    block = block_of(Stamps([(0, 10), (10, 30)]), moment(), after)
    assert block.slices_ns.tolist() == [10, 20]
    assert (block.start_ns, block.end_ns) == (0, 30)
    assert block.cpu_seconds == 0.2
    assert block.involuntary_switches == 7
    assert block.run_delay_seconds == pytest.approx(0.05)
    assert (block.machine_seconds, block.busy_seconds, block.stolen_seconds) == (4.0, 2.0, 1.0)
    assert block.cpu_pressure_seconds == pytest.approx(0.06)
    assert block.memory_pressure_seconds == pytest.approx(1e-6)
    assert block.throttled is False
    assert block.undervoltage is None


def test_what_is_not_counted_is_not_zero() -> None:
    silent = moment(
        run_delay_ns=None, cpu_times=None, cpu_pressure_us=None, memory_pressure_us=None,
        throttle_events=None,
    )  # fmt: skip
    block = block_of(Stamps([(0, 10)]), silent, moment())
    assert block.run_delay_seconds is None
    assert block.machine_seconds is None
    assert block.stolen_seconds is None
    assert block.cpu_pressure_seconds is None
    assert block.throttled is None
    figures = summarise([replace(block, start_ns=n, end_ns=n + 10) for n in range(5)], 10.0)
    assert figures.run_delay_share is None
    assert figures.steal_share is None
    assert figures.other_load_share is None
    assert figures.undisturbed_blocks is None


@pytest.mark.parametrize(
    ("before", "after", "throttled", "undervoltage"),
    [
        ({"throttle_events": 3}, {"throttle_events": 4}, True, None),
        ({"throttle_events": None}, {"throttle_events": None}, None, None),
        ({"firmware_state": 0x0}, {"firmware_state": 0x50000}, False, False),
        ({"firmware_state": 0x4}, {"firmware_state": 0x0}, True, False),
        ({"firmware_state": 0x0}, {"firmware_state": 0x1}, False, True),
    ],
)
def test_throttling(
    before: dict[str, Any], after: dict[str, Any], throttled: bool | None, undervoltage: bool | None
) -> None:
    block = block_of(Stamps([(0, 10)]), moment(**before), moment(**after))
    assert block.throttled is throttled
    assert block.undervoltage is undervoltage


def test_the_kernels_files_are_read(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    files = {
        "proc/self/stat": f"7 (a (odd) name) R {' '.join(map(str, range(4, 39)))} 3 0 0\n",
        "proc/self/schedstat": "1 2 3\n",
        "proc/self/task/7/schedstat": "100 2000 3\n",
        "proc/self/task/8/schedstat": "100 500 3\n",
        "proc/stat": "cpu  10 0 5 70 10 0 0 5 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
        "proc/pressure/cpu": "some avg10=1.00 avg60=1.00 avg300=1.00 total=4711\n",
        "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
        f"{cpu}/cpu3/cpufreq/scaling_cur_freq": "1800000\n",
        f"{cpu}/cpu3/cpufreq/cpuinfo_max_freq": "2400000\n",
        f"{cpu}/cpu0/thermal_throttle/core_throttle_count": "2\n",
        f"{cpu}/cpu0/thermal_throttle/package_throttle_count": "3\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "55000\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    watch = Watch(tmp_path, cpu_clock=lambda: 99)
    found = watch.read()
    watch.close()
    assert found == Moment(
        cpu_ns=99,
        involuntary_switches=found.involuntary_switches,
        run_delay_ns=2500,
        cpu_times=CpuTimes(busy=15, idle=80, stolen=5),
        cpu_pressure_us=4711,
        memory_pressure_us=12,
        cpu=3,
        clock_hertz=1.8e9,
        highest_clock_hertz=2.4e9,
        temperature_celsius=55.0,
        throttle_events=5,
        firmware_state=0x50005,
    )


def test_a_device_that_shows_nothing_is_watched_all_the_same(tmp_path: Path) -> None:
    watch = Watch(tmp_path, cpu_clock=lambda: 0)
    found = watch.read()
    watch.close()
    known = {name for name, value in vars(found).items() if value is not None}
    assert known == {"cpu_ns", "involuntary_switches"}


class Machine:
    """A clock that only the work moves, and the work."""

    kind = "fake-1"

    def __init__(self, seconds: float = 0.0015) -> None:
        self.now = 0
        self.step = int(seconds * 1e9)
        self.slices = 0

    def __call__(self) -> None:
        self.now += self.step
        self.slices += 1

    def clock(self) -> int:
        return self.now


def test_blocks_follow_a_lead_in_and_progress_is_told(tmp_path: Path) -> None:
    machine, told = Machine(), []
    blocks = record(machine, 1.0, Watch(tmp_path), machine.clock, told.append)
    assert len(blocks) == 4
    assert {len(block.slices_ns) for block in blocks} == {167}
    assert machine.slices == 334 + 4 * 167
    assert blocks[0].start_ns == 334 * machine.step
    assert told == pytest.approx([0.2505, 0.501, 0.7515, 1.002])


def test_work_that_takes_longer_than_a_block_is_one_block_each(tmp_path: Path) -> None:
    machine = Machine(0.6)
    blocks = record(machine, 1.0, Watch(tmp_path), machine.clock)
    assert [len(block.slices_ns) for block in blocks] == [1, 1]


def test_a_whole_measurement_of_a_device_without_noise(tmp_path: Path) -> None:
    machine = Machine()
    watch = Watch(tmp_path, cpu_clock=machine.clock)
    seen: list[bool] = []
    floor = measure_noise(
        machine, 3.0, root=tmp_path, watch=watch, clock=machine.clock, processes=dict,
        nvml=NoGpu("pynvml"), on_progress=lambda _: seen.append(gc.isenabled()),
    )  # fmt: skip
    assert floor.kind == "fake-1"
    assert floor.verdict is Verdict.QUIET
    assert floor.floor == pytest.approx(0.0, abs=1e-9)
    assert floor.figures.blocks == 12
    assert floor.figures.slice_seconds == pytest.approx(0.0015)
    assert floor.virtual is False
    assert not any(seen)
    assert gc.isenabled()


@pytest.mark.parametrize("seconds", [0.0, 0.5, -1.0, float("nan"), float("inf")])
def test_too_short_a_time_is_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="no time to measure"):
        measure_noise(Machine(), seconds)


# --- neighbours -------------------------------------------------------------------------------


def process(name: str, cpu_seconds: float, parent: int = 1, started: float = 0.0) -> Process:
    return Process(name=name, started=started, parent=parent, cpu_seconds=cpu_seconds)


def shares(before: dict[int, Process], after: dict[int, Process]) -> dict[str, float]:
    return {n.name: pytest.approx(n.cpu_share) for n in busiest(before, after, 10.0)}


def test_the_busiest_come_first_and_idle_ones_not_at_all() -> None:
    before = {1: process("idle", 100), 2: process("make", 5), 3: process("cc", 7)}
    after = {1: process("idle", 100.05), 2: process("make", 9), 3: process("cc", 17)}
    assert list(shares(before, after).items()) == [("cc", 1.0), ("make", 0.4)]


def test_a_program_that_starts_meanwhile_or_takes_over_a_number_counts_from_its_start() -> None:
    before = {2: process("old", 50, started=1.0)}
    after = {2: process("reused", 5, started=2.0), 3: process("new", 10, started=2.0)}
    assert shares(before, after) == {"new": 1.0, "reused": 0.5}


def test_children_that_ended_count_as_their_parents_but_only_what_they_used_meanwhile() -> None:
    # 30 s before the first look, 5 s after it; then it ended, and make was told of all 35.
    before = {2: process("make", 0), 3: process("cc", 30, parent=2), 4: process("as", 1, parent=3)}
    after = {2: process("make", 36)}
    assert shares(before, after) == {"make": 0.5}


def test_many_are_cut_to_the_busiest() -> None:
    after = {pid: process(f"p{pid}", pid) for pid in range(1, 30)}
    assert [n.pid for n in busiest({}, after, 10.0)] == list(range(29, 9, -1))
    assert busiest({}, after, 0.0) == ()


def test_this_process_is_not_its_own_neighbour() -> None:
    found = running()
    assert os.getpid() not in found
    assert os.getppid() in found


class MatrixProducts:
    """About a millisecond; too small for a BLAS to use threads."""

    kind = "matrix-product-test"

    def __init__(self) -> None:
        self._matrix = np.random.default_rng(0).standard_normal((48, 48))

    def __call__(self) -> None:
        for _ in range(60):
            self._matrix @ self._matrix


SPIN = """
import os
os.sched_setaffinity(0, {int(os.environ["ONLY_CPU"])})
print("spinning", flush=True)
while os.getppid() == int(os.environ["PARENT"]):
    sum(range(10_000))
"""


@contextlib.contextmanager
def hogs(count: int, cpu: int) -> Iterator[list[int]]:
    """Processes that spin on one CPU; they end with this one."""
    environment = os.environ | {"ONLY_CPU": str(cpu), "PARENT": str(os.getpid())}
    started = [
        subprocess.Popen([sys.executable, "-c", SPIN], env=environment, stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    try:
        for each in started:
            assert each.stdout is not None
            assert each.stdout.readline() == b"spinning\n"
        yield [each.pid for each in started]
    finally:
        for each in started:
            each.kill()
            each.communicate()


def test_a_real_neighbour_on_our_cpu_is_named() -> None:
    before = os.sched_getaffinity(0)
    cpu = min(before)
    os.sched_setaffinity(0, {cpu})
    try:
        with hogs(2, cpu) as pids:
            floor = measure_noise(MatrixProducts(), 1.5, nvml=NoGpu("pynvml"))
    finally:
        os.sched_setaffinity(0, before)
    if floor.figures.run_delay_share is None:
        pytest.skip("this kernel does not count run-queue delay")
    assert floor.verdict is Verdict.NOISY
    inside = floor.causes[0]
    assert inside.name is CauseName.NEIGHBOURS_INSIDE
    # Others may be busier yet on a machine that is shared: the sentence names the busiest.
    assert set(pids) <= {neighbour.pid for neighbour in floor.neighbours}
    assert f"pid {floor.neighbours[0].pid}" in inside.evidence
    # Two others on the same CPU: about two thirds of the time are theirs.
    assert floor.figures.run_delay_share > 0.4


def test_the_real_state_of_this_machine_can_be_read() -> None:
    assert read_preflight(nvml=NoGpu("pynvml")).cpu_affinity
