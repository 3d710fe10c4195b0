"""``fleetmark coordinator`` and ``fleetmark agent``: the two that stay."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from agents.addresses import own_address
from agents.cli import arguments, connection, options, show
from profiler.errors import FleetmarkError, InputError


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("httpx", "alembic", "ray", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def coordinator(
    host: Annotated[
        str | None, typer.Option(help="Address that devices reach this machine at.")
    ] = None,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104
    port: Annotated[int, typer.Option(help="Port of the HTTP API and the page.")] = 8470,
    ray_port: Annotated[int, typer.Option(help="Port of Ray's head.")] = 6390,
    ray_address: Annotated[
        str | None, typer.Option(help="Use this Ray cluster instead of starting a head.")
    ] = None,
    ray_token_file: Annotated[
        Path | None, typer.Option(help="Token of the cluster at --ray-address.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Store, models, tokens. Default: FLEETMARK_DATA_DIR.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="SQLAlchemy URL; SQLite in the data directory by default.")
    ] = None,
    lease: Annotated[
        float, typer.Option(min=1, help="Seconds of silence after which a device's run is lost.")
    ] = 30.0,
) -> None:
    """Start the coordinator: queue, models, results, page.

    \b
    Examples:
      fleetmark coordinator
      fleetmark coordinator --host 192.168.1.10 --port 8470
      fleetmark coordinator --data-dir /srv/fleetmark
    """
    try:
        from agents.coordinator.app import Settings, serve
        from agents.coordinator.auth import Role
        from agents.device.agent import DeviceAgent
        from agents.device.inventory import read_versions
    except ModuleNotFoundError as error:
        raise FleetmarkError(
            f"{error.name} is not installed: pip install 'fleetmark[coordinator]'"
        ) from error
    _log_to_stderr()
    directory = data_dir or connection.coordinator_dir()
    settings = options.build(
        Settings,
        data_dir=directory,
        host=host or own_address(),
        bind=bind,
        port=port,
        ray_port=ray_port,
        ray_address=ray_address,
        ray_token_file=ray_token_file,
        database=database,
        lease_seconds=lease,
    )
    note = connection.note_path(directory)

    def ready(stack: object) -> None:
        from agents.coordinator.app import Stack

        assert isinstance(stack, Stack)  # noqa: S101 - for the type checker
        here = connection.LocalCoordinator(url=settings.url, pid=os.getpid())
        note.write_text(here.model_dump_json(), encoding="utf-8")
        token_file = stack.tokens.path(Role.AGENT)
        _greet(settings.url, token_file, stack.tokens.token(Role.ADMIN), adopted=stack.adopted)

    show.note("starting Ray's head, about 10 s …")
    try:
        serve(settings, DeviceAgent, read_versions(), ready)
    finally:
        note.unlink(missing_ok=True)


def _greet(url: str, agent_token_file: Path, admin_token: str, *, adopted: bool) -> None:
    """Tell how to go on. The token is shown to a person at a terminal, and never to a log."""
    if adopted:
        print("took over the Ray head that was running; devices and runs go on")
    print(f"coordinator  {url}")
    print("join         copy the file below to a device (mode 0600), then run there:")
    print(f"             {agent_token_file}")
    print(f"             fleetmark agent --coordinator {url} --token-file agent.token")
    if sys.stdout.isatty():
        print(f"page         {page_link(url, admin_token)}")
    else:
        print(f"page         {url}/ (`fleetmark link` prints the link with its token)")
    sys.stdout.flush()


def page_link(url: str, token: str) -> str:
    """The token goes behind ``#``: a browser keeps that part to itself, no server logs it."""
    return f"{url}/#token={token}"


def agent(
    coordinator: Annotated[
        str | None, typer.Option(help="URL of the coordinator. Default: the one that runs here.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="The coordinator's agent.token, mode 0600.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of this device. Default: its host name.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="key=value, for selectors; may be repeated.")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="Key, outbox and log of this device.")
    ] = None,
    worker_python: Annotated[
        str | None, typer.Option(help="Python that measures, such as a vendor's with its torch.")
    ] = None,
    keep_warm: Annotated[
        float, typer.Option(help="Seconds that a worker waits for another run; 0: not at all.")
    ] = 60.0,
    address: Annotated[
        str | None, typer.Option(help="Address of this device. Default: on the way out.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of this device's /metrics. Default: a free one.")
    ] = None,
    sensor: arguments.Sensors = None,
    meters: arguments.Meters = None,
) -> None:
    """Join this device to the fleet and measure what the coordinator sends.

    \b
    Examples:
      fleetmark agent --coordinator http://192.168.1.10:8470 --token-file agent.token
      fleetmark agent --name pi5-a --label room=lab --label kind=cpu-board
    """
    from agents.device.daemon import Daemon, DaemonSettings
    from profiler.sensors.configured import sensor_setup

    directory = connection.coordinator_dir()
    url = connection.find_url(coordinator, directory)
    if not url.startswith(("http://", "https://")):
        raise InputError("coordinator", url, "is no URL", "Write http://HOST:PORT")
    chosen = _host_name() if name is None else name
    settings = options.build(
        DaemonSettings,
        coordinator=url,
        token=connection.find_token(token_file, directory, "agent"),
        name=chosen,
        labels=options.labels(label),
        state_dir=state_dir or connection.data_dir() / "agents" / chosen,
        cache_dir=connection.cache_dir() if state_dir is None else state_dir / "cache",
        worker_python=worker_python or sys.executable,
        keep_warm_seconds=keep_warm,
        address=address,
        metrics_port=metrics_port,
        sensors=sensor_setup(sensor, meters),
    )
    daemon = Daemon(settings, _say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: daemon.stop())
    daemon.run()
    _say("left the fleet")


def _say(text: str) -> None:
    print(text, flush=True)


def _host_name() -> str:
    """The host's name as a device name."""
    return re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().split(".")[0].lower()).strip("-")


def link(
    coordinator: Annotated[str | None, typer.Option(help="URL of the coordinator.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="The admin token, mode 0600.")] = None,
) -> None:
    """Print the link to the page, with the token in it.

    \b
    Example:
      fleetmark link
    """
    directory = connection.coordinator_dir()
    url = connection.find_url(coordinator, directory)
    print(page_link(url, connection.find_token(token_file, directory)))
