"""Each tool measures a scene with its own code: joules of the timed part, or why there are none."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from profiler.energy.figures import Work
from profiler.energy.summary import summarise_energy
from profiler.sensors.trace import Trace
from tests.benchmarks.energy_peers.driver import Powercap, nvml
from tests.benchmarks.energy_peers.scene import Refused, Scene
from tests.simulated_sensors import listened, series_of

# As codecarbon comes: it reads every 15 s, and power without a counter every second.
CODECARBON_SECONDS, CODECARBON_POWER_SECONDS = 15.0, 1.0
# zeus reads twice as often as the sensor's value changes, which it finds out; here every 100 ms.
ZEUS_POLL_SECONDS = 0.05
_JOULES_PER_KWH = 3.6e6

Tool = Callable[[Scene, Path], "Estimate"]


class Estimate(SimpleNamespace):
    """``joules`` of the timed part; ``bound``: relative, as printed, where the tool prints one."""

    joules: float
    bound: float | None


def version(distribution: str) -> str | None:
    """Of an installed tool; ``None`` where it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def fleetmark(scene: Scene, _directory: Path) -> Estimate:
    """The headline's joules per call, times all calls."""
    sensors = [sensor for sensor in (scene.counter, scene.power) if sensor is not None]
    read = scene.sampled()
    # As before every run, the sensors are listened to first.
    series = tuple(
        replace(series_of(scene.load, each, read), channel=listened(scene.load, each))
        for each in sensors
    )
    trace = Trace(series=series, absent=(), report=None)
    found = summarise_energy(trace, Work([scene.window], 1))
    if found.energy is None:
        raise Refused(found.reason or "")
    figure = found.energy.headline
    joules = figure.joules_per_item * float(scene.window.calls[-1])
    return Estimate(joules=joules, bound=figure.provenance.uncertainty)


def zeus(scene: Scene, directory: Path) -> Estimate:
    with _quiet("zeus"):
        if scene.counter is not None and scene.counter.wraps_at is not None:
            return _zeus_rapl(scene, directory)
        if scene.counter is not None:
            return _zeus_counter(scene)
        return _zeus_polled(scene)


def _zeus_counter(scene: Scene) -> Estimate:
    from zeus.device.cpu.common import ZeusCPUInitError
    from zeus.device.gpu.nvidia import NVIDIAGPUs
    from zeus.device.soc.common import ZeusSoCInitError
    from zeus.monitor import energy

    def none(error: type[Exception]) -> Callable[[], Any]:
        def raising() -> Any:
            raise error("not simulated")

        return raising

    with (
        nvml(scene),
        patch.multiple(
            energy,
            get_gpus=NVIDIAGPUs,
            get_cpus=none(ZeusCPUInitError),
            get_soc=none(ZeusSoCInitError),
            time=lambda: scene.now,
        ),
    ):
        monitor = energy.ZeusMonitor(gpu_indices=[0], cpu_indices=[])
        scene.now = scene.window.start
        monitor.begin_window("w", sync_execution=False)
        scene.now = scene.window.end
        joules = monitor.end_window("w", sync_execution=False).gpu_energy[0]
    return Estimate(joules=joules, bound=None)


def _zeus_polled(scene: Scene) -> Estimate:
    """Its polling loop and its integration, the loop in this process and on the scene's clock."""
    from zeus.device.gpu.nvidia import NVIDIAGPUs
    from zeus.monitor import power

    samples: list[Any] = []
    domain = power.PowerDomain.DEVICE_INSTANT
    event = SimpleNamespace(
        set=lambda: None, is_set=lambda: scene.now > scene.window.end + ZEUS_POLL_SECONDS
    )

    def sleep(seconds: float) -> None:
        scene.now += seconds

    with (
        nvml(scene),
        patch.multiple(
            power,
            get_gpus=lambda **_: NVIDIAGPUs(),
            time=lambda: scene.now,
            sleep=sleep,
        ),
    ):
        scene.now = -0.5
        queue = SimpleNamespace(put=samples.append)
        power._domain_polling_process(domain, [0], queue, event, event, ZEUS_POLL_SECONDS)
        monitor = object.__new__(power.PowerMonitor)
        monitor.gpu_indices, monitor.measurement_domains = [0], [domain]
        monitor.samples = {domain: {0: [s for s in samples if s != "STOP"]}}
        monitor._process_queue_data = lambda _: None
        monitor._process_all_queue_data = lambda: None
        found = monitor.get_energy(*scene.window.span)
    return Estimate(joules=found[0], bound=None)


def _zeus_rapl(scene: Scene, directory: Path) -> Estimate:
    """Its counter of wraps runs on the scene's clock, so that no race can spoil it."""
    from zeus.device.cpu import rapl

    tree = Powercap(scene, directory)
    tree.move_to(scene.window.start)
    wraps = _Wraps()

    def sleep(seconds: float) -> None:
        if scene.now + seconds > scene.window.end:
            raise KeyboardInterrupt
        tree.move_to(scene.now + seconds)

    try:
        cpu = rapl.RAPLCPU(0, str(tree.root))
        cpu.rapl_file._wraparound_tracker = SimpleNamespace(get_num_wraparounds=lambda: wraps.value)
        before = cpu.get_total_energy_consumption().cpu_mj
        with patch.object(rapl, "time", SimpleNamespace(sleep=sleep)):
            path, highest = cpu.rapl_file.energy_uj_path, cpu.rapl_file.max_energy_range_uj
            rapl._polling_process(path, highest, wraps)
        tree.move_to(scene.window.end)
        after = cpu.get_total_energy_consumption().cpu_mj
    except ValueError as error:
        raise Refused(str(error)) from error
    return Estimate(joules=(after - before) / 1e3, bound=None)


class _Wraps:
    """A shared integer as ``multiprocessing`` has them, of one process."""

    def __init__(self) -> None:
        self.value = 0

    @contextmanager
    def get_lock(self) -> Iterator[None]:
        yield


def codecarbon(scene: Scene, directory: Path) -> Estimate:
    with _quiet("codecarbon"):
        if scene.counter is not None and scene.counter.wraps_at is not None:
            return _codecarbon_rapl(scene, directory)
        return _codecarbon_gpu(scene)


def _codecarbon_rapl(scene: Scene, directory: Path) -> Estimate:
    from codecarbon.core.cpu import IntelRAPL
    from codecarbon.core.units import Time

    tree = Powercap(scene, directory)
    tree.move_to(scene.window.start)
    reader = IntelRAPL(rapl_dir=str(tree.root))
    if not reader._rapl_files:
        raise Refused("no counter could be read")
    reader.start()
    kwh = 0.0
    for since, now in _steps(scene, CODECARBON_SECONDS):
        tree.move_to(now)
        details = reader.get_cpu_details(Time.from_seconds(now - since))
        kwh += sum(value for name, value in details.items() if "Energy" in name)
    return Estimate(joules=kwh * _JOULES_PER_KWH, bound=None)


def _codecarbon_gpu(scene: Scene) -> Estimate:
    from codecarbon.core import gpu_nvidia
    from codecarbon.core.units import Time

    with nvml(scene) as module, patch.object(gpu_nvidia, "pynvml", module):
        scene.now = scene.window.start
        device = gpu_nvidia.NvidiaGPUDevice(handle="gpu0", gpu_index=0)
        device.start()
        kwh = 0.0
        for since, now in _steps(scene, CODECARBON_SECONDS):
            at = since
            while at + CODECARBON_POWER_SECONDS <= now:
                at += CODECARBON_POWER_SECONDS
                scene.now = at
                device.sample_power()
            scene.now = now
            kwh += device.delta(Time.from_seconds(now - since))["delta_energy_consumption"].kWh
    return Estimate(joules=kwh * _JOULES_PER_KWH, bound=None)


def _steps(scene: Scene, seconds: float) -> Iterator[tuple[float, float]]:
    """(last, now) of readings every so often, and one at the end."""
    last = scene.window.start
    while last + seconds < scene.window.end:
        yield last, last + seconds
        last += seconds
    yield last, scene.window.end


@contextmanager
def _quiet(package: str) -> Iterator[None]:
    """What they say of hardware that is not there is no news, and stdout is for tables."""
    with redirect_stdout(sys.stderr):
        importlib.import_module(package)
        found = logging.getLogger(package)
        before = found.level
        found.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            found.setLevel(before)


# Distribution (for its version; ``None`` is our own) and how it measures.
TOOLS: dict[str, tuple[str | None, Tool]] = {
    "fleetmark": (None, fleetmark),
    "zeus": ("zeus", zeus),
    "codecarbon": ("codecarbon", codecarbon),
}
