"""Which coordinator, and with which token. The local one is found without being told."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from agents.client import Client
from agents.secretfile import read_secret
from profiler.base import Frozen
from profiler.errors import InputError

DEFAULT_PORT = 8470


class LocalCoordinator(Frozen):
    """What a running coordinator leaves in its data directory for the command line."""

    url: str
    pid: int


def data_dir() -> Path:
    return platformdirs.user_data_path("fleetmark")


def coordinator_dir() -> Path:
    """``FLEETMARK_DATA_DIR``, or the user's data directory."""
    chosen = os.environ.get("FLEETMARK_DATA_DIR")
    return Path(chosen) if chosen else data_dir() / "coordinator"


def cache_dir() -> Path:
    return platformdirs.user_cache_path("fleetmark")


def note_path(directory: Path) -> Path:
    return directory / "coordinator.json"


def local_coordinator(directory: Path) -> LocalCoordinator | None:
    """The coordinator that runs here, if one does."""
    try:
        return LocalCoordinator.model_validate_json(note_path(directory).read_bytes())
    except (OSError, ValidationError):
        return None


def find_token(token_file: Path | None, directory: Path, role: str = "admin") -> str:
    """``--token-file``, ``FLEETMARK_TOKEN``, or the local coordinator's own.

    Raises:
        FleetmarkError: there is none, or its file is not private.
    """
    if token_file is not None:
        return read_secret(token_file)
    if from_environment := os.environ.get("FLEETMARK_TOKEN"):
        return from_environment.strip()
    local = directory / "tokens" / f"{role}.token"
    if local.exists():
        return read_secret(local)
    raise InputError(
        "token-file", "", f"is not given, and there is no {local}",
        "Copy the coordinator's token file here (mode 0600) and say --token-file FILE",
    )  # fmt: skip


def find_url(coordinator: str | None, directory: Path) -> str:
    """``--coordinator``, ``FLEETMARK_COORDINATOR``, or the one that runs here."""
    if coordinator:
        return coordinator
    if from_environment := os.environ.get("FLEETMARK_COORDINATOR"):
        return from_environment
    local = local_coordinator(directory)
    return local.url if local else f"http://127.0.0.1:{DEFAULT_PORT}"


def connect(coordinator: str | None, token_file: Path | None) -> Client:
    """A client for the chosen coordinator.

    Raises:
        FleetmarkError: there is no token.
    """
    directory = coordinator_dir()
    url = find_url(coordinator, directory)
    if not url.startswith(("http://", "https://")):
        raise InputError("coordinator", url, "is no URL", "Write http://HOST:PORT")
    return Client(url, find_token(token_file, directory))
