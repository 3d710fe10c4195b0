"""What of a device can be set for steadier figures: each knob as data, and how it is found.

Sources: the Linux kernel's ``Documentation/admin-guide/pm/cpufreq.rst``, ``intel_pstate.rst``,
``amd-pstate.rst`` and ``Documentation/ABI/testing/sysfs-platform_profile``.
"""

from __future__ import annotations

from pathlib import Path

from profiler.base import Frozen
from profiler.device.power_mode import jetson_current, jetson_highest, jetson_modes
from profiler.errors import InputError
from profiler.result import KnobName
from profiler.sensors.probe import first_line

_CPU = "sys/devices/system/cpu"


class Place(Frozen):
    """Files of one kind that a knob may be in, and the value that is wanted there.

    Attributes:
        pattern: of the files, below the root.
        wanted: what is written and must be read back.
        offered: name of the file beside each that lists what the kernel would take.
    """

    pattern: str
    wanted: str
    offered: str | None = None


class Knob(Frozen):
    """One thing that can be set. ``places`` are tried in order; the first that is there counts."""

    name: KnobName
    what: str
    places: tuple[Place, ...]
    absent: str


# In the order of setting; they are put back in the reverse order. The governor comes first: under
# intel_pstate "performance" sets the preference too, and takes it back with itself.
KNOBS: tuple[Knob, ...] = (
    Knob(
        name=KnobName.GOVERNOR,
        what="all CPUs at their highest clock instead of one that follows the load",
        places=(
            Place(
                pattern=f"{_CPU}/cpufreq/policy*/scaling_governor",
                wanted="performance",
                offered="scaling_available_governors",
            ),
        ),
        absent="the kernel does not scale clocks here (usual on a virtual machine)",
    ),
    Knob(
        name=KnobName.TURBO,
        what="no clocks above the nominal one: slower figures, and steadier ones",
        places=(
            Place(pattern=f"{_CPU}/intel_pstate/no_turbo", wanted="1"),
            Place(pattern=f"{_CPU}/cpufreq/boost", wanted="0"),
            Place(pattern=f"{_CPU}/cpufreq/policy*/boost", wanted="0"),
        ),
        absent="the kernel offers no switch for turbo here",
    ),
    Knob(
        name=KnobName.PROFILE,
        what="the firmware's profile for power and fans: performance",
        places=(
            Place(
                pattern="sys/firmware/acpi/platform_profile",
                wanted="performance",
                offered="platform_profile_choices",
            ),
        ),
        absent="the firmware offers no profiles here",
    ),
    Knob(
        name=KnobName.PREFERENCE,
        what="the CPU's own preference between performance and energy: performance",
        places=(
            Place(
                pattern=f"{_CPU}/cpufreq/policy*/energy_performance_preference",
                wanted="performance",
                offered="energy_performance_available_preferences",
            ),
        ),
        absent="the CPU has no such preference, or its driver does not show it",
    ),
)

FIELD = "tune"


def knob(name: KnobName) -> Knob:
    return next(each for each in KNOBS if each.name is name)


def files(found: Knob, root: Path) -> tuple[Place, list[Path]]:
    """The place of a knob on this device, and its files.

    Raises:
        InputError: it has none, or the kernel would not take the wanted value.
    """
    for place in found.places:
        paths = sorted(root.glob(place.pattern))
        if paths:
            for path in paths:
                _refuse_unoffered(found, place, path)
            return place, paths
    remedy = jetson_advice(root) or "Leave it out of --tune"
    raise InputError(FIELD, found.name, f"cannot be set: {found.absent}", remedy)


def _refuse_unoffered(found: Knob, place: Place, path: Path) -> None:
    if place.offered is None:
        return
    offered = first_line(path.with_name(place.offered))
    # A kernel that does not say what it offers is asked by writing.
    if offered is None or place.wanted in offered.split():
        return
    raise InputError(
        FIELD, found.name, f"cannot be set to {place.wanted}: the kernel offers {offered}",
        "Leave it out of --tune",
    )  # fmt: skip


def jetson_advice(root: Path = Path("/")) -> str | None:
    """What fixes a Jetson's clocks, for its owner to run; ``None`` on anything else.

    Those are commands of NVIDIA's and not values to write, and one may ask for a reboot.
    """
    current = jetson_current(root)
    if current is None:
        return None
    highest = jetson_highest(jetson_modes(root))
    clocks = "`sudo jetson_clocks --store && sudo jetson_clocks` (undo with --restore)"
    if highest is None:
        return f"Choose the mode with the highest clocks with `sudo nvpmodel -m N`, then {clocks}"
    if highest.number == current:
        return f"Fix the clocks with {clocks}"
    mode = f"`sudo nvpmodel -m {highest.number}` ({highest.name}; it may ask for a reboot)"
    return f"Run {mode}, then {clocks}"
