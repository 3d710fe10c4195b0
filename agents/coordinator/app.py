"""Puts the coordinator together, and takes it apart in the opposite order."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from agents.coordinator.api import Meta, create_app
from agents.coordinator.auth import Role, Tokens, load_or_create
from agents.coordinator.database import migrate, open_engine
from agents.coordinator.device_loop import Timing
from agents.coordinator.head import Head
from agents.coordinator.models import MAX_BYTES, ModelStore
from agents.coordinator.samples import SampleStore
from agents.coordinator.service import Cluster, Coordinator
from agents.coordinator.store import Store
from agents.messages import Versions
from agents.secretfile import read_secret
from agents.supervise import ray_environment
from profiler.base import Frozen
from profiler.device.environment import fleetmark_version
from profiler.errors import FleetmarkError

if TYPE_CHECKING:
    from agents.coordinator.fleet import Fleet

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0


class Settings(Frozen):
    """What the user chose.

    Attributes:
        host: address that devices reach this machine at.
        bind: address that the HTTP server listens on.
        ray_address: an existing Ray cluster instead of a head of our own.
        ray_token_file: the existing cluster's token.
        database: SQLAlchemy URL; SQLite in ``data_dir`` by default.
    """

    data_dir: Path
    host: str
    bind: str = "0.0.0.0"  # noqa: S104 - devices come from elsewhere; tokens guard it
    port: int = 8470
    ray_port: int = 6390
    ray_address: str | None = None
    ray_token_file: Path | None = None
    database: str | None = None
    max_model_bytes: int = MAX_BYTES
    lease_seconds: float = Timing().lease

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Stack:
    """The parts of a running coordinator.

    Args:
        settings: what the user chose.
        agent_class: what becomes the actor on the devices.
        versions: of Ray and Python here.
    """

    def __init__(self, settings: Settings, agent_class: type, versions: Versions) -> None:
        self._settings = settings
        self._versions = versions
        self._agent_class = agent_class
        self._fleet: Fleet | None = None
        self._head: Head | None = None
        self.tokens = Tokens(settings.data_dir / "tokens")
        self.adopted = False

    def start(self) -> Coordinator:
        """Everything up to the HTTP server.

        Raises:
            FleetmarkError: a part does not start; those that had are stopped.
        """
        settings = self._settings
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.tokens.create()
        self._refuse_taken_port()
        store = self._open_store()
        models = ModelStore(settings.data_dir / "models", settings.max_model_bytes)
        models.prepare()
        try:
            cluster, fleet = self._join_cluster()
        except BaseException:
            self.stop()
            raise
        return Coordinator(
            store=store,
            models=models,
            samples=SampleStore(settings.data_dir / "samples"),
            fleet=fleet,
            tokens=self.tokens,
            cluster=cluster,
            versions=self._versions,
            timing=Timing(lease=settings.lease_seconds),
        )

    def _refuse_taken_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._settings.bind, self._settings.port))
            except OSError as error:
                raise FleetmarkError(
                    f"port {self._settings.port} cannot be used ({error.strerror}); is another "
                    "coordinator running? Choose another with --port"
                ) from error

    def _open_store(self) -> Store:
        url = self._settings.database or f"sqlite:///{self._settings.data_dir / 'fleetmark.db'}"
        engine = open_engine(url)
        migrate(engine)
        return Store(engine)

    def _join_cluster(self) -> tuple[Cluster, Fleet]:
        settings = self._settings
        if settings.ray_address is not None:
            token_path = settings.ray_token_file or Path.home() / ".ray" / "auth_token"
            address, cluster_id = settings.ray_address, f"existing-{settings.ray_address}"
        else:
            token_path = settings.data_dir / "tokens" / "ray.token"
            load_or_create(token_path)
            self._head = Head(settings.data_dir, token_path, settings.host, settings.ray_port)
            self.adopted = self._head.start()
            address, cluster_id = self._head.address, self._head.cluster_id
        # Ray reads these in this very process, while it is imported.
        os.environ.update(
            {k: v for k, v in ray_environment({}, token_path).items() if k.startswith("RAY_")}
        )
        from agents.coordinator.fleet import Fleet

        self._fleet = Fleet(self._agent_class)
        self._fleet.connect(address)
        cluster = Cluster(cluster_id=cluster_id, address=address, token=read_secret(token_path))
        return cluster, self._fleet

    def head_running(self) -> bool:
        """Whether Ray's head is well; of an existing cluster that is not ours to judge."""
        return self._head is None or self._head.running()

    def stop(self) -> None:
        """Leave the cluster, then end its head; the head also when leaving goes wrong."""
        log.info("stopping")
        try:
            if self._fleet is not None:
                self._fleet.disconnect()
        finally:
            if self._head is not None:
                self._head.stop()
        log.info("stopped")


def serve(
    settings: Settings,
    agent_class: type,
    versions: Versions,
    ready: Callable[[Stack], None],
) -> None:
    """Run a coordinator until it is told to stop (SIGINT, SIGTERM).

    Args:
        ready: called once, when devices and users may come.

    Raises:
        FleetmarkError: it does not start, or Ray's head ended under it.
    """
    stack = Stack(settings, agent_class, versions)
    # A signal while the parts start must take them down again, not leave them behind.
    previous = signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        coordinator = stack.start()
        app = create_app(
            coordinator,
            stack.tokens,
            Meta(
                version=fleetmark_version(),
                url=settings.url,
                join_command=join_command(settings.url),
                agent_token_file=str(stack.tokens.path(Role.AGENT)),
                python=versions.python,
                ray=versions.ray,
            ),
        )
        server = _Server(
            uvicorn.Config(
                app,
                host=settings.bind,
                port=settings.port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=3,
            ),
            lambda: ready(stack),
            coordinator.streams.close,
        )
        watch = threading.Thread(target=_watch, args=(stack, server), daemon=True)
        watch.start()
        server.run()
        if not stack.head_running():
            raise FleetmarkError(
                f"Ray's head ended; see {settings.data_dir / 'ray-head.log'}. Start the "
                "coordinator again: nothing that is stored is lost"
            )
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stack.stop()
        signal.signal(signal.SIGTERM, previous)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """Tells when it is ready, and before it waits for its answers to end."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)


def _watch(stack: Stack, server: uvicorn.Server) -> None:
    """Without its head a coordinator cannot reach a device: it stops, to be started again."""
    pause = threading.Event()
    while not server.should_exit:
        pause.wait(WATCH_SECONDS)
        if server.started and not stack.head_running():
            server.should_exit = True


def join_command(url: str) -> str:
    """What to type on a device."""
    return f"fleetmark agent --coordinator {url} --token-file agent.token"


def token_path(tokens: Tokens, role: Role) -> Path:
    return tokens.path(role)
