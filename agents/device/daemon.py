"""The daemon on a device: registers, supervises the raylet, joins again when it must."""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from agents.addresses import free_port, own_address_towards
from agents.client import ApiError, Client, Unreachable
from agents.device.config import CONFIG_VARIABLE, KEEP_WARM_SECONDS, AgentConfig
from agents.device.inventory import read_inventory, read_versions
from agents.messages import NAME_PATTERN, Admission, Heartbeat, Labels, Registration
from agents.secretfile import write_private
from agents.supervise import (
    ProcessMark,
    RayProcess,
    fresh_runtime_dir,
    log_tail,
    ray_environment,
    remove_runtime_dir,
)
from profiler.base import Frozen
from profiler.device.environment import KEPT_VARIABLES
from profiler.errors import FleetmarkError
from profiler.sensors.setup import SensorSetup

# Models on their way, in chunks; Ray's minimum is 75 MiB.
OBJECT_STORE_BYTES = 100 * 2**20
BACK_OFF_SECONDS = (1.0, 30.0)
POLL_SECONDS = 0.5
# A coordinator that lost its store is joined again; one whose user removed this device is not.
NOT_FOUND, GONE = 404, 410
# What a coordinator, or a proxy before it, answers while something is wrong that will pass.
PASSING = (429, 500, 502, 503, 504, 507)
# Prometheus comes from elsewhere; the token guards it.
METRICS_ADDRESS = "0.0.0.0"  # noqa: S104
# A raylet that ends this soon has a reason worth showing.
SHORT_LIFE_SECONDS = 20.0

Say = Callable[[str], None]


class DaemonSettings(Frozen):
    """What the user chose."""

    coordinator: str
    token: str
    name: str = Field(pattern=NAME_PATTERN)
    labels: Labels
    state_dir: Path
    cache_dir: Path
    worker_python: str = sys.executable
    keep_warm_seconds: float = Field(default=KEEP_WARM_SECONDS, ge=0, le=86_400)
    sensors: SensorSetup = SensorSetup()
    address: str | None = None
    metrics_port: int | None = Field(default=None, ge=1, le=65535)


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the state directory.

    Raises:
        FleetmarkError: another agent does.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FleetmarkError(
                f"another agent uses {state_dir}; stop it, or give this one its own --state-dir"
            ) from error
        yield


def device_key(state_dir: Path) -> str:
    """The secret that shows, on return, that the name is this device's own."""
    path = state_dir / "device.key"
    if path.exists() and not path.stat().st_size:
        # A power cut came between its making and its writing: nobody knows it yet.
        path.unlink()
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text(encoding="ascii").strip()


class StopSign:
    """As ``threading.Event``, but safe to set in a signal handler.

    A handler runs in the middle of whatever the main thread does: were that inside ``Event.wait``,
    ``Event.set`` would wait for a lock that its own thread holds.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def set(self) -> None:
        os.write(self._writer, b"x")

    def is_set(self) -> bool:
        return self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Whether it was set, at once or within ``seconds``."""
        return bool(select.select([self._reader], [], [], seconds)[0])

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


class Daemon:
    """Keeps a device in the fleet until it is told to stop.

    Args:
        settings: what the user chose.
        say: shows one line to the user.
    """

    def __init__(self, settings: DaemonSettings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._stopping = StopSign()
        # Whether the coordinator did not answer last time: it is said once, not every few seconds.
        self._silent = False
        self._client = Client(settings.coordinator, settings.token)

    def stop(self) -> None:
        """Ask the daemon to leave; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Join, and join again, until ``stop``.

        Raises:
            FleetmarkError: the coordinator refuses this device, or the device cannot measure.
        """
        with only_one(self._settings.state_dir):
            self._end_leftover()
            address = self._address()
            if address is None:
                return
            registration = self._registration(address)
            while not self._stopping.is_set():
                admission = self._register(registration)
                if admission is None:
                    return
                self._serve(registration, admission)
            remove_runtime_dir(self._settings.state_dir)

    @property
    def _mark(self) -> Path:
        return self._settings.state_dir / "raylet.json"

    def _end_leftover(self) -> None:
        """End the raylet of a daemon that was killed: two would stand for one device."""
        try:
            mark = ProcessMark.model_validate_json(self._mark.read_bytes())
        except (FileNotFoundError, ValidationError):
            return
        leftover = RayProcess.adopt(mark)
        if leftover is not None:
            leftover.stop()
        self._mark.unlink()

    def _address(self) -> str | None:
        """This device's address; at boot the network may come up later than we do.

        ``None`` when told to stop meanwhile.
        """
        settings = self._settings
        if settings.address is not None:
            return settings.address
        for pause in back_off():
            try:
                return own_address_towards(settings.coordinator)
            except OSError as error:
                self._say(
                    f"no way to {settings.coordinator} ({error.strerror}); "
                    f"trying again in {pause:.0f} s"
                )
            if self._stopping.wait(pause):
                break
        return None

    def _registration(self, address: str) -> Registration:
        settings = self._settings
        versions = read_versions()
        self._say("looking at this device …")
        return Registration(
            name=settings.name,
            device_key=device_key(settings.state_dir),
            labels=settings.labels,
            versions=versions,
            inventory=read_inventory(settings.worker_python, sensors=settings.sensors),
            address=address,
            metrics_port=settings.metrics_port or free_port(METRICS_ADDRESS),
        )

    def _register(self, registration: Registration) -> Admission | None:
        """Ask until the coordinator answers; ``None`` when told to stop meanwhile."""
        for pause in back_off():
            try:
                admission = self._client.register(registration)
            except (Unreachable, ApiError) as error:
                if isinstance(error, ApiError) and error.status not in PASSING:
                    raise
                self._say(f"{error}; trying again in {pause:.0f} s")
                if self._stopping.wait(pause):
                    return None
                continue
            self._say(f"registered as {registration.name} at {self._settings.coordinator}")
            return admission
        return None

    def _serve(self, registration: Registration, admission: Admission) -> None:
        """Run a raylet until it ends, the coordinator wants a new one, or ``stop``."""
        log = self._settings.state_dir / "raylet.log"
        raylet = RayProcess.start(
            self._raylet_arguments(registration, admission),
            self._environment(admission, registration),
            log,
        )
        started = time.monotonic()
        try:
            self._mark.write_text(raylet.mark.model_dump_json(), encoding="utf-8")
            reason = self._watch(registration, admission, raylet)
        finally:
            raylet.stop()
            self._mark.unlink(missing_ok=True)
        if self._stopping.is_set():
            return
        self._say(f"{reason}; joining again")
        if time.monotonic() - started < SHORT_LIFE_SECONDS:
            self._say(log_tail(log))
            self._stopping.wait(BACK_OFF_SECONDS[0] * 5)

    def _environment(self, admission: Admission, registration: Registration) -> Mapping[str, str]:
        settings, state = self._settings, self._settings.state_dir
        token = state / "ray.token"
        token.unlink(missing_ok=True)
        write_private(token, admission.ray_token)
        config = AgentConfig(
            device_id=admission.device_id,
            name=settings.name,
            state_dir=state,
            cache_dir=settings.cache_dir,
            worker_python=settings.worker_python,
            keep_warm_seconds=settings.keep_warm_seconds,
            sensors=settings.sensors,
            environment={k: os.environ[k] for k in KEPT_VARIABLES if k in os.environ},
            inventory=registration.inventory,
            metrics_address=METRICS_ADDRESS,
            metrics_port=registration.metrics_port,
            metrics_token_sha256=admission.metrics_token_sha256,
        )
        path = state / "agent.json"
        path.unlink(missing_ok=True)
        write_private(path, config.model_dump_json())
        environment = {k: v for k, v in os.environ.items() if k != "FLEETMARK_TOKEN"}
        return ray_environment(environment, token) | {CONFIG_VARIABLE: str(path)}

    def _raylet_arguments(self, registration: Registration, admission: Admission) -> list[str]:
        return [
            f"--address={admission.ray_address}",
            f"--node-ip-address={registration.address}",
            "--include-log-monitor=false",
            "--num-cpus=1",
            "--num-gpus=0",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--temp-dir={fresh_runtime_dir(self._settings.state_dir, 'ray')}",
            f'--resources={{"device:{admission.device_id}": 1}}',
        ]

    def _watch(self, registration: Registration, admission: Admission, raylet: RayProcess) -> str:
        """Heartbeats until something ends; says what."""
        beat = Heartbeat(
            device_key=registration.device_key,
            cluster_id=admission.cluster_id,
            raylet_running=True,
        )
        due = time.monotonic()
        while not self._stopping.wait(POLL_SECONDS):
            if not raylet.running():
                return "the raylet ended (the link was cut, or Ray's head is gone)"
            if time.monotonic() < due:
                continue
            due = time.monotonic() + admission.heartbeat_seconds
            reason = self._beat(admission.device_id, beat)
            if reason is not None:
                return reason
        return "told to stop"

    def _beat(self, device_id: str, beat: Heartbeat) -> str | None:
        """One heartbeat; why the raylet must end, if it must.

        Raises:
            ApiError: a user removed this device.
        """
        try:
            answer = self._client.heartbeat(device_id, beat)
        except Unreachable as error:
            if not self._silent:
                self._say(f"{error}; the device goes on")
            self._silent = True
            return None
        except ApiError as error:
            if error.status == GONE:
                raise
            if error.status == NOT_FOUND:
                return "the coordinator does not know this device any more"
            self._say(str(error))
            return None
        except FleetmarkError as error:
            # Something else answers at its address, such as a proxy: what runs here goes on.
            self._say(str(error))
            return None
        if self._silent:
            self._say("the coordinator is back")
        self._silent = False
        return "the coordinator has a new Ray cluster" if answer.rejoin else None


def back_off() -> Iterator[float]:
    """Pauses, doubling up to the limit, with jitter so that a fleet does not return in step."""
    pause, limit = BACK_OFF_SECONDS
    while True:
        yield pause * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        pause = min(limit, pause * 2)
