"""``python -m profiler.metric_reference``: the catalogue as Markdown, for ``docs/metrics.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from profiler.latency_buckets import BOUNDS
from profiler.metrics import (
    BOTH,
    CATALOGUE,
    CHANNEL,
    CONFIGURATION,
    LATENCY_STATS,
    PEAK_MEMORY_KINDS,
    RATIO_BOUNDS,
    RUNS_NAMED,
    VERDICTS,
    Exporter,
    MetricSpec,
    MetricType,
)
from profiler.sensors.newest import STALE_SECONDS

# An accelerator's memory is its own or the host's.
_KINDS_AT_ONCE = 2
_VERDICTS_AT_ONCE = 1
COMMAND = "python -m profiler.metric_reference > docs/metrics.md"

_INTRODUCTION = """\
# Metrics

This file is generated: `{command}`.

The coordinator serves `/metrics` for the whole fleet, from its store: devices that Prometheus
cannot reach are in it too, and the latency boards need nothing else. Each agent serves its own
device. Both want `Authorization: Bearer TOKEN` with the content of the coordinator's
`tokens/metrics.token`; a configuration is in `deploy/prometheus.yml`. Nothing in fleetmark depends
on Prometheus: where it is down, runs, verdicts and the page go on.

- Units are SI base units. A value that could not be measured has no series; it is never 0.
- A series ends with the scrape after its device was removed (`fleetmark devices remove`), or its
  model (`fleetmark models remove`). No sample has a timestamp of its own.
- Times are by the coordinator's clock: a device whose clock is wrong is not taken for lost.
- A scraper whose `Accept` asks for OpenMetrics gets it, with exemplars: counts of runs and buckets
  name a `run_id`. Others get plain text without them. Prometheus asks for it by itself, and keeps
  exemplars if it is started with `--enable-feature=exemplar-storage`.
- `job` and `instance` are labels of Prometheus itself, so no metric here has them.

Labels that go together:

- **C**, a configuration:
  {configuration}.
  `inputs` are shapes, such as `1x3x224x224`. What is not known is empty.
- **S**, where a reading comes from, in the driver's own words: {channel}.

The coordinator sets `device` on its own series; Prometheus sets it on an agent's, from service
discovery. What both serve is in Prometheus twice: join with `max by (device, product) (…)`, say.
"""

_NOTES = """\
## Baselines and verdicts

Every successful run is compared with the one before it of the same configuration on the same
device, or with the run that `fleetmark baseline set RUN` chose. This happens once, when the result
comes, from raw iterations where they are kept, and the verdict is stored with its reasons:
`GET /api/v1/runs/ID/verdict`, `GET /api/v1/baselines`, `GET /api/v1/history`.

- `fleetmark_run_verdict` has one series, that of the verdict which holds:
  {verdicts}. When another comes, the old series ends.
- `fleetmark_run_baseline_ratio` is an estimate; `fleetmark_run_baseline_bound_ratio` has its 95 %
  interval. The verdict is made of the interval, not of the estimate.
- Where the two differ in something that was not meant (flags, governor, packages, …) the verdict is
  `inconclusive`, the reason is in the API, and there is no ratio.
- A verdict holds at 95 % on its own. A fleet makes many comparisons: of a hundred runs in which
  nothing changed, a few will be called slower or faster. Measure again before you act on one, and
  compare whole jobs with `fleetmark compare`, which allows for their number.
- Compared with the run before, a slowdown is news once: the next run is compared with the slow one.
  Choose a baseline for what must not get slower in small steps.

## Readings of an agent

The sensors of an idle device are read once a second, and less often where that takes more than
0.4 % of a core. A scrape reads nothing. While a run is measured the agent does not read them, lest
it disturb the run: what is served then is what the run's own sampler read last. The sampler, a
process that keeps off the model's CPUs where it can, writes that down once a second in memory,
and nobody is woken for it. So the series have gaps only where a run is on the device and no sampler
reads: while a model is converted, in the pass that measures memory, and where a job's
`sample_hertz` is 0. While a run is on the device a reading is served for {stale} s at most without
a newer one. Power and load of a run are the newest of ten readings a second; those of an idle
device are of a second.

Energy and seconds of throttling count on over a run. Where the hardware's counter may have wrapped
unseen, what the samplers counted is all that is known: the count is then too low, never too high.

## The histogram

{buckets} buckets, ten a decade from 50 µs to 31.5 s. It is fed between the blocks of a run, and
gone two minutes after the last one. It is for heatmaps and the live view. A quantile that is read
off buckets is wrong by 2 % and more: exact ones are in `fleetmark_run_latency_seconds`, and no
alert should rest on buckets.

## How many series

A configuration has at most {per_configuration} series on the coordinator: {figures} figures, the
ratio to the baseline with its {bound_count} bounds, and the verdict. To these come one of
`fleetmark_runs_total` for each device, model and status, {per_device} for each device, and {named}
of `fleetmark_run_info`. An agent serves a few for each sensor, and {histogram} for each
configuration while it is measured. 100 devices with 50 models each stay under 100,000, agents
included: `tests/agents/test_cardinality.py` counts them.
"""


def markdown() -> str:
    """The whole reference."""
    per_configuration = (
        len(LATENCY_STATS)
        + _KINDS_AT_ONCE
        + len(RATIO_BOUNDS)
        + _VERDICTS_AT_ONCE
        + len(_one_per_configuration())
    )
    parts = [
        _INTRODUCTION.format(
            command=COMMAND, configuration=_names(CONFIGURATION), channel=_names(CHANNEL)
        ),
        _section("On the coordinator", Exporter.COORDINATOR),
        _section("On an agent", Exporter.AGENT),
        _values(),
        _NOTES.format(
            verdicts=_names(VERDICTS),
            bound_count=len(RATIO_BOUNDS),
            stale=f"{STALE_SECONDS:.0f}",
            buckets=len(BOUNDS) + 1,
            per_configuration=per_configuration,
            figures=per_configuration - _VERDICTS_AT_ONCE - len(RATIO_BOUNDS) - 1,
            per_device=_per_device(),
            named=RUNS_NAMED,
            histogram=len(BOUNDS) + 3,
        ),
    ]
    return "\n".join(parts)


def _one_per_configuration() -> list[MetricSpec]:
    return [spec for spec in CATALOGUE if spec.labels == ("device", *CONFIGURATION)]


def _per_device() -> int:
    """Series of the coordinator that every device has one of."""
    named = [s for s in CATALOGUE if s.type is MetricType.INFO and s.labels[0] == "device"]
    about_device = [s for s in named if not set(CONFIGURATION) <= set(s.labels)]
    return len([s for s in CATALOGUE if s.labels == ("device",)]) + len(about_device)


def _section(title: str, exporter: Exporter) -> str:
    rows = [
        (f"`{s.name}`", s.type.value, s.unit or "–", _labels(s, exporter), _meaning(s))
        for s in CATALOGUE
        if exporter in s.served_by
    ]
    return f"## {title}\n\n{_table(('name', 'type', 'unit', 'labels', 'meaning'), rows)}\n"


def _labels(spec: MetricSpec, exporter: Exporter) -> str:
    """``device, **C**, stat``: the two groups by their letters."""
    left = list(spec.labels_on(exporter))
    for group, letter in ((CONFIGURATION, "**C**"), (CHANNEL, "**S**")):
        if set(group) <= set(left):
            first = left.index(group[0])
            left[first : first + len(group)] = [letter]
    return ", ".join(name if name.startswith("*") else f"`{name}`" for name in left) or "–"


def _meaning(spec: MetricSpec) -> str:
    return f"{spec.help} Served by both." if spec.served_by == BOTH else spec.help


def _values() -> str:
    rows = [
        ("`stat`", _names(LATENCY_STATS)),
        ("`kind` of memory", _names(PEAK_MEMORY_KINDS)),
        ("`bound`", _names(RATIO_BOUNDS)),
        ("`verdict`", _names(VERDICTS)),
        ("`status`", _names(("succeeded", "failed", "cancelled"))),
        ("`state`", _names(("queued", "running", "succeeded", "failed", "cancelled"))),
    ]
    return f"Values of labels:\n\n{_table(('label', 'values'), rows)}\n"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
