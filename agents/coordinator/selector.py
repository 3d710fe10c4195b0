"""``--devices`` → devices: ``all``, ``pi5-a,orin-1``, ``kind=cpu-board,room=lab``."""

from __future__ import annotations

import difflib

from agents.messages import Device
from profiler.errors import InputError


def effective_labels(device: Device) -> dict[str, str]:
    """The user's labels over what the device says of itself."""
    return {"kind": device.inventory.kind, "name": device.name} | device.labels


def select(text: str, devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """The devices that a selector names, in their order.

    Names are alternatives; labels must all hold; with both, a device needs a name of the list and
    every label.

    Raises:
        InputError: the selector is empty or malformed, names an unknown device, or matches none.
    """
    terms = [term.strip() for term in text.split(",") if term.strip()]
    if not terms:
        raise InputError("devices", text, "selects nothing", "Say all, names, or key=value labels")
    if not devices:
        raise InputError(
            "devices", text, "matches nothing: no device is registered",
            "Start `fleetmark agent` on one",
        )  # fmt: skip
    labels = [_label(term, text) for term in terms if "=" in term]
    names = {term for term in terms if "=" not in term and term != "all"}
    _refuse_unknown(names, text, devices)
    chosen = tuple(
        device
        for device in devices
        if (not names or "all" in terms or device.name in names)
        and all(effective_labels(device).get(key) == value for key, value in labels)
    )
    if not chosen:
        raise InputError(
            "devices", text, "matches no device",
            "`fleetmark devices` shows names and labels",
        )  # fmt: skip
    return chosen


def _label(term: str, text: str) -> tuple[str, str]:
    key, _, value = term.partition("=")
    if not key or not value:
        raise InputError("devices", text, f"has the malformed label {term!r}", "Write key=value")
    return key, value


def _refuse_unknown(names: set[str], text: str, devices: tuple[Device, ...]) -> None:
    known = [device.name for device in devices]
    for name in sorted(names - set(known)):
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"Did you mean {', '.join(close)}?" if close else f"There are: {', '.join(known)}"
        raise InputError("devices", text, f"names {name!r}, which is not registered", hint)
