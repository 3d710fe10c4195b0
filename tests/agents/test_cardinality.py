"""A large fleet stays within what one Prometheus takes: the samples of its scrapes are counted."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from agents.exporter import (
    AgentCollector,
    AgentRunCount,
    CoordinatorCollector,
    CoordinatorSnapshot,
    LatencyHistogram,
    RunCount,
    SensorRead,
)
from profiler import metrics
from profiler.comparing.comparison import Verdict
from profiler.latency_buckets import BOUNDS
from profiler.result import Interval, Memory, RunStatus
from profiler.sensors.base import Channel, Quantity, Reading
from tests.agents.test_exporter import (
    ENERGY,
    device,
    fleet,
    full_agent,
    registry_of,
    result,
    verdict,
)

DEVICES, MODELS = 100, 50
MOST_SERIES = 100_000
# Of all runs of a model on a device, on how many of the pairs one has failed.
FAILED_SHARE = 10
MEASURING = 10


def samples(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


def large_fleet() -> CoordinatorSnapshot:
    """Every model was measured on every device, most of them without a failure."""
    names = [f"device-{i}" for i in range(DEVICES)]
    pairs = [(name, f"model-{j}") for name in names for j in range(MODELS)]
    known = Interval(value=0.03, low=0.02, high=0.04)
    latest = []
    for index, (name, model) in enumerate(pairs):
        # Every second device has an accelerator; all of them measure energy.
        peak = 2**20 if names.index(name) % 2 else None
        memory = Memory(peak_rss_bytes=2**28, accelerator_peak_allocated_bytes=peak)
        run_id = f"r-{index}"
        latest.append(
            result(
                name,
                model=model,
                p99=known,
                energy=ENERGY,
                memory=memory,
                run_id=run_id,
                usual=0.01,
            )
        )
    return fleet(
        *(device(name) for name in names),
        latest=tuple(latest),
        verdicts=tuple(verdict(run.run_id, Verdict.SAME, known) for run in latest),
        recent=tuple(latest[: metrics.RUNS_NAMED]),
        counts=tuple(
            RunCount(device=name, model=model, status=status, count=3)
            for index, (name, model) in enumerate(pairs)
            for status in (RunStatus.SUCCEEDED, RunStatus.FAILED)
            if status is RunStatus.SUCCEEDED or index % FAILED_SHARE == 0
        ),
    )


def agent(*, measuring: bool) -> int:
    """A board with many sensors: rails, zones, clocks of every core, reasons for throttling."""
    channels = tuple(
        Channel(source="board", label=f"{quantity.value}-{i}", quantity=quantity)
        for quantity in (Quantity.POWER, Quantity.TEMPERATURE, Quantity.CLOCK)
        for i in range(8)
    )
    histogram = LatencyHistogram(
        labels=("cpu", "m", "base", "torch", "fp32", "1", "4", "1x3x224x224", "single_stream"),
        counts={5: 3},
        sum_seconds=1.0,
    )
    now = full_agent().model_copy(
        update={
            "channels": channels,
            "readings": tuple(Reading(channel=c.key, seconds=1.0, value=1.0) for c in channels),
            "sensors": tuple(
                SensorRead(source=f"s{i}", failed=0, duration_seconds=0.1, failed_total=0)
                for i in range(6)
            ),
            "histograms": (histogram,) if measuring else (),
            "run_counts": tuple(AgentRunCount(status=status, count=1) for status in RunStatus),
        }
    )
    return samples(registry_of(AgentCollector(lambda: now)))


def test_a_hundred_devices_with_fifty_models_stay_under_a_hundred_thousand_series() -> None:
    now = large_fleet()
    own = samples(registry_of(CoordinatorCollector(lambda: now)))
    idle, measuring = agent(measuring=False), agent(measuring=True)
    whole = own + (DEVICES - MEASURING) * idle + MEASURING * measuring
    # Near enough that the statement tells something, and not above it.
    assert 0.9 * MOST_SERIES < whole < MOST_SERIES
    assert measuring - idle == len(BOUNDS) + 3


def test_a_configuration_has_as_many_series_as_the_reference_says() -> None:
    known = Interval(value=0.03, low=0.02, high=0.04)
    memory = Memory(peak_rss_bytes=2**28, accelerator_peak_allocated_bytes=2**20)
    run = result("pi5-a", p99=known, energy=ENERGY, memory=memory, usual=0.01)

    def count(*latest: object) -> int:
        now = fleet(device("pi5-a")).model_copy(
            update={"latest": latest, "verdicts": {"r-1": verdict("r-1", Verdict.SAME, known)}}
        )
        return samples(registry_of(CoordinatorCollector(lambda: now)))

    assert count(run) - count() == 18
