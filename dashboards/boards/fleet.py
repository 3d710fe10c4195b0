"""Fleet: is every device there, what waits, what runs, what failed."""

from __future__ import annotations

from grafana_foundation_sdk.builders import barchart, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import StackingConfig
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import Dashboard, DynamicConfigValue

from dashboards import frame, series, style
from dashboards.series import chosen, select
from dashboards.style import BAD, GOOD, NEUTRAL, NOTHING, QUIET, UNSURE, WARNING

DEVICES = chosen("device")
# A device is missed after 30 s of silence (`fleetmark coordinator --lease`).
SILENT_SECONDS = 30.0


def build() -> Dashboard:
    return frame.board(
        frame.FLEET,
        "fleetmark: Fleet",
        "Devices, queue, what is running and what failed.",
        (frame.device(), *frame.model_and_runtime()),
        (
            ("At a glance", (_up(), _down(), _queued(), _running(), _succeeded(), _failed())),
            ("Devices", (_devices(), _busy(), _iterations())),
            ("Work", (_queue(), _jobs(), _ends(), _failures())),
        ),
    )


# --- at a glance -------------------------------------------------------------------------------


def _up() -> stat.Panel:
    return (
        style.number("Devices reached", "Devices whose agent the coordinator reaches now.")
        .with_target(style.value("A", f"sum({select(series.AGENT_UP, *DEVICES)})"))
        .thresholds(style.thresholds((None, BAD), (1, GOOD)))
    )


def _down() -> stat.Panel:
    return (
        style.number(
            "Devices not reached",
            "Devices that are registered and do not answer. Is the device on, is its agent "
            "running, is the network there? `fleetmark devices` says since when.",
        )
        .with_target(style.value("A", f"sum(1 - {select(series.AGENT_UP, *DEVICES)})"))
        .thresholds(style.thresholds((None, GOOD), (1, BAD)))
    )


def _queued() -> stat.Panel:
    return style.number("Runs waiting", "Runs in the queues of the chosen devices.").with_target(
        style.value("A", f"sum({select(series.QUEUE_DEPTH, *DEVICES)})")
    )


def _running() -> stat.Panel:
    return (
        style.number("Jobs running", "Jobs with at least one run under way, on any device.")
        .with_target(style.value("A", select(series.JOBS, 'state="running"')))
        .thresholds(style.thresholds((None, QUIET), (1, NEUTRAL)))
    )


def _ended(title: str, description: str, status: str) -> stat.Panel:
    ended = series.ended("$__range", "status", f'status="{status}"', *chosen("device", "model"))
    return style.number(title, description).with_target(
        style.value("A", f"sum({ended}) or vector(0)")
    )


def _succeeded() -> stat.Panel:
    return _ended(
        "Runs succeeded",
        "Runs that succeeded in the chosen time; all of them, if Prometheus is younger than that.",
        "succeeded",
    )


def _failed() -> stat.Panel:
    return _ended(
        "Runs failed",
        "Runs that failed in the chosen time; the table of failures below says where.",
        "failed",
    ).thresholds(style.thresholds((None, GOOD), (1, BAD)))


# --- devices -----------------------------------------------------------------------------------


def _by_device(metric: str) -> str:
    return f"max by (device) ({select(metric, *DEVICES)})"


def _devices() -> table.Panel:
    panel = (
        style.grid(
            "Devices",
            "Every device, whether it is reached, when it was last heard of, how many runs wait "
            "for it. A name leads to the device's board.",
        )
        .with_target(style.column("A", _by_device(series.AGENT_UP)))
        .with_target(style.column("B", f"time() - {_by_device(series.AGENT_LAST_HEARTBEAT)}"))
        .with_target(style.column("C", _by_device(series.QUEUE_DEPTH)))
        .with_target(style.column("D", _by_device(series.AGENT_BUSY)))
    )
    names = {
        "device": "Device",
        "Value #A": "Reached",
        "Value #B": "Last heard of",
        "Value #C": "Runs waiting",
        "Value #D": "Measuring",
    }
    cell = {"type": "color-text"}
    return (
        style.columns(panel, names)
        .override_by_name(
            "Device",
            style.properties({"links": [style.link("Its board", frame.to_device("Device"))]}),
        )
        .override_by_name(
            "Reached",
            style.properties({
                "custom.cellOptions": cell,
                "mappings": style.words({"1": ("yes", GOOD), "0": ("no", BAD)}),
            }),
        )
        .override_by_name(
            "Last heard of",
            style.properties({
                "unit": "s",
                "decimals": 0,
                "custom.cellOptions": cell,
                "thresholds": style.thresholds((None, GOOD), (SILENT_SECONDS, WARNING)).build(),
            }),
        )
        .override_by_name(
            "Measuring",
            style.properties({
                "custom.cellOptions": cell,
                "mappings": style.words({"1": ("yes", NEUTRAL), "0": ("idle", QUIET)}),
            }),
        )
    )  # fmt: skip


def _busy() -> statetimeline.Panel:
    return style.states(
        "When a run was on the device",
        "One row for each device that Prometheus reaches; blue while a run is on it.",
        {"0": ("idle", NOTHING), "1": ("measuring", NEUTRAL)},
    ).with_target(style.line("A", _by_device(series.AGENT_BUSY), "{{device}}"))


def _iterations() -> timeseries.Panel:
    counted = select(f"{series.INFERENCE_LATENCY}_count", *chosen("device", "model", "runtime"))
    rate = f"sum by (device, model, runtime) (rate({counted}[$__rate_interval]))"
    return (
        style.chart(
            "What is running",
            "Timed iterations a second, while a run is measured: which model, in which runtime, on "
            "which device. Nothing is shown while nothing is measured.",
            style.ITERATIONS,
        )
        .with_target(style.line("A", rate, "{{model}} · {{runtime}} · {{device}}"))
        .axis_soft_min(0)
    )


# --- work --------------------------------------------------------------------------------------


def _queue() -> timeseries.Panel:
    depth = select(series.QUEUE_DEPTH, *DEVICES)
    return (
        style.chart(
            "Runs waiting, by device",
            f"The {series.MOST_LINES} longest queues. A queue that never moves: is the device "
            "there, is a run on it that does not end?",
            "short",
        )
        .with_target(style.line("A", series.highest(depth, depth), "{{device}}"))
        .axis_soft_min(0)
    )


def _jobs() -> timeseries.Panel:
    return (
        style.chart("Jobs, by state", "All jobs in the store that are queued or running.", "short")
        .with_target(
            style.line("A", select(series.JOBS, 'state=~"queued|running"'), "{{state}}")
        )
        .stacking(StackingConfig().mode(options.StackingMode.NORMAL))
        .fill_opacity(25).axis_soft_min(0)
        .override_by_name("queued", _fixed(UNSURE))
        .override_by_name("running", _fixed(NEUTRAL))
    )  # fmt: skip


def _ends() -> timeseries.Panel:
    return (
        style.chart(
            "Runs that ended in the hour before, by how",
            "At each point in time: the runs that ended in the hour before it.",
            "short",
        )
        .with_target(
            style.line("A", series.ended("1h", "status", *chosen("device", "model")), "{{status}}")
        )
        .axis_soft_min(0)
        .override_by_name("succeeded", _fixed(GOOD))
        .override_by_name("failed", _fixed(BAD))
        .override_by_name("cancelled", _fixed(WARNING))
    )


def _fixed(color: str) -> list[DynamicConfigValue]:
    return style.properties({"color": {"mode": "fixed", "fixedColor": color}})


def _failures() -> barchart.Panel:
    total = select(series.RUNS, 'status="failed"', *chosen("device", "model"))
    every = select(series.RUNS, *chosen("device", "model"))
    failed = f"sum by (model, device) ({total}) or sum by (model, device) ({every}) * 0"
    most = f"topk({series.MOST_LINES}, {failed})"
    return style.bars(
        "Failed runs, by model and device",
        "All failed runs that the coordinator keeps. One model on all devices: the model. All "
        "models on one device: the device. `fleetmark runs` has the reason of each.",
        "short",
    ).with_target(style.column("A", most))
