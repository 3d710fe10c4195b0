"""The body of ``/metrics``: the text that every Prometheus reads, or OpenMetrics where asked for.

OpenMetrics carries exemplars: the id of a run behind a count or a bucket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

# Of the library, which says nothing of its types here.
generate_openmetrics: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest

# What every Prometheus reads; our names and labels need nothing of the later versions.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text"
OPENMETRICS_CONTENT_TYPE = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"


class Exposition(NamedTuple):
    """A scrape's answer."""

    body: bytes
    content_type: str


def render(registry: CollectorRegistry) -> bytes:
    """The registry as text; its media type is ``CONTENT_TYPE``."""
    return generate_latest(registry)


def expose(registry: CollectorRegistry, accept: str | None) -> Exposition:
    """The registry in the format that a scraper prefers.

    Args:
        registry: what to serve.
        accept: the request's header ``Accept``; ``None`` takes anything.
    """
    if prefers_openmetrics(accept or ""):
        return Exposition(generate_openmetrics(registry), OPENMETRICS_CONTENT_TYPE)
    return Exposition(render(registry), CONTENT_TYPE)


def prefers_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics is named, and no less wanted than plain text."""
    wanted = {"text/plain": 0.0, OPENMETRICS: 0.0}
    for media_range in accept.split(","):
        name, *parameters = (part.strip().lower() for part in media_range.split(";"))
        if name in wanted:
            wanted[name] = max(wanted[name], _quality(parameters))
    return wanted[OPENMETRICS] > 0 and wanted[OPENMETRICS] >= wanted["text/plain"]


def _quality(parameters: list[str]) -> float:
    """The weight of a media range, 1 where it is not given; one that is none counts for nothing."""
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
