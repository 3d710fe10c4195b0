"""The Ray head: a supervised child that outlives a crash of the coordinator.

After ``kill -9`` of the coordinator the head, the devices and their runs go on; the next
coordinator with the same data directory adopts it. One that is asked to stop takes its head along.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from pathlib import Path

from pydantic import ValidationError

from agents.supervise import (
    ProcessMark,
    RayProcess,
    fresh_runtime_dir,
    log_tail,
    ray_environment,
    remove_runtime_dir,
)
from profiler.base import Frozen
from profiler.errors import FleetmarkError

START_SECONDS = 60.0
# The head holds chunks of models on their way to devices, and nothing else.
OBJECT_STORE_BYTES = 512 * 2**20


class HeadMark(Frozen):
    """What the next coordinator needs to know of a head that it finds running."""

    process: ProcessMark
    cluster_id: str
    address: str


class Head:
    """Starts or adopts the head and tells where it is.

    Args:
        data_dir: holds the mark, the log and the cluster's token.
        token_path: the cluster's token, mode 0600.
        host: address that devices reach this machine at.
        port: of Ray's GCS.
    """

    def __init__(self, data_dir: Path, token_path: Path, host: str, port: int) -> None:
        self._data_dir = data_dir
        self._token_path = token_path
        self._host = host
        self._port = port
        self._process: RayProcess | None = None
        self.cluster_id = ""
        self.address = ""

    @property
    def _mark_path(self) -> Path:
        return self._data_dir / "head.json"

    @property
    def _log(self) -> Path:
        return self._data_dir / "ray-head.log"

    def start(self) -> bool:
        """Adopt the head that runs, or start one; whether one was adopted.

        Raises:
            FleetmarkError: it does not start.
        """
        if self._adopt():
            return True
        self._refuse_taken_port()
        self._process = RayProcess.start(
            self._arguments(), ray_environment(os.environ, self._token_path), self._log
        )
        self._wait_until_up()
        self.cluster_id = secrets.token_hex(8)
        self.address = f"{self._host}:{self._port}"
        mark = HeadMark(
            process=self._process.mark, cluster_id=self.cluster_id, address=self.address
        )
        partial = self._mark_path.with_suffix(".partial")
        partial.write_text(mark.model_dump_json(), encoding="utf-8")
        partial.replace(self._mark_path)
        return False

    def _adopt(self) -> bool:
        try:
            mark = HeadMark.model_validate_json(self._mark_path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return False
        process = RayProcess.adopt(mark.process)
        if process is None:
            return False
        if mark.address != f"{self._host}:{self._port}":
            # Started anew under another address: the devices must learn it, so they join again.
            process.stop()
            return False
        self._process, self.cluster_id, self.address = process, mark.cluster_id, mark.address
        return True

    def _refuse_taken_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", self._port))
            except OSError as error:
                raise FleetmarkError(
                    f"port {self._port}, which Ray needs, is taken ({error.strerror}); "
                    "choose another with --ray-port"
                ) from error

    def _arguments(self) -> list[str]:
        return [
            "--head",
            f"--node-ip-address={self._host}",
            f"--port={self._port}",
            "--include-dashboard=false",
            "--include-log-monitor=false",
            "--num-cpus=0",
            "--num-gpus=0",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            f"--temp-dir={fresh_runtime_dir(self._data_dir, 'head')}",
        ]

    def _wait_until_up(self) -> None:
        assert self._process is not None  # noqa: S101 - just started
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in log_tail_all(self._log):
            if not self._process.running() or time.monotonic() > deadline:
                self._process.stop()
                raise FleetmarkError(f"Ray's head did not start:\n{log_tail(self._log)}")
            time.sleep(0.1)

    def running(self) -> bool:
        return self._process is not None and self._process.running()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None
            remove_runtime_dir(self._data_dir)
        self._mark_path.unlink(missing_ok=True)


def log_tail_all(log: Path) -> str:
    """The log so far; short while Ray starts."""
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
