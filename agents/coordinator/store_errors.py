"""What the store says when there is nothing to give."""

from __future__ import annotations

from profiler.errors import FleetmarkError


class NotFoundError(FleetmarkError):
    """Nothing has this id."""


class GoneError(FleetmarkError):
    """A user removed what this was."""
