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


def period_seconds(source: str, channels: tuple[Channel, ...], hertz: float) -> float:
    """Seconds between two reads of a source.

    Args:
        source: its name.
        channels: what it has; with slow quantities only it is read at their rate.
        hertz: what was asked for.
    """
    fastest = 1 / min(hertz, MAX_HERTZ.get(source, hertz))
    if all(channel.quantity in SLOW for channel in channels):
        return max(fastest, SLOW_PERIOD_SECONDS)
    return fastest
