"""The devices of the fleet, as stored."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, insert, select, update

from agents.coordinator import schema
from agents.coordinator.auth import sha256
from agents.coordinator.database import reading, writing
from agents.coordinator.rows import (
    DeviceRecord,
    device_of,
    utc,
)
from agents.coordinator.store_errors import NotFoundError
from agents.messages import (
    Registration,
)
from profiler.errors import InputError


def new_id() -> str:
    return secrets.token_hex(8)


class DeviceLine(NamedTuple):
    """What a device is called, and when it was last heard of."""

    id: str
    name: str
    labels: dict[str, str]
    last_seen_at: datetime | None


class Registry:
    """Who may join under which name.

    Args:
        engine: a migrated database.
        now: the clock for what is written.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._now = now

    def register(self, asked: Registration) -> DeviceRecord:
        """Take up a device, new or returned.

        Raises:
            InputError: the name belongs to another device.
        """
        now = self._now()
        with writing(self._engine) as db:
            row = db.execute(
                select(schema.devices).where(schema.devices.c.name == asked.name)
            ).one_or_none()
            if row is not None and row.key_sha256 != sha256(asked.device_key):
                seen = utc(row.last_seen_at)
                raise InputError(
                    "name", asked.name,
                    f"belongs to another device (at {row.address}, last seen "
                    f"{seen.isoformat(timespec='seconds') if seen else 'never'})",
                    f"Choose another --name, or `fleetmark devices remove {asked.name}` first",
                )  # fmt: skip
            values = {
                "labels": json.dumps(asked.labels, sort_keys=True),
                "inventory": asked.inventory.model_dump_json(),
                "versions": asked.versions.model_dump_json(),
                "address": asked.address,
                "metrics_port": asked.metrics_port,
                "last_seen_at": now,
            }
            if row is None:
                db.execute(
                    insert(schema.devices).values(
                        id=new_id(), name=asked.name, key_sha256=sha256(asked.device_key),
                        registered_at=now, removed=False, **values,
                    )
                )  # fmt: skip
            else:
                db.execute(
                    update(schema.devices).where(schema.devices.c.id == row.id).values(**values)
                )
            found = select(schema.devices).where(schema.devices.c.name == asked.name)
            return device_of(db.execute(found).one())

    def devices(self) -> tuple[DeviceRecord, ...]:
        query = (
            select(schema.devices)
            .where(schema.devices.c.removed.is_(False))
            .order_by(schema.devices.c.name)
        )
        with reading(self._engine) as db:
            return tuple(device_of(row) for row in db.execute(query))

    def device_lines(self) -> tuple[DeviceLine, ...]:
        """All devices without their inventories, which are a hundred times as long."""
        d = schema.devices.c
        query = select(d.id, d.name, d.labels, d.last_seen_at).where(d.removed.is_(False))
        with reading(self._engine) as db:
            return tuple(
                DeviceLine(row.id, row.name, json.loads(row.labels), utc(row.last_seen_at))
                for row in db.execute(query.order_by(d.name))
            )

    def devices_by_id(self, ids: Sequence[str]) -> dict[str, DeviceRecord]:
        query = select(schema.devices).where(schema.devices.c.id.in_(ids))
        with reading(self._engine) as db:
            return {row.id: device_of(row) for row in db.execute(query)}

    def device_named(self, name: str) -> DeviceRecord:
        """Raises:
        NotFoundError: no such device.
        """
        d = schema.devices.c
        query = select(schema.devices).where(d.name == name, d.removed.is_(False))
        with reading(self._engine) as db:
            row = db.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no device {name!r}; `fleetmark devices` lists them")
        return device_of(row)

    def seen(self, device_id: str, device_key: str) -> bool:
        """Note a heartbeat; whether the device is known and the key is its own."""
        with writing(self._engine) as db:
            done = db.execute(
                update(schema.devices)
                .where(schema.devices.c.id == device_id)
                .where(schema.devices.c.key_sha256 == sha256(device_key))
                .where(schema.devices.c.removed.is_(False))
                .values(last_seen_at=self._now())
            )
            return done.rowcount == 1

    def was_removed(self, device_id: str) -> bool:
        """Whether a user removed this device."""
        query = select(schema.devices.c.removed).where(schema.devices.c.id == device_id)
        with reading(self._engine) as db:
            row = db.execute(query).one_or_none()
        return row is not None and bool(row.removed)
