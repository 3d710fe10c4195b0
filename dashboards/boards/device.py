"""Device: power, temperature, clocks, throttling and memory of one device, against its runs."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import frame, series, style
from dashboards.series import chosen, select
from dashboards.style import BAD, GOOD, NEUTRAL, NOTHING, WARNING

DEVICE = chosen("device")
CHANNEL_LEGEND = "{{source}} {{channel}}"
REASON_LEGEND = "{{source}} {{channel}} {{reason}}"
SENSOR_LEGEND = f"{{{{{series.SENSOR}}}}}"
# A sensor is not read while a model is converted, say: its last reading stands for a while.
READ_WITHIN = "[15m]"
# Where boards and cards begin to lower their clocks; each tells its own limit in its data sheet.
WARM_CELSIUS, HOT_CELSIUS = 75.0, 85.0


def build() -> Dashboard:
    return frame.board(
        frame.DEVICE,
        "fleetmark: Device",
        "What a device did while it measured: power, temperature, clocks, throttling, memory.",
        (frame.device(several=False), *frame.model_and_runtime()),
        (
            (
                "At a glance",
                (_reached(), _heard(), _waiting(), _hottest(), _throttled(), _broken()),
            ),
            ("Runs", (_busy(), _iterations())),
            ("Power and heat", (_power(), _energy(), _temperature(), _throttling())),
            ("Load", (_clocks(), _utilization(), _memory())),
            ("What it is, what measures it", (_info(), _sensors(), _sensor_time())),
        ),
    )


# --- at a glance -------------------------------------------------------------------------------


def _reached() -> stat.Panel:
    return (
        style.number("Reached", "Whether the coordinator reaches the device's agent now.")
        .with_target(style.value("A", select(series.AGENT_UP, *DEVICE)))
        .mappings(style.words({"1": ("yes", GOOD), "0": ("no", BAD)}))
    )


def _heard() -> stat.Panel:
    return (
        style.number("Last heard of", "Seconds since the coordinator last heard of it.", "s")
        .with_target(style.value("A", f"time() - {select(series.AGENT_LAST_HEARTBEAT, *DEVICE)}"))
        .thresholds(style.thresholds((None, GOOD), (30, WARNING), (120, BAD)))
        .decimals(0)
    )


def _waiting() -> stat.Panel:
    return style.number("Runs waiting", "Runs that wait for this device.").with_target(
        style.value("A", select(series.QUEUE_DEPTH, *DEVICE))
    )


def _hottest() -> stat.Panel:
    return (
        style.number("Hottest sensor", "The highest temperature of all sensors now.", "celsius")
        .with_target(style.value("A", f"max({select(series.DEVICE_TEMPERATURE, *DEVICE)})"))
        .thresholds(style.thresholds((None, GOOD), (WARM_CELSIUS, WARNING), (HOT_CELSIUS, BAD)))
        .no_value("no sensor")
    )


def _throttled() -> stat.Panel:
    lost = f"sum(increase({select(series.DEVICE_THROTTLED, *DEVICE)}[$__range]))"
    return (
        style.number(
            "Throttled",
            "Seconds in the chosen time that the device ran with lowered clocks, all causes "
            "together. Results from that time are those of a slower device.",
            "s",
        )
        .with_target(style.value("A", lost))
        .thresholds(style.thresholds((None, GOOD), (1, BAD)))
        .no_value("not told")
    )


def _broken() -> stat.Panel:
    return (
        style.number(
            "Sensors that fail", "Sensors that are there and cannot be read; see below which."
        )
        .with_target(style.value("A", f"sum(1 - {_last(series.SENSOR_SUCCESS)})"))
        .thresholds(style.thresholds((None, GOOD), (1, WARNING)))
    )


# --- runs --------------------------------------------------------------------------------------


def _busy() -> statetimeline.Panel:
    busy = f"max by (device) ({select(series.AGENT_BUSY, *DEVICE)})"
    return style.states(
        "When a run was on the device",
        "Blue while a run is on the device. The purple marks in the charts are the ends of runs.",
        {"0": ("idle", NOTHING), "1": ("measuring", NEUTRAL)},
    ).with_target(style.line("A", busy, "{{device}}"))


def _iterations() -> timeseries.Panel:
    counted = select(f"{series.INFERENCE_LATENCY}_count", *chosen("device", "model", "runtime"))
    return (
        style.chart(
            "Iterations a second",
            "Timed iterations of the run that is measured, by model and runtime.",
            style.ITERATIONS,
        )
        .with_target(
            style.line(
                "A",
                f"sum by (model, runtime) (rate({counted}[$__rate_interval]))",
                "{{model}} · {{runtime}}",
            )
        )
        .axis_soft_min(0)
    )


# --- power and heat ----------------------------------------------------------------------------


def _readings(title: str, description: str, unit: str, metric: str) -> timeseries.Panel:
    return (
        style.chart(title, description, unit)
        .with_target(style.line("A", select(metric, *DEVICE), CHANNEL_LEGEND))
        .line_interpolation(options.LineInterpolation.LINEAR)
        .show_points(options.VisibilityMode.NEVER)
    )


def _power() -> timeseries.Panel:
    return _readings(
        "Power",
        "By rail, as the driver names it. Rails may lie inside each other: do not add them up.",
        "watt",
        series.DEVICE_POWER,
    ).axis_soft_min(0)


def _energy() -> timeseries.Panel:
    energy = select(series.DEVICE_ENERGY, *DEVICE)
    return (
        style.chart(
            "Mean power, by energy counters",
            "Energy that the device's own counters added up / time: exact over an interval, where "
            "the chart beside it shows moments.",
            "watt",
        )
        .with_target(style.line("A", f"rate({energy}[$__rate_interval])", CHANNEL_LEGEND))
        .axis_soft_min(0)
    )


def _temperature() -> timeseries.Panel:
    return style.limits(
        _readings(
            "Temperature",
            f"By sensor. Dashed: {WARM_CELSIUS:.0f} °C and {HOT_CELSIUS:.0f} °C, where many "
            "devices begin to lower their clocks; yours may differ.",
            "celsius",
            series.DEVICE_TEMPERATURE,
        ),
        (None, NOTHING),
        (WARM_CELSIUS, WARNING),
        (HOT_CELSIUS, BAD),
    )


def _throttling() -> timeseries.Panel:
    throttled = select(series.DEVICE_THROTTLED, *DEVICE)
    return (
        style.chart(
            "Throttled",
            "Share of the time with lowered clocks, by cause. Anything above 0 during a run makes "
            "its latencies those of a slower device: cool it, or set a lower fixed clock.",
            "percentunit",
        )
        .with_target(style.line("A", f"rate({throttled}[$__rate_interval])", REASON_LEGEND))
        .min(0).max(1).fill_opacity(20)
    )  # fmt: skip


# --- load --------------------------------------------------------------------------------------


def _clocks() -> timeseries.Panel:
    return _readings(
        "Clocks",
        "By CPU cluster or accelerator. A clock that falls while a run is on the device: "
        "throttling, or a governor that saves power.",
        "hertz",
        series.DEVICE_CLOCK,
    )


def _utilization() -> timeseries.Panel:
    return (
        _readings(
            "Utilization",
            "Share of time that CPU or accelerator was busy. Load outside of runs disturbs those "
            "that come: find out what it is.",
            "percentunit",
            series.DEVICE_UTILIZATION,
        )
        .min(0)
        .max(1)
    )


def _memory() -> timeseries.Panel:
    panel = _readings(
        "Memory",
        "In use, by the device and its accelerators; dashed: all that there is.",
        "bytes",
        series.DEVICE_MEMORY_USED,
    ).span(style.FULL_WIDTH)
    total = style.line("B", select(series.DEVICE_MEMORY_TOTAL, *DEVICE), CHANNEL_LEGEND)
    return style.dashed(panel.with_target(total).axis_soft_min(0), "B")


# --- what it is --------------------------------------------------------------------------------


def _info() -> table.Panel:
    panel = style.grid(
        "What it is",
        "Product, accelerator with its driver, and the engines' versions, as the agent reports "
        "them. What is not there is empty.",
    ).with_target(
        style.column("A", f"group without (instance, job) ({select(series.DEVICE_INFO, *DEVICE)})")
    )
    names = {
        "device": "Device", "product": "Product", "kind": "Kind", "machine": "Architecture",
        "cpu": "CPU", "accelerator": "Accelerator", "driver": "Driver", "torch": "torch",
        "onnxruntime": "ONNX Runtime",
    }  # fmt: skip
    return style.columns(panel, names, hidden=("Value",)).height(5)


def _last(metric: str) -> str:
    return f"last_over_time({select(metric, *DEVICE)}{READ_WITHIN})"


def _by_sensor(metric: str) -> str:
    return f"max by ({series.SENSOR}) ({_last(metric)})"


def _sensors() -> table.Panel:
    panel = (
        style.grid(
            "Sensors",
            "Whether each source could be read at its last reading, and how long that took. "
            "`fleetmark sensors` on the device says why one fails.",
            span=style.HALF,
        )
        .with_target(style.column("A", _by_sensor(series.SENSOR_SUCCESS)))
        .with_target(style.column("B", _by_sensor(series.SENSOR_READ_DURATION)))
    )
    names = {series.SENSOR: "Sensor", "Value #A": "Works", "Value #B": "Time to read"}
    return (
        style.columns(panel, names)
        .override_by_name(
            "Works",
            style.properties({
                "custom.cellOptions": {"type": "color-text"},
                "mappings": style.words({"1": ("yes", GOOD), "0": ("no", BAD)}),
            }),
        )
        .override_by_name("Time to read", style.properties({"unit": "s"}))
    )  # fmt: skip


def _sensor_time() -> timeseries.Panel:
    return (
        style.chart(
            "Time to read a sensor",
            "A sensor that takes long is read seldom; one that takes ever longer is about to fail.",
            "s",
            logarithmic=True,
        )
        .with_target(
            style.line("A", select(series.SENSOR_READ_DURATION, *DEVICE), SENSOR_LEGEND)
        )
    )  # fmt: skip
