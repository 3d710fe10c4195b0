"""What being watched costs: the readings of an idle device, scrapes, verdicts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from agents.device.telemetry import AgentState, Telemetry
from agents.device.watch import SensorWatch, WatchThread
from agents.exporter import AgentCollector, CoordinatorCollector
from agents.exposition import OPENMETRICS, expose
from profiler import units
from profiler.comparing.results import compare_results
from profiler.latency_buckets import count
from profiler.sensors.base import Source
from profiler.sensors.discover import open_sources
from profiler.sensors.newest import NewestFile, NewestWriter
from profiler.sensors.source_reader import SourceReader
from profiler.stamps import Stamps
from tests.agents.test_baselines import NOISE, measured
from tests.agents.test_cardinality import DEVICES, MODELS, large_fleet
from tests.agents.test_exporter import registry_of
from tests.benchmarks.context import Context, say
from tests.benchmarks.report import Section, Table, median_and_range
from tests.builders import VERSIONS, make_inventory

NAME = "metrics_cost"
SECONDS, QUICK_SECONDS = 30.0, 5.0
ROUNDS, QUICK_ROUNDS = 5, 2
PROCESSES = 5


def run(context: Context) -> Section:
    seconds = QUICK_SECONDS if context.quick else SECONDS
    rounds = QUICK_ROUNDS if context.quick else ROUNDS
    sources, _ = open_sources()
    watch = SensorWatch(sources)
    say(f"{NAME}: the sensors of this machine are read for {seconds:.0f} s")
    with context.turn():
        share = _share_of_a_core(watch, seconds)
    names = ", ".join(source.name for source in sources)
    with context.turn():
        rows = _rows(watch, sources, rounds)
    for source in sources:
        source.close()
    text = (
        f"CPU time. The readings are of the sources here ({names}), once a second for "
        f"{seconds:.0f} s, with the thread that asks for them. The large fleet has {DEVICES} "
        f"devices with {MODELS} models each. Its figures are in memory: a coordinator reads each "
        f"result once."
    )
    return Section(
        name=NAME,
        text=text,
        tables=[
            Table(
                "readings of an idle device",
                ("what", "share of a core"),
                [("sensors, once a second", f"{100 * share:.3f} %")],
            ),
            Table(
                f"median (range) of {rounds}",
                ("what", "CPU time"),
                [(what, median_and_range(found)) for what, found in rows.items()],
            ),
        ],
        data={"share_of_a_core": share, "cpu_seconds": rows, "sources": names},
    )


def _share_of_a_core(watch: SensorWatch, seconds: float) -> float:
    """CPU time of the thread, and of this process meanwhile, which does nothing else."""
    idle = threading.Event()
    idle.set()
    thread = WatchThread(watch, idle)
    before, began = time.process_time(), time.perf_counter()
    thread.start()
    time.sleep(seconds)
    used, passed = time.process_time() - before, time.perf_counter() - began
    thread.stop()
    return used / passed


def _rows(watch: SensorWatch, sources: Sequence[Source], rounds: int) -> dict[str, list[float]]:
    telemetry = Telemetry(AgentState(), VERSIONS, make_inventory(), watch)
    device = registry_of(AgentCollector(telemetry.snapshot))
    now = large_fleet()
    fleet = registry_of(CoordinatorCollector(lambda: now))
    # A quarter of a second of a model that takes 20 µs, and one of 5 ms.
    quick, usual = (_stamps(n) for n in (12_500, 50))
    old, new = measured(0.010), measured(0.0102)
    samples = tuple(_iterations(p50) for p50 in (0.010, 0.0102))
    work: dict[str, Callable[[], object]] = {
        "a round of readings": watch.read,
        "what a run's sampler tells others, once a second": _telling(sources),
        "a scrape of an agent": lambda: expose(device, None),
        "a scrape of the large fleet": lambda: expose(fleet, None),
        "a scrape of the large fleet, OpenMetrics": lambda: expose(fleet, OPENMETRICS),
        "the buckets of a block of 50 iterations": lambda: _counted(usual),
        "the buckets of a block of 12,500 iterations": lambda: _counted(quick),
        f"a verdict from 2 × {PROCESSES} medians": lambda: compare_results(old, new),
        f"a verdict from 2 × {PROCESSES} × 20,000 iterations": lambda: compare_results(
            old, new, iterations=samples
        ),
    }
    found = {}
    for what, call in work.items():
        say(f"{NAME}: {what}")
        call()
        found[what] = [_cpu_seconds(call) for _ in range(rounds)]
        say(f"{NAME}: {units.seconds(median(found[what]))}")
    return found


def _telling(sources: Sequence[Source]) -> Callable[[], None]:
    """By the sampler, with the readings that it has."""
    file = NewestFile()
    assert file.path is not None
    writer = NewestWriter.open(file.path)
    assert writer is not None
    readers = [SourceReader(source, 10.0) for source in sources]
    for reader in readers:
        reader.tick()
    # The file is there for as long as somebody holds it.
    return lambda: writer.write(readers) if file.path else None


def _stamps(iterations: int) -> Stamps:
    """A block of a quarter of a second."""
    width = 250_000_000 // iterations
    return Stamps((i * width, (i + 1) * width) for i in range(iterations))


def _counted(stamps: Stamps) -> dict[int, int]:
    """What is done between two blocks for the histogram."""
    return count(stamps.seconds())


def _cpu_seconds(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def _iterations(p50: float) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    rng = np.random.default_rng(1)
    return [p50 * (1 + NOISE[i]) * rng.normal(1, 0.01, 20_000) for i in range(PROCESSES)]
