"""A real coordinator with its store and its HTTP server; only the devices are stand-ins.

They answer as an agent does, go through the phases of a run, and deliver made-up results.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn

from agents.coordinator.api import Meta, create_app
from agents.coordinator.auth import Role, Tokens
from agents.coordinator.calls import DeviceUnreachableError
from agents.coordinator.database import migrate, open_engine
from agents.coordinator.device_loop import Timing
from agents.coordinator.judge import Judge
from agents.coordinator.models import ModelStore
from agents.coordinator.queue import key_of
from agents.coordinator.samples import RawTable, SampleStore
from agents.coordinator.service import Cluster, Coordinator
from agents.coordinator.store import Store
from agents.messages import (
    AgentStatus,
    AssignedRun,
    Assignment,
    AttemptKey,
    CurrentRun,
    Progress,
    Run,
    StartAnswer,
)
from profiler.device.inventory import Catalogs
from profiler.events import Phase
from profiler.result import RunError, RunResult, RunStatus
from profiler.samples import Iterations
from profiler.spec import ArchitectureRef, Library, RunSpec, Runtime
from tests.builders import VERSIONS, make_inventory, make_registration, make_request
from tests.web import made_up
from tests.web import page_data as data

NEVER = Timing(idle=3600, news=3600, retry=3600)
FAST = Timing(idle=0.05, news=0.05, retry=0.1)
JOIN = "fleetmark agent --coordinator http://192.0.2.10:8470 --token-file agent.token"
HALF_WAY = Progress(
    phase=Phase.MEASURING,
    fraction=0.42,
    repetition=1,
    repetitions=5,
    iterations=310,
    p50_seconds=0.01234,
)


class StandIns:
    """Devices. Those in ``away`` do not answer; while ``held`` is set, runs stay half way."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.held = threading.Event()
        self.names: dict[str, str] = {}
        self._lock = threading.Lock()
        self._runs: dict[str, dict[AttemptKey, AssignedRun]] = {}
        self._done: dict[str, dict[AttemptKey, tuple[RunResult, bytes]]] = {}
        self._version = 0

    def ensure_agent(self, device_id: str) -> None:
        self._there(device_id)

    def forget(self, device_id: str) -> None:
        """Nothing is kept of it."""

    def _there(self, device_id: str) -> None:
        if self.names.get(device_id) in self.away:
            raise DeviceUnreachableError("not heard of for 95 s")

    def status(self, device_id: str, wait_seconds: float, version: int) -> AgentStatus:
        self._there(device_id)
        time.sleep(wait_seconds)
        with self._lock:
            runs = self._runs.setdefault(device_id, {})
            if not self.held.is_set():
                self._finish(device_id)
            self._version += 1
            first, *rest = [*runs, None]
            waiting = Progress(phase=Phase.WAITING, fraction=0)
            current = [CurrentRun(key=first, progress=HALF_WAY)] if first else []
            current += [CurrentRun(key=key, progress=waiting) for key in rest if key]
            return AgentStatus(
                device_id=device_id,
                version=self._version,
                current=tuple(current),
                finished=tuple(self._done.setdefault(device_id, {})),
                cached_models=(),
            )

    def _finish(self, device_id: str) -> None:
        runs, done = self._runs[device_id], self._done.setdefault(device_id, {})
        for key, run in list(runs.items()):
            name = self.names[device_id]
            rows = made_up.iterations(seconds_of(run.spec, name), hash(key.run_id) % 1000)
            done[key] = (made_up.result(run.spec, name, rows), npz(rows))
            del runs[key]

    def start(self, device_id: str, assignment: Assignment) -> StartAnswer:
        with self._lock:
            self._runs.setdefault(device_id, {}).update({run.key: run for run in assignment.runs})
        return StartAnswer(outcome="accepted")

    def abort(self, device_id: str, key: AttemptKey) -> None:
        with self._lock:
            self._runs.get(device_id, {}).pop(key, None)

    def fetch(self, device_id: str, key: AttemptKey) -> tuple[RunResult, bytes | None]:
        found, raw = self._done[device_id][key]
        return found.model_copy(update={"run_id": key.run_id, "attempt": key.attempt}), raw

    def acknowledge(self, device_id: str, key: AttemptKey) -> None:
        with self._lock:
            self._done[device_id].pop(key, None)

    def model_offset(self, device_id: str, digest: str) -> int:
        return -1

    def put(self, chunk: bytes) -> Any:
        return chunk

    def send_chunk(self, device_id: str, digest: str, size: int, offset: int, chunk: Any) -> None:
        """The model is there already."""


def seconds_of(spec: RunSpec, device: str) -> float:
    base = made_up.MODELS.get(spec.model.name, (0.02, 0, 0))[0] * made_up.SPEED.get(device, 0.7)
    faster = 0.72 if spec.runtime is Runtime.ONNXRUNTIME else 1.0
    return base * faster * spec.batch_size**0.85


def npz(rows: Iterations) -> bytes:
    """The file that a device sends."""
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        made_up.recording(rows).save(Path(file.name))
        return Path(file.name).read_bytes()


class Server(uvicorn.Server):
    """In a thread: signals are the tests' own."""

    def install_signal_handlers(self) -> None:
        """None."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class World:
    """A coordinator that can be stopped and started again, on the same port and store."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.fleet = StandIns()
        self.tokens = Tokens(root / "tokens")
        self.tokens.create()
        self.engine = open_engine(f"sqlite:///{root / 'store.db'}")
        migrate(self.engine)
        # What is written as of another time: a past.
        self._at: datetime | None = None
        self.store = Store(self.engine, lambda: self._at or datetime.now(timezone.utc))
        self.samples = SampleStore(root / "samples")
        self.judge = Judge(self.store, self.samples)
        self.models = ModelStore(root / "models")
        self.models.prepare()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.ids: dict[str, str] = {}
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def at(self, moment: datetime | None) -> None:
        """Write as of then; ``None``: now."""
        self._at = moment

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return self.tokens.token(Role.ADMIN)

    def link(self, to: str) -> str:
        return f"{self.url}/#token={quote(self.token, safe='')}&to={quote(to)}"

    def start(self, *, quiet: bool = False) -> None:
        """``quiet``: no device is asked anything."""
        for record in self.store.devices():
            self.fleet.names[record.id] = record.name
        self.coordinator = Coordinator(
            store=self.store, models=self.models, samples=self.samples, fleet=self.fleet,
            tokens=self.tokens, versions=VERSIONS, timing=NEVER if quiet else FAST,
            cluster=Cluster(cluster_id="c1", address="192.0.2.1:6390", token="ray-token"),
        )  # fmt: skip
        meta = Meta(
            version="0.1.0", url="http://192.0.2.10:8470", join_command=JOIN,
            agent_token_file="/srv/fleetmark/tokens/agent.token", python="3.11.7", ray="2.50.0",
        )  # fmt: skip
        app = create_app(self.coordinator, self.tokens, meta)
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_level="error", timeout_graceful_shutdown=1
        )
        self._server = Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self.coordinator.streams.close()
            self._server.should_exit = True
            self._thread.join(timeout=20)
            assert not self._thread.is_alive()
            self._server = None

    # --- what is in the store ------------------------------------------------------------------

    def device(self, name: str, **inventory: Any) -> str:
        """Register a device; its id."""
        labels = inventory.pop("labels", {"room": "lab"})
        port = inventory.pop("metrics_port", 9400)
        catalogs = Catalogs(torchvision=tuple(made_up.MODELS), timm=("resnet18.a1_in1k",))
        asked = make_registration(
            name,
            device_key=name.ljust(43, "k"),
            labels=labels,
            inventory=make_inventory(hostname=name, **({"catalogs": catalogs} | inventory)),
            address="127.0.0.1",
            metrics_port=port,
        )
        if self._server is None:
            record = self.store.register(asked)
        else:
            self.coordinator.register(asked)
            record = self.store.device_named(name)
        self.fleet.names[record.id] = record.name
        return record.id

    def job(self, model: str, devices: list[str], **axes: Any) -> tuple[Run, ...]:
        """A job whose runs wait in the store."""
        by_name = {record.name: record for record in self.store.devices()}
        ref = ArchitectureRef(library=Library.TORCHVISION, name=model)
        runtimes = axes.pop("runtime", (Runtime.TORCH,))
        request = make_request(model=ref, devices=",".join(devices), axes={"runtime": runtimes})
        plan = [
            (by_name[name], RunSpec(model=ref, runtime=runtime, **axes))
            for name in devices
            for runtime in runtimes
        ]
        return self.store.add_job(request, plan)[1]

    def measured(
        self,
        model: str,
        device: str,
        *,
        label: str | None = None,
        factor: float = 1.0,
        ended: datetime | None = None,
        clock: timedelta = timedelta(0),
        trace: bool = False,
        raw: bool = True,
        error: RunError | None = None,
        flagged: bool = False,
        **axes: Any,
    ) -> str:
        """A run that is over, and judged; its id.

        Args:
            label: what the model is called in its result.
            ended: when the result came; now, if that is not said.
            clock: how far the device's is ahead of the coordinator's.
        """
        ended = ended or datetime.now(timezone.utc)
        self.at(ended - timedelta(minutes=2))
        (run,) = self.job(model, [device], **axes)
        (run,) = self.store.assign_next(run.device_id)
        key = key_of(run)
        self.store.mark_running(key)
        rows = made_up.iterations(
            seconds_of(run.spec, device) * factor, len(run.id) + int(factor * 97)
        )
        found = made_up.result(run.spec, device, rows, ended=ended + clock, flagged=flagged)
        update: dict[str, object] = {"run_id": run.id, "attempt": run.attempt, "job_id": run.job_id}
        if label is not None:
            update["model"] = label
        if error is not None:
            bad = data.failed(run.id, error, model=model, on=device)
            update = {**update, "status": RunStatus.FAILED, "error": error, "latency": None,
                      "latency_reason": "the run failed", "throughput_items_per_second": None,
                      "repetitions": (), "environment": None,
                      "environment_reason": bad.environment_reason}  # fmt: skip
        elif raw:
            self.samples.put(run.id, run.attempt, npz(rows))
            if trace:
                path = self.samples.path(run.id, run.attempt, RawTable.TRACE)
                made_up.write_trace(path, rows)
        self.at(ended)
        self.store.finish(key, found.model_copy(update=update))
        self.judge.judge(run.id)
        self.at(None)
        return run.id


OFFICE = {"room": "office"}
INTEL, AMD = "13th Gen Intel Core i7-1360P", "AMD Ryzen 9 7950X"


def furnished(world: World) -> dict[str, str]:
    """A small fleet with a past; ids of its runs by what they show."""
    # Who is away was heard of then.
    world.at(datetime.now(timezone.utc) - timedelta(seconds=95))
    world.device("pi5-a", labels={"room": "lab", "rack": "3"})
    world.device("pi5-b", labels={"room": "lab"})
    world.device(
        "orin-1", kind="jetson", board="Jetson Orin NX", cpu_model="Cortex-A78AE", cpu_count=8
    )
    world.device(
        "nuc-13", kind="desktop", machine="x86_64", board="NUC13ANHi7", labels=OFFICE,
        cpu_model=INTEL, cpu_count=16, memory_total_bytes=32 * 2**30, energy_sources=("rapl",),
        energy_reason=None,
    )  # fmt: skip
    world.device(
        "rtx-4090", kind="desktop", machine="x86_64", board=None, labels=OFFICE, cpu_model=AMD,
        cpu_count=32, memory_total_bytes=64 * 2**30, accelerators=("NVIDIA GeForce RTX 4090",),
        energy_sources=("nvml",), energy_reason=None,
    )  # fmt: skip
    now = datetime.now(timezone.utc)
    ids: dict[str, str] = {}
    levels = [1.0, 1.003, 0.998, 1.001, 1.09, 1.092, 1.088, 1.0, 0.999, 0.93, 0.931, 0.929]
    for index, level in enumerate(levels):
        ended = now - timedelta(days=len(levels) - index, hours=index % 5)
        ids[f"past-{index}"] = world.measured(
            "resnet18", "pi5-a", factor=level, ended=ended, raw=index > 9
        )
        world.measured("resnet18", "pi5-a", factor=level * 1.001, ended=ended, raw=False,
                       runtime=(Runtime.ONNXRUNTIME,))  # fmt: skip
    for model in made_up.MODELS:
        for device in ("nuc-13", "orin-1", "rtx-4090", "pi5-b"):
            ids[f"{model}/{device}"] = world.measured(
                model, device, raw=False, ended=now - timedelta(hours=2)
            )
    ids["script"] = world.measured("resnet18", "orin-1", label=data.SCRIPT, flagged=True)
    # Its clock is wrong.
    ids["ahead"] = world.measured("resnet50", "orin-1", clock=timedelta(hours=3), raw=False)
    ids["oom"] = world.measured("vit_b_16", "pi5-a", error=data.OUT_OF_MEMORY)
    ids["good"] = world.measured("mobilenet_v3_large", "nuc-13", trace=True, flagged=False)
    ids["slower"] = world.measured("mobilenet_v3_large", "nuc-13", factor=1.08, trace=True)
    return ids
