"""What people watch: the fleet, a device, a job, a run, as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from agents.coordinator.device_clock import offset_seconds
from agents.coordinator.presence import Presence, Present
from agents.coordinator.registry import DeviceLine
from agents.coordinator.rows import DeviceRecord
from agents.coordinator.store import Store
from agents.coordinator.telemetry import Telemetry
from agents.messages import DeviceState, Run
from agents.views import (
    Architectures,
    DevicePage,
    DeviceSummary,
    DeviceView,
    JobView,
    Overview,
    RunView,
)
from profiler.device.inventory import Catalogs
from profiler.spec import Library

SHOWN_RUNNING = 24
SHOWN_LATEST = 8
SHOWN_ACTIVE = 60
SHOWN_WAITING = 20
SHOWN_RESULTS = 100
# Devices whose catalogues are read for the names that they can build; most fleets have one set.
ASKED_DEVICES = 8
ASKED_TOGETHER = 16

# Who works comes first, who is away last.
ORDER = [DeviceState.BUSY, DeviceState.ONLINE, DeviceState.JOINING, DeviceState.OFFLINE]


class Watching:
    """Views over the store and what is known of the devices now. Changes nothing."""

    def __init__(self, store: Store, presence: Presence, telemetry: Telemetry) -> None:
        self._store = store
        self._listings = store.listings
        self._presence = presence
        self._telemetry = telemetry

    def with_progress(self, runs: Iterable[Run]) -> tuple[Run, ...]:
        return tuple(
            run
            if run.state.final
            else run.model_copy(update={"progress": self._presence.progress(run.id)})
            for run in runs
        )

    # --- the fleet ---------------------------------------------------------------------------

    def overview(self) -> Overview:
        states = Counter(present.state for _, present in self._lines())
        return Overview(
            states={state: states[state] for state in ORDER},
            queued=self._listings.queued(),
            open_jobs=self._listings.open_jobs(),
            results=self._listings.results(),
            running=self.with_progress(self._listings.active(SHOWN_RUNNING)),
            latest=self._listings.runs(SHOWN_LATEST).runs,
        )

    def _lines(self) -> list[tuple[DeviceLine, Present]]:
        lines = self._store.device_lines()
        return [(line, self._presence.now(line.id, line.last_seen_at)) for line in lines]

    def devices(
        self,
        limit: int,
        offset: int,
        words: str = "",
        state: DeviceState | None = None,
        *,
        power: bool = False,
    ) -> DevicePage:
        """Args:
        limit: how many.
        offset: after how many.
        words: all of them have to be in a device's name or labels.
        state: only those in it.
        power: ask the shown ones what they draw.
        """
        lines = self._lines()
        states = Counter(present.state for _, present in lines)
        matching = [
            (line, present)
            for line, present in lines
            if (state is None or present.state is state) and _has(line, words)
        ]
        matching.sort(key=lambda each: (ORDER.index(each[1].state), each[0].name))
        shown = matching[offset : offset + limit]
        ids = [line.id for line, _ in shown]
        records = self._store.devices_by_id(ids)
        queued = self._listings.queued_on(ids)
        busy = [present.run_id for _, present in shown if present.run_id]
        runs = self._listings.runs_by_id(busy)
        running = {run.id: run for run in self.with_progress(runs.values())}
        drawn = self._powers(shown, records) if power else {}
        return DevicePage(
            devices=tuple(
                _summary(records[line.id], present, queued.get(line.id, 0), running).model_copy(
                    update={"power_watts": drawn.get(line.id)}
                )
                for line, present in shown
                if line.id in records
            ),
            matching=len(matching),
            states={each: states[each] for each in ORDER},
        )

    def _powers(
        self, shown: Sequence[tuple[DeviceLine, Present]], records: dict[str, DeviceRecord]
    ) -> dict[str, float]:
        here = [(line.id, present.state) for line, present in shown if line.id in records]
        with ThreadPoolExecutor(ASKED_TOGETHER) as pool:
            answers = pool.map(lambda each: self._telemetry.read(records[each[0]], each[1]), here)
            return {
                device_id: max(watts)
                for (device_id, _), found in zip(here, answers, strict=True)
                if (watts := [r.value for r in found.readings if r.quantity == "power_watts"])
            }

    def device(self, name: str) -> DeviceView:
        """One device with what its sensors say now.

        Raises:
            NotFoundError: no such device.
        """
        record = self._store.device_named(name)
        device = self._presence.view(record)
        run = self._listings.run(device.current_run_id) if device.current_run_id else None
        # A thousand names of architectures are of no use here.
        inventory = device.inventory.model_copy(update={"catalogs": Catalogs()})
        readings = self._telemetry.read(record, device.state)
        return DeviceView(
            device=device.model_copy(update={"inventory": inventory}),
            running=self.with_progress([run])[0] if run else None,
            queued=self._listings.queued_on([record.id]).get(record.id, 0),
            readings=readings.readings,
            readings_reason=readings.reason,
        )

    def architectures(self) -> Architectures:
        """What the fleet can build by name."""
        ids = [line.id for line in self._store.device_lines()[:ASKED_DEVICES]]
        catalogs = [record.inventory.catalogs for record in self._store.devices_by_id(ids).values()]
        names = {
            f"{lib}:{name}" for each in catalogs for lib in Library for name in each.names(lib)
        }
        return Architectures(names=tuple(sorted(names, key=lambda n: (n.startswith("timm"), n))))

    # --- jobs and runs -----------------------------------------------------------------------

    def job(self, job_id: str) -> JobView:
        """Raises:
        NotFoundError: no such job.
        """
        return JobView(
            job=self._store.job(job_id),
            active=self.with_progress(self._listings.active(SHOWN_ACTIVE, job=job_id)),
            waiting=self._listings.waiting(SHOWN_WAITING, job=job_id),
            results=self._listings.runs(SHOWN_RESULTS, job=job_id).runs,
        )

    def run(self, run_id: str) -> RunView:
        """Raises:
        NotFoundError: no such run.
        """
        run = self._store.run(run_id)
        result = self._store.result(run_id) if run.state.final else None
        off = None
        if result is not None and run.finished_at is not None:
            off = offset_seconds(result, run.created_at, run.finished_at)
        return RunView(run=self.with_progress([run])[0], result=result, clock_offset_seconds=off)


def _has(line: DeviceLine, words: str) -> bool:
    text = " ".join([line.name, *(f"{key}={value}" for key, value in line.labels.items())]).lower()
    return all(word in text for word in words.lower().split())


def _summary(
    record: DeviceRecord, present: Present, queued: int, running: dict[str, Run]
) -> DeviceSummary:
    it = record.inventory
    return DeviceSummary(
        name=record.name,
        state=present.state,
        state_reason=present.reason,
        labels=record.labels,
        kind=record.labels.get("kind", it.kind),
        board=it.board,
        cpu_model=it.cpu_model,
        cpu_count=it.cpu_count,
        memory_total_bytes=it.memory_total_bytes,
        accelerators=it.accelerators,
        runtimes=tuple(f"{s.runtime} {s.version}" for s in it.runtimes if s.installed),
        energy_sources=it.energy_sources,
        last_seen_at=present.last_seen_at,
        queued=queued,
        running=running.get(present.run_id or ""),
    )
