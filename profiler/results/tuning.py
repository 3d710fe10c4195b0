"""What fleetmark set on a device for steadier figures."""

from __future__ import annotations

from profiler.base import Frozen, StrEnum


class KnobName(StrEnum):
    """What ``--tune`` can set."""

    GOVERNOR = "governor"
    TURBO = "turbo"
    PROFILE = "profile"
    PREFERENCE = "preference"


class TuneSetting(Frozen):
    """One file that was asked to have a value.

    Attributes:
        before: what it said at first.
        after: what it said when it was read back; ``None``: that was not come to.
        held: whether it still had the wanted value in the end; ``None``: it is not put back yet,
            or was not changed.
        restored: what it said when it had been put back; ``None`` as with ``held``.
        note: what went otherwise than asked.
    """

    knob: KnobName
    path: str
    before: str
    wanted: str
    after: str | None = None
    held: bool | None = None
    restored: str | None = None
    note: str | None = None


class TuneReport(Frozen):
    """What was set; what had the wanted value already is in it too, as part of the answer."""

    settings: tuple[TuneSetting, ...]
