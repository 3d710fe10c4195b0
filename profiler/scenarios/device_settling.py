"""``sustained`` and its device: when the device had settled, and the latency from then on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler import stats
from profiler.result import Latency, SustainedReport
from profiler.samples import Iterations
from profiler.scenarios import settling, sustained
from profiler.sensors.trace import Trace


class _Load(NamedTuple):
    """What one process did: nanoseconds of ``perf_counter_ns``, one for each timed iteration."""

    began_ns: int
    start_ns: NDArray[np.int64]
    latency_ns: NDArray[np.int64]


def describe(iterations: Iterations, trace: Trace | None) -> SustainedReport:
    """Of the repetition that lasted longest: processes that began cool again do not add up.

    Args:
        iterations: of all repetitions, warm-ups included.
        trace: what the sampler read; ``None`` with the sampler off.
    """
    load = _longest(iterations)
    found = sustained.describe(load.start_ns, load.latency_ns)
    if trace is None:
        return _unknown(found, "the sampler was off")
    if trace.lost is not None:
        return _unknown(found, f"the sampler was lost: {trace.lost}")
    begin, since = float(load.start_ns[0]) / 1e9, load.began_ns / 1e9
    end = float(load.start_ns[-1] + load.latency_ns[-1]) / 1e9
    state = settling.settling(trace.series, end, since)
    if state.unknown is not None:
        return _unknown(found, state.unknown)
    settled = settling.settled_since(trace.series, begin, end, since)
    if settled is None:
        why = "; ".join(state.waiting_for)
        return found.model_copy(
            update={
                "device_settled": False,
                "device_settled_reason": why,
                "settled_latency_reason": f"the device had not settled at the end: {why}",
            }
        )
    latency, reason = _from(load, settled)
    return found.model_copy(
        update={
            "device_settled": True,
            "device_settled_after_seconds": settled - begin,
            "settled_latency": latency,
            "settled_latency_reason": reason,
        }
    )


def _longest(iterations: Iterations) -> _Load:
    timed = iterations.timed()
    index = int(np.argmax(np.bincount(timed.repetition)))
    mine = timed.repetition == index
    began = iterations.start_ns[iterations.repetition == index][0]
    return _Load(int(began), timed.start_ns[mine], timed.latency_ns[mine])


def _unknown(found: SustainedReport, reason: str) -> SustainedReport:
    return found.model_copy(
        update={
            "device_settled_reason": reason,
            "settled_latency_reason": f"whether the device had settled is not known: {reason}",
        }
    )


def _from(load: _Load, settled: float) -> tuple[Latency | None, str | None]:
    later = load.latency_ns[load.start_ns >= settled * 1e9]
    if not len(later):
        return None, "no iteration began after the device had settled"
    return stats.summarise([np.asarray(later / 1e9, dtype=np.float64)]), None
