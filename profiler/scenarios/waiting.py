"""How a sustained repetition waits for its device: by going on with the load."""

from __future__ import annotations

from collections.abc import Callable

from profiler.scenarios.live_state import DeviceState
from profiler.scenarios.settling import HOLD_SECONDS


class Waited:
    """Follows the verdict of the sampler.

    Args:
        device: the last verdict; ``None``, or a verdict that is ``None`` or unknown, is not waited
            for: nobody could tell when it is over.
    """

    def __init__(self, device: Callable[[], DeviceState | None] | None) -> None:
        self._device = device
        self._settled_ns: int | None = None

    def look(self, now_ns: int) -> bool:
        """Whether the device is still to be waited for. To be asked often.

        Args:
            now_ns: of ``perf_counter_ns``.
        """
        state = self._device() if self._device is not None else None
        if state is None or state.unknown is not None:
            return False
        if not state.settled:
            self._settled_ns = None
            return True
        if self._settled_ns is None:
            self._settled_ns = now_ns
        return now_ns - self._settled_ns < HOLD_SECONDS * 1e9
