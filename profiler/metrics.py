"""The metric catalogue: every series that fleetmark exports, as data.

Exporters take names, labels and help from here, and so do the dashboards and ``docs/metrics.md``;
nothing else names a metric. Figures of a run are exact statistics of its latest success, not
estimates from buckets. The coordinator sets ``device`` itself; on agents it is attached by service
discovery.
"""

from __future__ import annotations

from profiler.base import Frozen, StrEnum


class MetricType(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"


class Exporter(StrEnum):
    """The process that serves a metric."""

    COORDINATOR = "coordinator"
    AGENT = "agent"


class MetricSpec(Frozen):
    """One metric family. ``name`` is the name of its series, suffixes included.

    A histogram's series carry ``_bucket``, ``_sum`` and ``_count`` behind it, and the first of them
    the label ``le``.
    """

    name: str
    type: MetricType
    unit: str | None
    labels: tuple[str, ...]
    help: str
    served_by: tuple[Exporter, ...]

    def labels_on(self, exporter: Exporter) -> tuple[str, ...]:
        """The labels that this process writes; on agents ``device`` comes from discovery."""
        if exporter is Exporter.COORDINATOR:
            return self.labels
        return tuple(label for label in self.labels if label != DEVICE)


DEVICE = "device"
COORDINATOR = (Exporter.COORDINATOR,)
AGENT = (Exporter.AGENT,)
BOTH = (Exporter.COORDINATOR, Exporter.AGENT)

# What tells one measured configuration from another on a device. ``scenario``, ``threads`` and
# ``inputs`` (shapes) are among them: a sweep over any of these must not mix its figures.
CONFIGURATION = (
    "accelerator", "model", "variant", "runtime", "precision", "batch_size", "threads", "inputs",
    "scenario",
)  # fmt: skip
# Where a reading comes from, in the driver's own words; the fields of ``result.Provenance``.
CHANNEL = ("source", "channel")

# ``stat`` and not ``quantile``: promtool refuses the latter on a gauge.
LATENCY_STATS = ("p50", "p90", "p99", "mean", "min", "max", "ci_low", "ci_high", "usual_speed")
PEAK_MEMORY_KINDS = ("rss", "accelerator", "unified")
# Of the ratio to the baseline.
RATIO_BOUNDS = ("low", "high")
# ``comparing.comparison.Verdict``; the one that holds has a series. Zeros of the other three would
# take a large fleet beyond the series that are promised, and tell nothing.
VERDICTS = ("slower", "faster", "same", "inconclusive")
# Runs that ``fleetmark_run_info`` names, newest first.
RUNS_NAMED = 200

RUN_LATENCY = MetricSpec(
    name="fleetmark_run_latency_seconds",
    type=MetricType.GAUGE,
    unit="seconds",
    labels=("device", *CONFIGURATION, "stat"),
    help=(
        "Latency of one iteration in the latest successful run: exact statistics; ci_low and "
        "ci_high bound p50 with 95 % confidence; usual_speed is p50 had the device been as fast as "
        "it usually is, absent until four runs tell."
    ),
    served_by=COORDINATOR,
)
RUN_THROUGHPUT = MetricSpec(
    name="fleetmark_run_throughput_items_per_second",
    type=MetricType.GAUGE,
    unit="items_per_second",
    labels=("device", *CONFIGURATION),
    help="Items that the latest successful run put through in a second.",
    served_by=COORDINATOR,
)
RUN_ENERGY = MetricSpec(
    name="fleetmark_run_energy_joules_per_item",
    type=MetricType.GAUGE,
    unit="joules_per_item",
    labels=("device", *CONFIGURATION),
    help=(
        "Energy of one item in the latest successful run, of the widest scope that was measured."
    ),
    served_by=COORDINATOR,
)
RUN_PEAK_MEMORY = MetricSpec(
    name="fleetmark_run_peak_memory_bytes",
    type=MetricType.GAUGE,
    unit="bytes",
    labels=("device", *CONFIGURATION, "kind"),
    help=(
        "Highest memory of the latest successful run: rss of its process, or what it allocated on "
        "the accelerator; unified where the accelerator's memory is the host's own. Never to be "
        "added up."
    ),
    served_by=COORDINATOR,
)
RUN_COMPLETED = MetricSpec(
    name="fleetmark_run_completed_timestamp_seconds",
    type=MetricType.GAUGE,
    unit="seconds",
    labels=("device", *CONFIGURATION),
    help=(
        "When the coordinator received the latest successful run, by its own clock, in seconds "
        "since 1970."
    ),
    served_by=COORDINATOR,
)
RUN_BASELINE_RATIO = MetricSpec(
    name="fleetmark_run_baseline_ratio",
    type=MetricType.GAUGE,
    unit="ratio",
    labels=("device", *CONFIGURATION),
    help=(
        "Median latency of the latest successful run over that of its baseline (offline: time per "
        "item; at the device's usual speed, where that tells them apart better), above 1 is "
        "slower; absent without a baseline, and where none may be told."
    ),
    served_by=COORDINATOR,
)
RUN_BASELINE_BOUND = MetricSpec(
    name="fleetmark_run_baseline_bound_ratio",
    type=MetricType.GAUGE,
    unit="ratio",
    labels=("device", *CONFIGURATION, "bound"),
    help=(
        "Between low and high lies, with 95 % confidence, the ratio that "
        "fleetmark_run_baseline_ratio estimates; absent where that is."
    ),
    served_by=COORDINATOR,
)
RUN_VERDICT = MetricSpec(
    name="fleetmark_run_verdict",
    type=MetricType.GAUGE,
    unit=None,
    labels=("device", *CONFIGURATION, "verdict"),
    help=(
        "1 for the verdict on the latest successful run against its baseline (95 % confidence, "
        "margin 1 %); the other three have no series, and without a baseline none has."
    ),
    served_by=COORDINATOR,
)
RUN_INFO = MetricSpec(
    name="fleetmark_run_info",
    type=MetricType.INFO,
    unit=None,
    labels=("device", *CONFIGURATION, "status", "run_id"),
    help="The newest runs that are over, with their ids; always 1.",
    served_by=COORDINATOR,
)
RUNS = MetricSpec(
    name="fleetmark_runs_total",
    type=MetricType.COUNTER,
    unit=None,
    labels=("device", "model", "status"),
    help="Runs that are over, by how they ended.",
    served_by=COORDINATOR,
)
JOBS = MetricSpec(
    name="fleetmark_jobs",
    type=MetricType.GAUGE,
    unit=None,
    labels=("state",),
    help="Jobs in the store, by state.",
    served_by=COORDINATOR,
)
QUEUE_DEPTH = MetricSpec(
    name="fleetmark_queue_depth",
    type=MetricType.GAUGE,
    unit=None,
    labels=("device",),
    help="Runs that wait for the device.",
    served_by=COORDINATOR,
)
AGENT_UP = MetricSpec(
    name="fleetmark_agent_up",
    type=MetricType.GAUGE,
    unit=None,
    labels=("device",),
    help="1 while the coordinator reaches the device's agent, else 0.",
    served_by=COORDINATOR,
)
AGENT_LAST_HEARTBEAT = MetricSpec(
    name="fleetmark_agent_last_heartbeat_timestamp_seconds",
    type=MetricType.GAUGE,
    unit="seconds",
    labels=("device",),
    help=(
        "When the coordinator last heard of the device, by the coordinator's own clock, in "
        "seconds since 1970."
    ),
    served_by=COORDINATOR,
)
DEVICE_INFO = MetricSpec(
    name="fleetmark_device_info",
    type=MetricType.INFO,
    unit=None,
    labels=(
        "device",
        "kind",
        "product",
        "machine",
        "cpu",
        "accelerator",
        "driver",
        "torch",
        "onnxruntime",
    ),
    help=("What the device is, the driver of its accelerator, and which engines it has; always 1."),
    served_by=BOTH,
)
BUILD = MetricSpec(
    name="fleetmark_build_info",
    type=MetricType.INFO,
    unit=None,
    labels=("version", "python", "ray"),
    help="Versions of fleetmark and of what it runs on; always 1.",
    served_by=BOTH,
)
INFERENCE_LATENCY = MetricSpec(
    name="fleetmark_inference_latency_seconds",
    type=MetricType.HISTOGRAM,
    unit="seconds",
    labels=CONFIGURATION,
    help=(
        "Latency of the iterations of runs while they are measured, for heatmaps and the live "
        "view: exact statistics are in fleetmark_run_latency_seconds."
    ),
    served_by=AGENT,
)
DEVICE_POWER = MetricSpec(
    name="fleetmark_device_power_watts",
    type=MetricType.GAUGE,
    unit="watts",
    labels=CHANNEL,
    help="Power, by the rail's own name.",
    served_by=AGENT,
)
DEVICE_ENERGY = MetricSpec(
    name="fleetmark_device_energy_joules_total",
    type=MetricType.COUNTER,
    unit="joules",
    labels=CHANNEL,
    help=(
        "Energy since the agent started, by the zone's own name, wraps of the hardware's "
        "counter undone."
    ),
    served_by=AGENT,
)
DEVICE_TEMPERATURE = MetricSpec(
    name="fleetmark_device_temperature_celsius",
    type=MetricType.GAUGE,
    unit="celsius",
    labels=CHANNEL,
    help="Temperature, by the sensor's own name.",
    served_by=AGENT,
)
DEVICE_UTILIZATION = MetricSpec(
    name="fleetmark_device_utilization_ratio",
    type=MetricType.GAUGE,
    unit="ratio",
    labels=CHANNEL,
    help="Share of time that the CPU or accelerator was busy, 0 to 1.",
    served_by=AGENT,
)
DEVICE_MEMORY_USED = MetricSpec(
    name="fleetmark_device_memory_used_bytes",
    type=MetricType.GAUGE,
    unit="bytes",
    labels=CHANNEL,
    help="Memory in use.",
    served_by=AGENT,
)
DEVICE_MEMORY_TOTAL = MetricSpec(
    name="fleetmark_device_memory_total_bytes",
    type=MetricType.GAUGE,
    unit="bytes",
    labels=CHANNEL,
    help="Memory that there is.",
    served_by=AGENT,
)
DEVICE_CLOCK = MetricSpec(
    name="fleetmark_device_clock_hertz",
    type=MetricType.GAUGE,
    unit="hertz",
    labels=CHANNEL,
    help="Clock frequency.",
    served_by=AGENT,
)
DEVICE_THROTTLED = MetricSpec(
    name="fleetmark_device_throttled_seconds_total",
    type=MetricType.COUNTER,
    unit="seconds",
    labels=(*CHANNEL, "reason"),
    help=(
        "Time in which clocks were lowered, by why: the driver's own count, or where there is "
        "only a flag, the seconds in which it was seen set since the agent started."
    ),
    served_by=AGENT,
)
SENSOR_SUCCESS = MetricSpec(
    name="fleetmark_sensor_success",
    type=MetricType.GAUGE,
    unit=None,
    labels=("source",),
    help=(
        "1 if every reading of the source gave a value last time, 0 if one failed; absent for a "
        "source that the device does not have, and while a run is on it and no sampler reads."
    ),
    served_by=AGENT,
)
SENSOR_READ_DURATION = MetricSpec(
    name="fleetmark_sensor_read_duration_seconds",
    type=MetricType.GAUGE,
    unit="seconds",
    labels=("source",),
    help="How long reading the source took last time.",
    served_by=AGENT,
)
SENSOR_FAILED_READINGS = MetricSpec(
    name="fleetmark_sensor_failed_readings_total",
    type=MetricType.COUNTER,
    unit=None,
    labels=("source",),
    help="Readings that gave no value since the agent started.",
    served_by=AGENT,
)
AGENT_RUNS = MetricSpec(
    name="fleetmark_agent_runs_total",
    type=MetricType.COUNTER,
    unit=None,
    labels=("status",),
    help="Runs that this agent finished since it started, by how they ended.",
    served_by=AGENT,
)
AGENT_BUSY = MetricSpec(
    name="fleetmark_agent_busy",
    type=MetricType.GAUGE,
    unit=None,
    labels=(),
    help="1 while a run is on the device, else 0.",
    served_by=AGENT,
)

CATALOGUE = (
    RUN_LATENCY,
    RUN_THROUGHPUT,
    RUN_ENERGY,
    RUN_PEAK_MEMORY,
    RUN_COMPLETED,
    RUN_BASELINE_RATIO,
    RUN_BASELINE_BOUND,
    RUN_VERDICT,
    RUN_INFO,
    RUNS,
    JOBS,
    QUEUE_DEPTH,
    AGENT_UP,
    AGENT_LAST_HEARTBEAT,
    DEVICE_INFO,
    BUILD,
    INFERENCE_LATENCY,
    DEVICE_POWER,
    DEVICE_ENERGY,
    DEVICE_TEMPERATURE,
    DEVICE_UTILIZATION,
    DEVICE_MEMORY_USED,
    DEVICE_MEMORY_TOTAL,
    DEVICE_CLOCK,
    DEVICE_THROTTLED,
    SENSOR_SUCCESS,
    SENSOR_READ_DURATION,
    SENSOR_FAILED_READINGS,
    AGENT_RUNS,
    AGENT_BUSY,
)
