"""Metrics in PromQL: names from the catalogue, and the expressions that several boards share."""

from __future__ import annotations

from profiler import metrics

# What tells the results of one device from each other; joins are on all of it.
CONFIGURATION = ("device", *metrics.CONFIGURATION)
# How each of its labels is told in a legend, and its column in a table; in this order.
_TOLD = {
    "model": ("{{model}}", "Model"),
    "variant": ("{{variant}}", "Variant"),
    "device": ("{{device}}", "Device"),
    "accelerator": ("{{accelerator}}", "Accelerator"),
    "runtime": ("{{runtime}}", "Runtime"),
    "precision": ("{{precision}}", "Precision"),
    "batch_size": ("batch {{batch_size}}", "Batch"),
    "threads": ("threads {{threads}}", "Threads"),
    "inputs": ("{{inputs}}", "Inputs"),
    "scenario": ("{{scenario}}", "Scenario"),
}
# Names a configuration completely: two lines never share a name.
CONFIGURATION_LEGEND = " · ".join(
    legend for label, (legend, _) in _TOLD.items() if label in CONFIGURATION
)
CONFIGURATION_COLUMNS = {
    label: column for label, (_, column) in _TOLD.items() if label in CONFIGURATION
}
# Of these, what mostly tells one row from another.
_FOREMOST = ("model", "device", "runtime", "batch_size")
# What tells a device's sensors from each other.
SENSOR = "source"
# A chart with more lines than this can be read by nobody, and stops the browser.
MOST_LINES = 40

RUN_LATENCY = metrics.RUN_LATENCY.name
RUN_THROUGHPUT = metrics.RUN_THROUGHPUT.name
RUN_ENERGY = metrics.RUN_ENERGY.name
RUN_PEAK_MEMORY = metrics.RUN_PEAK_MEMORY.name
RUN_COMPLETED = metrics.RUN_COMPLETED.name
RUN_BASELINE_RATIO = metrics.RUN_BASELINE_RATIO.name
RUN_BASELINE_BOUND = metrics.RUN_BASELINE_BOUND.name
RUN_VERDICT = metrics.RUN_VERDICT.name
RUN_INFO = metrics.RUN_INFO.name
RUNS = metrics.RUNS.name
JOBS = metrics.JOBS.name
QUEUE_DEPTH = metrics.QUEUE_DEPTH.name
AGENT_UP = metrics.AGENT_UP.name
AGENT_LAST_HEARTBEAT = metrics.AGENT_LAST_HEARTBEAT.name
AGENT_BUSY = metrics.AGENT_BUSY.name
INFERENCE_LATENCY = metrics.INFERENCE_LATENCY.name
DEVICE_POWER = metrics.DEVICE_POWER.name
DEVICE_ENERGY = metrics.DEVICE_ENERGY.name
DEVICE_TEMPERATURE = metrics.DEVICE_TEMPERATURE.name
DEVICE_UTILIZATION = metrics.DEVICE_UTILIZATION.name
DEVICE_MEMORY_USED = metrics.DEVICE_MEMORY_USED.name
DEVICE_MEMORY_TOTAL = metrics.DEVICE_MEMORY_TOTAL.name
DEVICE_CLOCK = metrics.DEVICE_CLOCK.name
DEVICE_THROTTLED = metrics.DEVICE_THROTTLED.name
DEVICE_INFO = metrics.DEVICE_INFO.name
SENSOR_SUCCESS = metrics.SENSOR_SUCCESS.name
SENSOR_READ_DURATION = metrics.SENSOR_READ_DURATION.name
BUILD_INFO = metrics.BUILD.name


def around(figures: dict[str, str]) -> dict[str, str]:
    """Columns of a table: what mostly tells the rows apart, the figures, and then the rest."""
    return (
        {label: CONFIGURATION_COLUMNS[label] for label in _FOREMOST}
        | figures
        | {
            label: column
            for label, column in CONFIGURATION_COLUMNS.items()
            if label not in _FOREMOST
        }
    )


def select(name: str, *matchers: str) -> str:
    """``select("up", 'job="a"')`` → ``up{job="a"}``."""
    return f"{name}{{{','.join(matchers)}}}" if matchers else name


def chosen(*variables: str) -> tuple[str, ...]:
    """A matcher for each template variable, which has the name of its label."""
    return tuple(f'{name}=~"${name}"' for name in variables)


def by_configuration(expression: str, *more: str) -> str:
    """Without the labels of the scrape, so that rows of several metrics meet in one."""
    return f"max by ({', '.join((*CONFIGURATION, *more))}) ({expression})"


def on_configuration() -> str:
    return f"on ({', '.join(CONFIGURATION)})"


def highest(expression: str, by: str, joined: str = "") -> str:
    """``expression``, of those series whose ``by`` ends highest: the same for the whole chart.

    A plain ``topk`` chooses anew at every point in time, so that lines come and go.

    Args:
        by: a selector of the same series; its value at the end of the chart decides.
        joined: how the two match, where they differ in more than the name.
    """
    rank = f"topk({MOST_LINES}, last_over_time({by}[$__range] @ end()))"
    return f"{expression} and {joined + ' ' if joined else ''}{rank}"


def ended(window: str, by: str, *matchers: str) -> str:
    """Runs that ended within a window, by a label.

    Not ``increase``: that extrapolates, and misses the run with which a series begins.
    """
    total = f"sum by ({by}) ({select(RUNS, *matchers)})"
    before = f"sum by ({by}) ({select(RUNS, *matchers)} offset {window})"
    return f"clamp_min({total} - ({before} or {total} * 0), 0)"
