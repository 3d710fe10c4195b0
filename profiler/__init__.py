"""Measures one model on one device; knows no network.

``from profiler import profile`` is the whole of it for a Python program or a notebook.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profiler.api.entry import profile
    from profiler.display.profile import Profile
else:
    # Loaded when they are asked for: ``import profiler`` stays light.
    _HOMES = {"profile": "profiler.api.entry", "Profile": "profiler.display.profile"}

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


__all__ = ["Profile", "profile"]
