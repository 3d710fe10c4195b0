"""What has to be said of a run's energy besides its figures. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from profiler import flags
from profiler.energy.figures import part_of
from profiler.result import Energy, EnergyFigure, EnergyQuality, Flag
from profiler.sensors.base import Quantity

# Two ways to one figure, or two moments of idling, that differ by more are not one (SENSORS).
APART = 0.05


def flags_of(energy: Energy, calibration_errors: Mapping[str, float]) -> Iterator[Flag]:
    """The flags of a run's energy.

    Args:
        energy: of the run.
        calibration_errors: by the channel's key. A sensor's own error is no excuse for two of its
            answers to differ, so it is taken out of the uncertainty there.
    """
    figures = (energy.headline, *energy.others)
    for counter in figures:
        for power in figures:
            if _one_sensor(counter, power):
                apart = disagreement(counter, power, calibration_errors)
                if apart is not None:
                    yield flags.energy_disagree(
                        f"{counter.provenance.source}/{counter.provenance.channel}",
                        counter.mean_power_watts,
                        power.mean_power_watts,
                        apart,
                    )
    drift = idle_drift(energy.headline)
    if drift is not None and energy.headline.idle is not None:
        yield flags.idle_power_drift(energy.headline.idle, drift)


def _one_sensor(counter: EnergyFigure, power: EnergyFigure) -> bool:
    first, second = counter.provenance, power.provenance
    return (
        first.source == second.source
        and first.scope is second.scope
        and part_of(first.channel) == part_of(second.channel)
        and first.quality is EnergyQuality.COUNTER
        and second.quality is EnergyQuality.INTEGRATED
    )


def disagreement(
    counter: EnergyFigure, power: EnergyFigure, calibration_errors: Mapping[str, float]
) -> float | None:
    """How far a counter and the integrated power of one sensor are apart, relative to the counter.

    ``None``: by no more than ``APART``, or than the edges of so short a window can explain.
    """
    apart = abs(counter.mean_power_watts - power.mean_power_watts) / counter.mean_power_watts
    explained = _timing(counter, Quantity.ENERGY, calibration_errors)
    explained += _timing(power, Quantity.POWER, calibration_errors)
    return apart if apart > max(APART, explained) else None


def _timing(figure: EnergyFigure, quantity: Quantity, errors: Mapping[str, float]) -> float:
    source = figure.provenance
    key = f"{source.source}/{source.channel}/{quantity.value}"
    return max(0.0, source.uncertainty - errors.get(key, 0.0))


def idle_drift(figure: EnergyFigure) -> float | None:
    """How far idle power before and after are apart, relative to their mean.

    ``None``: not known, by no more than ``APART``, or than so short a stretch can tell.
    """
    idle = figure.idle
    if idle is None or idle.drift is None:
        return None
    # Each side is off by its own, the mean by half of both.
    explained = 2 * idle.uncertainty_watts / idle.watts
    return idle.drift if idle.drift > max(APART, explained) else None
