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
    RUNS_NAMED,
    VERDICTS,
    Exporter,
    MetricSpec,
    MetricType,
)

# An accelerator's memory is its own or the host's.
_KINDS_AT_ONCE = 2
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
- A series ends with the scrape after its device was removed. No sample has a timestamp of its own.
- Times are by the coordinator's clock: a device whose clock is wrong is not taken for lost.
- A scraper whose `Accept` asks for OpenMetrics gets it, with exemplars: counts of runs and buckets
  name a `run_id`. Others get plain text without them.
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

- `fleetmark_run_verdict` has a series for each of {verdicts};
  one of them is 1.
- Where the two differ in something that was not meant (flags, governor, packages, …) the verdict is
  `inconclusive`, the reason is in the API, and there is no ratio.
- A verdict holds at 95 % on its own. A fleet makes many comparisons: of a hundred runs in which
  nothing changed, a few will be called slower or faster. Measure again before you act on one, and
  compare whole jobs with `fleetmark compare`, which allows for their number.
- Compared with the run before, a slowdown is news once: the next run is compared with the slow one.
  Choose a baseline for what must not get slower in small steps.

## Readings of an agent

The sensors of an idle device are read once a second, and less often where that takes more than
0.4 % of a core. A scrape reads nothing. While a run is measured they are not read, and their series
are absent: the run's own sampler reads them then. Energy counts on over that time where the
hardware's counter cannot have wrapped unseen; else that time is left out.

## The histogram

{buckets} buckets, ten a decade from 50 µs to 31.5 s. It is fed between the blocks of a run, and
gone two minutes after the last one. It is for heatmaps and the live view. A quantile that is read
off buckets is wrong by 2 % and more: exact ones are in `fleetmark_run_latency_seconds`, and no
alert should rest on buckets.

## How many series

A configuration has at most {per_configuration} series on the coordinator: {figures} figures, the
ratio, and {verdict_count} of the verdict. To these come one of `fleetmark_runs_total` for each
device, model and status, {per_device} for each device, and {named} of `fleetmark_run_info`. An
agent serves a few for each sensor, and {histogram} for each configuration while it is measured.
100 devices with 50 models each stay under 100,000, agents included:
`tests/agents/test_cardinality.py` counts them.
"""


def markdown() -> str:
    """The whole reference."""
    per_configuration = (
        len(LATENCY_STATS) + _KINDS_AT_ONCE + len(VERDICTS) + len(_one_per_configuration())
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
            verdict_count=len(VERDICTS),
            buckets=len(BOUNDS) + 1,
            per_configuration=per_configuration,
            figures=per_configuration - len(VERDICTS) - 1,
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
