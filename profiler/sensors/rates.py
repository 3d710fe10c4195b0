"""How often what is read: by quantity, and no faster than a source is worth asking."""

from __future__ import annotations

from profiler.sensors.base import Channel, Quantity
from profiler.sensors.battery import BATTERY
from profiler.sensors.cgroup import CGROUP
from profiler.sensors.jetson import JETSON
from profiler.sensors.nvml_gpu import NVML
from profiler.sensors.pressure import PRESSURE
from profiler.sensors.rapl import RAPL
from profiler.sensors.rapl_perf import RAPL_PERF
from profiler.sensors.rpi import RPI
from profiler.sensors.system import SYSTEM
from profiler.sensors.throttle import THROTTLE

# These change within seconds at the fastest, and some drivers take milliseconds to tell them.
SLOW = frozenset(
    {
        Quantity.TEMPERATURE,
        Quantity.MEMORY_TOTAL,
        Quantity.MEMORY_PEAK,
        Quantity.POWER_LIMIT,
        Quantity.COOLING,
        Quantity.VOLTAGE,
    }
)
FAST = frozenset(Quantity) - SLOW
SLOW_PERIOD_SECONDS = 1.0

# Readings per second at most, by source. NVML's counters change every 20 to 100 ms, and each call
# goes through the kernel's driver; an INA3221 is on a shared I2C bus. A Pi's firmware is asked by
# another process each time; a battery's controller has a new value every few seconds.
MAX_HERTZ = {NVML: 20.0, JETSON: 20.0, RPI: 1.0, BATTERY: 1.0}

# Sources whose reads never wait for hardware: procfs, pressure, control groups and throttle
# counters are the kernel's own memory, and RAPL's registers are the CPU's. All others are drivers
# that may hang on a bus, a firmware or a network.
NEVER_BLOCK = frozenset({SYSTEM, RAPL, RAPL_PERF, PRESSURE, CGROUP, THROTTLE})


# A counter that moves about as often as it is read is read off its beat: readings that keep in step
# with it would all find it moved since the last, and never tell when. Half the golden ratio, and
# half the root of five, are far from every simple fraction, so the readings fall on all parts of
# the counter's period evenly, and soon (Steinhaus' three-distance theorem).
OFF_BEAT, _OFF_BEAT_SLOWER = (1 + 5**0.5) / 4, 5**0.5 / 2
# A counter that moves this much more often than it is read has no edges that matter.
_QUICK_SHARE = 0.25


def _counts_slowly(channel: Channel, read_every: float) -> bool:
    period = channel.update_period_seconds
    counts = channel.quantity is Quantity.ENERGY
    return counts and period is not None and period > _QUICK_SHARE * read_every


def period_seconds(source: str, channels: tuple[Channel, ...], hertz: float) -> float:
    """Seconds between two reads of a source.

    Args:
        source: its name.
        channels: what it has; with slow quantities only it is read at their rate.
        hertz: what was asked for.
    """
    limit = 1 / MAX_HERTZ[source] if source in MAX_HERTZ else 0.0
    fastest = max(1 / hertz, limit)
    if any(_counts_slowly(channel, fastest) for channel in channels):
        fastest *= OFF_BEAT if fastest * OFF_BEAT >= limit else _OFF_BEAT_SLOWER
    if all(channel.quantity in SLOW for channel in channels):
        return max(fastest, SLOW_PERIOD_SECONDS)
    return fastest
