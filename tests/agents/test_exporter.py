"""The collectors export what is known and nothing else."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from agents.exporter import (
    AgentCollector,
    AgentRunCount,
    AgentSnapshot,
    CoordinatorCollector,
    CoordinatorSnapshot,
    EnergyCount,
    LatencyHistogram,
    RunCount,
    RunFigures,
    SensorRead,
    ThrottledCount,
    figures_of,
)
from agents.exposition import render
from agents.messages import Device, DeviceState, JobState, Versions
from agents.verdicts import RunVerdict
from profiler import metrics
from profiler.comparing.comparison import Verdict
from profiler.latency_buckets import BOUNDS
from profiler.metrics import CATALOGUE, Exporter, MetricType
from profiler.result import (
    AtUsualSpeed,
    Energy,
    EnergyFigure,
    EnergyQuality,
    EnergyScope,
    InputInfo,
    Interval,
    Latency,
    Memory,
    ModelInfo,
    Provenance,
    RunResult,
    RunStatus,
)
from profiler.sensors.base import Channel, Quantity, Reading
from tests.builders import make_inventory
from tests.tools import need_program

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
BUILD = Versions(fleetmark="0.1.0", protocol=1, ray="2.50.0", python="3.11.7")
HOSTILE = 'resnet"18\\\n<script>alert(1)</script>'

SUFFIXES = {MetricType.HISTOGRAM: ("_bucket", "_sum", "_count")}

Labels = frozenset[tuple[str, str]]


def device(
    name: str, state: DeviceState = DeviceState.ONLINE, seen: datetime | None = NOW
) -> Device:
    return Device(
        id=f"id-{name}",
        name=name,
        state=state,
        labels={},
        inventory=make_inventory(hostname=name),
        versions=BUILD,
        address="192.0.2.1",
        metrics_port=9400,
        registered_at=NOW,
        last_seen_at=seen,
    )


def latency(p99: Interval | None) -> Latency:
    return Latency(
        n=1000,
        n_effective=800.0,
        mean=0.012,
        minimum=0.009,
        maximum=0.04,
        median_absolute_deviation=0.0004,
        outliers=3,
        p50=Interval(value=0.011, low=0.0108, high=0.0112),
        p90=Interval(value=0.014, low=0.013, high=0.015),
        p95=None,
        p95_reason="too few iterations",
        p99=p99,
        p99_reason=None if p99 else "too few iterations",
        p999=None,
        p999_reason="too few iterations",
    )


ENERGY = Energy(
    headline=EnergyFigure(
        provenance=Provenance(
            source="rapl",
            channel="package-0",
            scope=EnergyScope.PACKAGE,
            quality=EnergyQuality.COUNTER,
            update_period_seconds=0.001,
            uncertainty=0.02,
        ),
        window_seconds=10.0,
        energy_joules=50.0,
        joules_per_item=0.05,
        mean_power_watts=5.0,
    )
)


def result(
    name: str,
    *,
    model: str = "resnet18",
    p99: Interval | None = None,
    energy: Energy | None = None,
    memory: Memory | None = None,
    items: float | None = 90.0,
    finished: datetime = NOW,
    received: datetime = NOW,
    run_id: str = "r-1",
    status: RunStatus = RunStatus.SUCCEEDED,
    usual: float | None = None,
) -> RunFigures:
    found = RunResult(
        run_id=run_id,
        status=status,
        device=name,
        model=model,
        model_info=ModelInfo(source="torchvision"),
        runtime="onnxruntime",
        precision="fp32",
        accelerator="cpu",
        threads=4,
        batch_size=8,
        inputs=(InputInfo(name="x", dtype="float32", shape=(8, 3, 224, 224)),),
        scenario="single_stream",
        seed=0,
        started_at=finished - timedelta(seconds=20),
        finished_at=finished,
        latency=latency(p99),
        throughput_items_per_second=items,
        memory=memory,
        energy=energy,
        environment=None,
        at_usual_speed=AtUsualSpeed(
            runs=5,
            exponent=1.0,
            exponent_sd=0.1,
            sentinel_seconds=0.003,
            relative_sd=0.01,
            freedom=3.0,
            p50=Interval(value=usual, low=usual, high=usual),
        )
        if usual is not None
        else None,
    )
    return figures_of(found, received)


def verdict(run_id: str, found: Verdict, ratio: Interval | None = None) -> RunVerdict:
    return RunVerdict(
        run_id=run_id,
        baseline_run_id="r-0",
        pinned=False,
        verdict=found,
        ratio=ratio,
        reason=None,
        sentence="",
        judged_at=NOW,
    )


def fleet(
    *devices: Device,
    latest: tuple[RunFigures, ...] = (),
    verdicts: tuple[RunVerdict, ...] = (),
    recent: tuple[RunFigures, ...] = (),
    counts: tuple[RunCount, ...] = (),
    jobs: dict[JobState, int] | None = None,
    queued: dict[str, int] | None = None,
) -> CoordinatorSnapshot:
    return CoordinatorSnapshot(
        build=BUILD,
        devices=devices,
        latest=latest,
        verdicts={each.run_id: each for each in verdicts},
        recent=recent,
        run_counts=counts,
        job_counts=jobs or {},
        queued=queued or {},
    )


def full_fleet() -> CoordinatorSnapshot:
    """Every metric of the coordinator has a series, and one model has a hostile name."""
    known = Interval(value=0.03, low=0.02, high=0.04)
    memory = Memory(peak_rss_bytes=2**28, accelerator_peak_allocated_bytes=2**20)
    return fleet(
        device("pi5-a"),
        latest=(
            result("pi5-a", p99=known, energy=ENERGY, memory=memory),
            result("pi5-a", model=HOSTILE, energy=ENERGY),
        ),
        verdicts=(verdict("r-1", Verdict.SLOWER, Interval(value=1.1, low=1.05, high=1.15)),),
        recent=(result("pi5-a", model=HOSTILE, run_id="r-9", status=RunStatus.FAILED),),
        counts=(
            RunCount(
                device="pi5-a",
                model=HOSTILE,
                status=RunStatus.SUCCEEDED,
                count=3,
                last_run_id="r-1",
            ),
        ),
        jobs={JobState.QUEUED: 2},
        queued={"pi5-a": 4},
    )


def full_agent() -> AgentSnapshot:
    channels = (
        Channel(source="system", label="cpu", quantity=Quantity.UTILIZATION),
        Channel(source="system", label="memory", quantity=Quantity.MEMORY_USED),
        Channel(source="system", label="memory", quantity=Quantity.MEMORY_TOTAL),
        Channel(source="thermal", label="cpu-thermal", quantity=Quantity.TEMPERATURE),
        Channel(source="system", label="policy0", quantity=Quantity.CLOCK),
        Channel(source="ina3221", label="VDD_IN", quantity=Quantity.POWER),
    )
    values = (0.25, 1e9, 4e9, 61.5, 2.4e9, 5.5)
    return AgentSnapshot(
        build=BUILD,
        inventory=make_inventory(),
        channels=channels,
        readings=tuple(
            Reading(channel=channel.key, seconds=1.0, value=value)
            for channel, value in zip(channels, values, strict=True)
        ),
        energy=(EnergyCount(source="rapl", channel="package-0", joules=12.5),),
        throttled=(ThrottledCount(source="nvml", channel="0", reason="heat", seconds=3.0),),
        sensors=(
            SensorRead(source="system", failed=0, duration_seconds=0.0002, failed_total=0),
            SensorRead(source="thermal", failed=2, duration_seconds=0.5, failed_total=7),
        ),
        histograms=(
            LatencyHistogram(
                labels=(
                    "cpu",
                    HOSTILE,
                    "base",
                    "torch",
                    "fp32",
                    "1",
                    "4",
                    "1x3x224x224",
                    "offline",
                ),
                counts={0: 2, 5: 3, len(BOUNDS): 1},
                sum_seconds=40.0,
                exemplars={5: ("r-7", 1.5e-4)},
            ),
        ),
        run_counts=(AgentRunCount(status=RunStatus.FAILED, count=1),),
        busy=True,
    )


def registry_of(collector: CoordinatorCollector | AgentCollector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def scrape_fleet(now: CoordinatorSnapshot) -> bytes:
    return render(registry_of(CoordinatorCollector(lambda: now)))


def scrape_agent(now: AgentSnapshot) -> bytes:
    return render(registry_of(AgentCollector(lambda: now)))


def families(body: bytes) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def series(body: bytes, name: str) -> dict[Labels, float]:
    found = [
        sample
        for family in families(body).values()
        for sample in family.samples
        if sample.name == name
    ]
    by_labels = {frozenset(sample.labels.items()): sample.value for sample in found}
    assert len(by_labels) == len(found), "one series twice"
    return by_labels


def by_label(body: bytes, name: str, label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in series(body, name).items()}


# --- the catalogue ---------------------------------------------------------------------------


def test_names_carry_prefix_and_unit_and_only_counters_say_total() -> None:
    for spec in CATALOGUE:
        assert spec.name.startswith("fleetmark_")
        assert spec.name.endswith("_total") == (spec.type is MetricType.COUNTER)
        assert spec.name.endswith("_info") == (spec.type is MetricType.INFO)
        assert spec.unit is None or spec.name.removesuffix("_total").endswith(f"_{spec.unit}")
        assert spec.help.endswith(".")
        assert len(set(spec.labels)) == len(spec.labels)
        # Prometheus sets these itself, and renames ours.
        assert not {"job", "instance", "quantile", "le", "exported_job"} & set(spec.labels)
    assert len({spec.name for spec in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize(
    ("exporter", "body"),
    [
        (Exporter.COORDINATOR, scrape_fleet(full_fleet())),
        (Exporter.AGENT, scrape_agent(full_agent())),
    ],
)
def test_what_is_served_is_what_the_catalogue_says(exporter: Exporter, body: bytes) -> None:
    found = families(body)
    served = [spec for spec in CATALOGUE if exporter in spec.served_by]
    assert set(found) == {spec.name.removesuffix("_total") for spec in served}
    for spec in served:
        family = found[spec.name.removesuffix("_total")]
        # The text format knows no info type.
        assert family.type == ("gauge" if spec.type is MetricType.INFO else spec.type.value)
        assert family.documentation == spec.help
        for sample in family.samples:
            suffix = sample.name.removeprefix(spec.name)
            assert suffix in SUFFIXES.get(spec.type, ("",))
            more = ("le",) if suffix == "_bucket" else ()
            assert set(sample.labels) == {*spec.labels_on(exporter), *more}
            assert sample.timestamp is None


@pytest.mark.parametrize("body", [scrape_fleet(full_fleet()), scrape_agent(full_agent())])
def test_promtool_has_nothing_to_say(body: bytes) -> None:
    promtool = need_program("promtool")
    check = subprocess.run(
        [promtool, "check", "metrics"], input=body, capture_output=True, check=False, timeout=60
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_the_global_registry_is_left_alone() -> None:
    names = {family.name for family in REGISTRY.collect()}
    assert not any(name.startswith("fleetmark") for name in names)


def test_one_registry_refuses_two_collectors_of_one_name() -> None:
    registry = registry_of(CoordinatorCollector(full_fleet))
    with pytest.raises(ValueError, match="fleetmark_build"):
        registry.register(AgentCollector(full_agent))


# --- the coordinator's -----------------------------------------------------------------------


def test_statistics_of_a_run() -> None:
    known = Interval(value=0.03, low=0.02, high=0.04)
    body = scrape_fleet(fleet(device("pi5-a"), latest=(result("pi5-a", p99=known, usual=0.0105),)))
    assert by_label(body, "fleetmark_run_latency_seconds", "stat") == {
        "p50": 0.011,
        "p90": 0.014,
        "p99": 0.03,
        "mean": 0.012,
        "min": 0.009,
        "max": 0.04,
        "ci_low": 0.0108,
        "ci_high": 0.0112,
        "usual_speed": 0.0105,
    }
    assert set(by_label(body, "fleetmark_run_latency_seconds", "stat")) == set(
        metrics.LATENCY_STATS
    )
    configuration = {
        "device": "pi5-a",
        "accelerator": "cpu",
        "model": "resnet18",
        "variant": "base",
        "runtime": "onnxruntime",
        "precision": "fp32",
        "batch_size": "8",
        "threads": "4",
        "inputs": "8x3x224x224",
        "scenario": "single_stream",
    }
    assert series(body, "fleetmark_run_throughput_items_per_second") == {
        frozenset(configuration.items()): 90.0
    }
    assert series(body, "fleetmark_run_completed_timestamp_seconds") == {
        frozenset(configuration.items()): NOW.timestamp()
    }


def test_what_was_not_measured_is_absent_and_never_zero() -> None:
    bare = result("pi5-a", items=None)
    found = families(scrape_fleet(fleet(device("pi5-a", seen=None), latest=(bare,))))
    assert not {
        "fleetmark_run_throughput_items_per_second",
        "fleetmark_run_energy_joules_per_item",
        "fleetmark_run_peak_memory_bytes",
        "fleetmark_agent_last_heartbeat_timestamp_seconds",
        "fleetmark_runs",
    } & set(found)
    stats = {sample.labels["stat"] for sample in found["fleetmark_run_latency_seconds"].samples}
    assert "p99" not in stats
    assert "p50" in stats


def test_memory_of_the_kinds_that_were_measured() -> None:
    memory = Memory(peak_rss_bytes=2**28)
    body = scrape_fleet(fleet(device("pi5-a"), latest=(result("pi5-a", memory=memory),)))
    assert by_label(body, "fleetmark_run_peak_memory_bytes", "kind") == {"rss": 2.0**28}


@pytest.mark.parametrize(
    ("unified", "kind"), [(True, "unified"), (False, "accelerator"), (None, "accelerator")]
)
def test_memory_that_is_shared_with_the_host_has_a_kind_of_its_own(
    unified: bool | None, kind: str
) -> None:
    memory = Memory(peak_rss_bytes=2**28, accelerator_peak_allocated_bytes=2**20, unified=unified)
    body = scrape_fleet(fleet(device("pi5-a"), latest=(result("pi5-a", memory=memory),)))
    found = by_label(body, "fleetmark_run_peak_memory_bytes", "kind")
    assert found == {"rss": 2.0**28, kind: 2.0**20}


def test_a_hostile_model_name_survives_the_exposition() -> None:
    body = scrape_fleet(full_fleet())
    assert set(by_label(body, "fleetmark_run_energy_joules_per_item", "model")) == {
        "resnet18",
        HOSTILE,
    }
    assert by_label(body, "fleetmark_runs_total", "model") == {HOSTILE: 3.0}
    assert all(line.startswith((b"#", b"fleetmark_")) for line in body.splitlines())


def test_series_vanish_when_a_device_goes() -> None:
    both = fleet(
        device("pi5-a"),
        device("orin-1"),
        latest=(result("pi5-a"), result("orin-1", run_id="r-2")),
        verdicts=(verdict("r-1", Verdict.SAME), verdict("r-2", Verdict.SAME)),
        recent=(result("pi5-a"), result("orin-1", run_id="r-2")),
        counts=(
            RunCount(device="pi5-a", model="resnet18", status=RunStatus.FAILED, count=1),
            RunCount(device="orin-1", model="resnet18", status=RunStatus.FAILED, count=2),
        ),
        queued={"pi5-a": 1, "orin-1": 2},
    )
    snapshots = [both, both.model_copy(update={"devices": both.devices[:1]})]
    registry = registry_of(CoordinatorCollector(lambda: snapshots.pop(0)))
    before = families(render(registry))
    assert sum("orin-1" in str(family.samples) for family in before.values()) == 10
    after = render(registry)
    assert b"orin-1" not in after
    assert b"pi5-a" in after


def test_of_two_results_of_one_series_the_later_counts_and_a_failed_one_never() -> None:
    # What the device's clock says is no order: a board without a battery begins in 1970.
    older = result("pi5-a", items=10.0, finished=NOW + timedelta(days=365))
    newer = result("pi5-a", items=20.0, received=NOW + timedelta(hours=1))
    failed = result("pi5-a", items=30.0, finished=NOW + timedelta(hours=1), status=RunStatus.FAILED)
    body = scrape_fleet(fleet(device("pi5-a"), latest=(older, newer, failed)))
    name = "fleetmark_run_throughput_items_per_second"
    assert list(series(body, name).values()) == [20.0]
    completed = series(body, "fleetmark_run_completed_timestamp_seconds")
    assert list(completed.values()) == [(NOW + timedelta(hours=1)).timestamp()]


def test_devices_queue_and_jobs() -> None:
    body = scrape_fleet(
        fleet(
            device("a", DeviceState.ONLINE),
            device("b", DeviceState.BUSY),
            device("c", DeviceState.OFFLINE),
            device("d", DeviceState.JOINING),
            jobs={JobState.RUNNING: 2},
            queued={"b": 5},
        )
    )
    up = by_label(body, "fleetmark_agent_up", "device")
    assert up == {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}
    depth = by_label(body, "fleetmark_queue_depth", "device")
    assert depth == {"a": 0.0, "b": 5.0, "c": 0.0, "d": 0.0}
    jobs = by_label(body, "fleetmark_jobs", "state")
    assert jobs == {"queued": 0, "running": 2, "succeeded": 0, "failed": 0, "cancelled": 0}
    assert series(body, "fleetmark_build_info") == {
        frozenset({"version": "0.1.0", "python": "3.11.7", "ray": "2.50.0"}.items()): 1.0
    }


def test_an_empty_fleet_is_no_error() -> None:
    found = families(scrape_fleet(fleet()))
    assert set(found) == {"fleetmark_jobs", "fleetmark_build_info"}


# --- the agent's -----------------------------------------------------------------------------


def test_readings_of_a_device() -> None:
    body = scrape_agent(full_agent())
    name = "fleetmark_device_temperature_celsius"
    assert series(body, name) == {
        frozenset({"source": "thermal", "channel": "cpu-thermal"}.items()): 61.5
    }
    assert by_label(body, "fleetmark_device_utilization_ratio", "channel") == {"cpu": 0.25}
    assert by_label(body, "fleetmark_device_memory_used_bytes", "channel") == {"memory": 1e9}
    assert by_label(body, "fleetmark_device_memory_total_bytes", "channel") == {"memory": 4e9}
    assert by_label(body, "fleetmark_agent_runs_total", "status") == {"failed": 1.0}
    assert list(series(body, "fleetmark_agent_busy").values()) == [1.0]


def test_a_failed_reading_and_a_missing_one_are_absent() -> None:
    channels = (
        Channel(source="thermal", label="gpu", quantity=Quantity.TEMPERATURE),
        Channel(source="system", label="cpu", quantity=Quantity.UTILIZATION),
    )
    failed = Reading(channel=channels[0].key, seconds=1.0, value=None, error="EIO")
    now = full_agent().model_copy(
        update={
            "channels": channels,
            "readings": (failed,),
            "energy": (),
            "throttled": (),
            "sensors": (),
            "histograms": (),
            "inventory": None,
            "run_counts": (),
            "busy": False,
        }
    )
    assert set(families(scrape_agent(now))) == {"fleetmark_build_info", "fleetmark_agent_busy"}


def test_two_zones_of_one_name_are_one_series() -> None:
    zone = Channel(source="thermal", label="acpitz", quantity=Quantity.TEMPERATURE)
    reading = Reading(channel=zone.key, seconds=1.0, value=40.0)
    now = full_agent().model_copy(update={"channels": (zone, zone), "readings": (reading,)})
    assert len(series(scrape_agent(now), "fleetmark_device_temperature_celsius")) == 1


def test_power_energy_clock_and_throttling_by_their_own_names() -> None:
    body = scrape_agent(full_agent())
    assert by_label(body, "fleetmark_device_power_watts", "channel") == {"VDD_IN": 5.5}
    assert by_label(body, "fleetmark_device_energy_joules_total", "channel") == {"package-0": 12.5}
    assert by_label(body, "fleetmark_device_clock_hertz", "channel") == {"policy0": 2.4e9}
    assert by_label(body, "fleetmark_device_throttled_seconds_total", "reason") == {"heat": 3.0}


# --- sources ---------------------------------------------------------------------------------


def test_a_source_with_one_failed_reading_is_no_success_and_its_failures_are_counted() -> None:
    body = scrape_agent(full_agent())
    assert by_label(body, "fleetmark_sensor_success", "source") == {"system": 1, "thermal": 0}
    counted = by_label(body, "fleetmark_sensor_failed_readings_total", "source")
    assert counted == {"system": 0, "thermal": 7}
    durations = by_label(body, "fleetmark_sensor_read_duration_seconds", "source")
    assert durations == {"system": 0.0002, "thermal": 0.5}


def test_while_a_run_is_measured_only_the_count_of_failures_is_served() -> None:
    idle = SensorRead(source="rapl", failed=None, duration_seconds=None, failed_total=3)
    body = scrape_agent(full_agent().model_copy(update={"sensors": (idle,)}))
    assert series(body, "fleetmark_sensor_success") == {}
    assert series(body, "fleetmark_sensor_read_duration_seconds") == {}
    assert by_label(body, "fleetmark_sensor_failed_readings_total", "source") == {"rapl": 3}


# --- the histogram ---------------------------------------------------------------------------


def test_buckets_are_cumulative_and_end_with_all_of_them() -> None:
    body = scrape_agent(full_agent())
    buckets = by_label(body, "fleetmark_inference_latency_seconds_bucket", "le")
    assert len(buckets) == len(BOUNDS) + 1
    assert (buckets["5e-05"], buckets["6.3e-05"], buckets["0.00016"]) == (2, 2, 5)
    assert (buckets["31.5"], buckets["+Inf"]) == (5, 6)
    assert list(series(body, "fleetmark_inference_latency_seconds_count").values()) == [6]
    assert list(series(body, "fleetmark_inference_latency_seconds_sum").values()) == [40.0]


# --- verdicts --------------------------------------------------------------------------------


@pytest.mark.parametrize("found", list(Verdict))
def test_a_verdict_is_one_of_four_and_the_ratio_stands_beside_it(found: Verdict) -> None:
    ratio = Interval(value=1.1, low=1.05, high=1.15)
    now = fleet(
        device("pi5-a"), latest=(result("pi5-a"),), verdicts=(verdict("r-1", found, ratio),)
    )
    body = scrape_fleet(now)
    assert by_label(body, "fleetmark_run_verdict", "verdict") == {found.value: 1.0}
    assert list(series(body, "fleetmark_run_baseline_ratio").values()) == [1.1]
    bounds = by_label(body, "fleetmark_run_baseline_bound_ratio", "bound")
    assert bounds == {"low": 1.05, "high": 1.15}


def test_a_bound_that_is_not_known_has_no_series() -> None:
    ratio = Interval(value=1.1, low=None, high=None)
    now = fleet(
        device("pi5-a"),
        latest=(result("pi5-a"),),
        verdicts=(verdict("r-1", Verdict.INCONCLUSIVE, ratio),),
    )
    assert series(scrape_fleet(now), "fleetmark_run_baseline_bound_ratio") == {}


def test_without_a_baseline_there_is_no_verdict_and_refused_ones_have_no_ratio() -> None:
    refused = verdict("r-2", Verdict.INCONCLUSIVE)
    first, second = result("pi5-a"), result("pi5-a", model="other", run_id="r-2")
    body = scrape_fleet(fleet(device("pi5-a"), latest=(first, second), verdicts=(refused,)))
    judged = {dict(labels)["model"] for labels in series(body, "fleetmark_run_verdict")}
    assert judged == {"other"}
    assert series(body, "fleetmark_run_baseline_ratio") == {}
    assert series(body, "fleetmark_run_baseline_bound_ratio") == {}


def test_every_verdict_is_in_the_catalogue() -> None:
    assert set(metrics.VERDICTS) == {each.value for each in Verdict}


def test_the_newest_runs_are_named_and_no_more_of_them_than_is_said() -> None:
    many = tuple(result("pi5-a", run_id=f"r-{i}") for i in range(metrics.RUNS_NAMED + 5))
    body = scrape_fleet(fleet(device("pi5-a"), recent=many))
    named = by_label(body, "fleetmark_run_info", "run_id")
    assert set(named) == {f"r-{i}" for i in range(metrics.RUNS_NAMED)}
