"""What a device's sensors say now, from the /metrics that its agent serves.

Asked only while somebody watches the device, and at most once a second however many do. While a
run is measured the agent reads no sensor for others: it serves what the run's own sampler read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from agents.coordinator.auth import Role, Tokens
from agents.coordinator.rows import DeviceRecord
from agents.messages import DeviceState
from agents.views import DeviceReading

PREFIX = "fleetmark_device_"
FRESH_SECONDS = 0.9
TIMEOUT_SECONDS = 2.0
MOST_BYTES = 4 * 2**20

Fetch = Callable[[str, str], str]


class Readings(NamedTuple):
    """Readings, or the reason why there are none."""

    readings: tuple[DeviceReading, ...]
    reason: str | None = None


class Telemetry:
    """The last readings of the devices that are watched.

    Args:
        tokens: whose metrics token is sent.
        fetch: gets the text at a URL with a bearer token; raises ``OSError`` with a reason.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        tokens: Tokens,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._fetch = fetch or _get
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Readings]] = {}

    def read(self, record: DeviceRecord, state: DeviceState) -> Readings:
        """What the device says; from memory if that is fresh."""
        if state not in (DeviceState.ONLINE, DeviceState.BUSY):
            return Readings((), f"the device is {state}")
        with self._lock:
            at, found = self._known.get(record.id, (float("-inf"), Readings(())))
            if self._clock() - at < FRESH_SECONDS:
                return found
        found = self._ask(record)
        with self._lock:
            self._known[record.id] = (self._clock(), found)
        return found

    def _ask(self, record: DeviceRecord) -> Readings:
        host = f"[{record.address}]" if ":" in record.address else record.address
        url = f"http://{host}:{record.metrics_port}/metrics"
        try:
            readings = parse(self._fetch(url, self._tokens.token(Role.METRICS)))
        except OSError as error:
            return Readings((), f"its /metrics at {url} does not answer: {error}")
        except ValueError as error:
            return Readings((), f"its /metrics cannot be read: {error}")
        if not readings:
            return Readings((), "it reads no sensors for others now; a run's own are in its result")
        return Readings(readings)


def parse(text: str) -> tuple[DeviceReading, ...]:
    """The device's gauges in a text of Prometheus' format.

    Raises:
        ValueError: it is none.
    """
    found = []
    for family in text_string_to_metric_families(text):
        if family.type != "gauge" or not family.name.startswith(PREFIX):
            continue
        found += [
            DeviceReading(
                quantity=family.name.removeprefix(PREFIX),
                label=_label(sample.labels),
                value=sample.value,
            )
            for sample in family.samples
            if sample.name == family.name
        ]
    return tuple(found)


def _label(labels: Mapping[str, str]) -> str:
    """``rapl package-0``: whose reading it is, then what of it."""
    first = [value for name, value in labels.items() if name == "source"]
    return " ".join([*first, *(value for name, value in labels.items() if name != "source")])


def _get(url: str, token: str) -> str:
    try:
        with httpx.stream(
            "GET",
            url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_SECONDS,
            # A proxy of the coordinator's is no way to a board beside it.
            trust_env=False,
        ) as answer:
            if answer.status_code != httpx.codes.OK:
                raise OSError(f"HTTP {answer.status_code}")
            body = b""
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise OSError("it sends more than this page wants to read")
    except httpx.HTTPError as error:
        raise OSError(str(error) or type(error).__name__) from error
    return body.decode(errors="replace")
