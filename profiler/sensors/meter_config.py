"""Which external meters measure this device: a TOML or JSON file, checked before anything runs.

    [[meters]]
    name = "plug"
    kind = "shelly"                      # shelly (Gen2 and later), tasmota, json
    url = "http://192.168.1.20"
    credentials_file = "/etc/fleetmark/plug.secret"    # user:password, mode 0600

Of the kind ``json`` the paths say where the values are: ``power_path = "data.0.power"``.
"""

from __future__ import annotations

import importlib
import json
import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from profiler.base import Frozen, StrEnum
from profiler.errors import InputError

# User and password.
Credentials = tuple[str, str]

METERS_VARIABLE = "FLEETMARK_METERS"

_MAX_FILE_BYTES = 1 << 20


class MeterKind(StrEnum):
    """What a meter speaks."""

    SHELLY = "shelly"
    TASMOTA = "tasmota"
    JSON = "json"


class EnergyUnit(StrEnum):
    """In what a meter counts."""

    JOULES = "J"
    WATT_HOURS = "Wh"
    KILOWATT_HOURS = "kWh"


class Meter(Frozen):
    """One external meter.

    Attributes:
        name: the label of its channels.
        url: of a Shelly or a Tasmota the address; of ``json`` the whole URL of the document.
        switch: number of a Shelly's relay.
        power_path: where the watts are in the document, keys and places joined by dots.
        energy_path: where the energy is, counted in ``energy_unit``.
        credentials_file: holds ``user:password``, mode 0600.
        update_period_seconds: how often the meter has a new value, and how often it is asked.
        timeout_seconds: after which a reading is missing.
    """

    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9_.\-]+$")
    kind: MeterKind
    url: str
    switch: int = Field(default=0, ge=0, le=15)
    power_path: str | None = None
    energy_path: str | None = None
    energy_unit: EnergyUnit | None = None
    credentials_file: Path | None = None
    update_period_seconds: float = Field(default=1.0, ge=0.1, le=3600)
    timeout_seconds: float = Field(default=2.0, gt=0, le=30)

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is no http:// or https:// URL")
        if parts.username is not None:
            raise ValueError("holds a password, which belongs in credentials_file")
        # Reading it here makes a port that is none an error of the file, not of a reading.
        if parts.port == 0:
            raise ValueError("has no port")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _paths(self) -> Meter:
        if self.kind is not MeterKind.JSON:
            if self.power_path or self.energy_path or self.energy_unit:
                raise ValueError(f"a {self.kind} meter takes no paths: only kind json does")
            return self
        if not self.power_path and not self.energy_path:
            raise ValueError("a json meter needs power_path, energy_path or both")
        if bool(self.energy_path) != (self.energy_unit is not None):
            raise ValueError("energy_path and energy_unit (J, Wh or kWh) go together")
        return self


class _File(Frozen):
    meters: tuple[Meter, ...]

    @model_validator(mode="after")
    def _unique(self) -> _File:
        names = [meter.name for meter in self.meters]
        if len(set(names)) < len(names):
            raise ValueError("two meters have one name")
        return self


def configured_meters(file: Path | None) -> tuple[Meter, ...]:
    """The meters of ``file``, or of the file that ``FLEETMARK_METERS`` names, or none.

    Raises:
        InputError: the file cannot be used; names what is wrong in it.
    """
    named = os.environ.get(METERS_VARIABLE)
    if file is not None:
        return load_meters(file, "meters")
    return load_meters(Path(named), METERS_VARIABLE) if named else ()


def load_meters(file: Path, field: str = "meters") -> tuple[Meter, ...]:
    """Read and check the file; the credentials are looked at, and not kept.

    Args:
        file: ``.json`` is JSON, anything else TOML.
        field: what an error calls the file.

    Raises:
        InputError: the file cannot be used.
    """
    try:
        raw = file.read_bytes()[:_MAX_FILE_BYTES]
    except OSError as error:
        raise InputError(
            field, file, f"cannot be read: {error.strerror}", "Check the path"
        ) from error
    return tuple(_located(meter, file.parent) for meter in parse_meters(raw, file, field))


def _located(meter: Meter, folder: Path) -> Meter:
    """A relative path is relative to the file that names it."""
    if meter.credentials_file is None:
        return meter
    path = (folder / meter.credentials_file).absolute()
    read_credentials(path)
    return meter.model_copy(update={"credentials_file": path})


def parse_meters(raw: bytes, file: Path, field: str = "meters") -> tuple[Meter, ...]:
    """What ``load_meters`` finds in the bytes of a file.

    Raises:
        InputError: they are no configuration.
    """
    remedy = "See docs/sensors.md, External meters"
    try:
        data = _decode(raw, file)
    except ValueError as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise InputError(field, file, f"is no {kind}: {error}", remedy) from error
    try:
        return _File.model_validate(data).meters
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or field
        message = str(first["msg"]).removeprefix("Value error, ")
        given = first.get("input")
        # A whole table says little; its name says which.
        value = given.get("name", "?") if isinstance(given, dict) else given
        if "@" in str(value):
            # A URL with a password in it is refused, and not shown.
            value = "a value with @"
        raise InputError(place, value, f"is refused: {message}", remedy) from error


def _decode(raw: bytes, file: Path) -> object:
    if file.suffix == ".json":
        return json.loads(raw)
    text = raw.decode()
    try:
        toml = importlib.import_module("tomllib")
    except ModuleNotFoundError as error:  # Python 3.10
        raise ValueError("this Python reads no TOML: write it as JSON, NAME.json") from error
    data: object = toml.loads(text)
    return data


def read_credentials(file: Path) -> Credentials:
    """User and password.

    Raises:
        InputError: the file cannot be read, others may read it too, or it is no ``user:password``.
    """
    field = "credentials_file"
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(field, file, f"cannot be read: {why}", "Check the path") from error
    if mode & 0o077:
        raise InputError(
            field, file, f"can be read by others (mode {mode:04o})", f"chmod 600 {file}"
        )
    user, colon, password = text.partition(":")
    if not colon or not user or "\n" in text:
        raise InputError(field, file, "is not user:password", "Write both on one line")
    return user, password
