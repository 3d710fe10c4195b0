"""Made-up results that look like measured ones, for the page to show."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from profiler import flags
from profiler.result import (
    AtUsualSpeed,
    Experience,
    Interval,
    Latency,
    ModelInfo,
    OverRuns,
    RepetitionFigures,
    RunResult,
    RunStatus,
    Sentinel,
)
from profiler.samples import UNKNOWN, Blocks, Iterations, Recording, SentinelSlices
from profiler.spec import RunSpec
from tests.web import page_data as data

REPETITIONS = 5
COUNT = 480

# Seconds of one call on the slowest of the devices, megabytes at the peak, parameters.
MODELS = {
    "resnet18": (0.0212, 412, 11_689_512),
    "resnet50": (0.0571, 560, 25_557_032),
    "mobilenet_v3_small": (0.0048, 290, 2_542_856),
    "mobilenet_v3_large": (0.0112, 310, 5_483_032),
    "efficientnet_b0": (0.0196, 340, 5_288_548),
    "vit_b_16": (0.2131, 980, 86_567_656),
}
SPEED = {"pi5-a": 1.0, "pi5-b": 1.02, "orin-1": 0.34, "nuc-13": 0.21, "rtx-4090": 0.05}


def iterations(p50: float, seed: int) -> Iterations:
    """Five processes, each a little different, with a tail, a few stalls and a warm-up."""
    random = np.random.default_rng(seed)
    parts = []
    clock = 10**12
    for index in range(REPETITIONS):
        level = p50 * (1 + 0.004 * random.standard_normal())
        shape = random.gamma(2.0, 0.012, COUNT) - 0.02
        seconds = level * (1 + shape)
        seconds[random.random(COUNT) < 0.02] *= 1.3
        seconds[:25] *= 1 + np.linspace(0.8, 0.05, 25)
        seconds[random.integers(60, COUNT)] *= 2.4
        lengths = (seconds * 1e9).astype(np.int64)
        starts = clock + np.concatenate([[0], np.cumsum(lengths + 20_000)[:-1]])
        clock = int(starts[-1]) + 4 * 10**9
        parts.append(
            Iterations(
                repetition=np.full(COUNT, index, np.uint16),
                warmup=np.arange(COUNT) < 25,
                start_ns=starts,
                latency_ns=lengths,
                device_ns=np.full(COUNT, UNKNOWN, np.int64),
            )
        )
    return Iterations.concatenate(parts)


def recording(rows: Iterations) -> Recording:
    return Recording(rows, Blocks.empty(), SentinelSlices.empty())


def write_trace(path: Path, rows: Iterations) -> None:
    """What sensors read meanwhile, in the columns in which a run's are kept."""
    random = np.random.default_rng(1)
    parts: list[tuple[int, str, int, float]] = []
    for index in np.unique(rows.repetition):
        mine = rows.repetition == index
        first, last = int(rows.start_ns[mine][0]), int(rows.start_ns[mine][-1])
        for step, time_ns in enumerate(np.linspace(first, last, 60).astype(np.int64)):
            warm = 1 - np.exp(-step / 9)
            for channel, value in (
                ("rapl/package-0/power_watts", 4.2 + 6.1 * warm + 0.2 * random.standard_normal()),
                ("rapl/dram/power_watts", 1.1 + 0.5 * warm + 0.05 * random.standard_normal()),
                ("cpufreq/policy0/clock_hertz", 2.4e9 - 2e8 * (step > 40)),
                ("thermal/cpu/temperature_celsius", 48 + 9 * warm + 1.2 * float(index)),
            ):
                parts.append((int(index), channel, int(time_ns), float(value)))
    repetition, channel, time_ns, value = zip(*parts, strict=True)
    table = pa.table(
        {
            "repetition": pa.array(repetition, pa.uint16()),
            "channel": pa.array(channel).dictionary_encode(),
            "time_ns": pa.array(time_ns, pa.int64()),
            "value": pa.array(value, pa.float64()),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _interval(values: np.ndarray, q: float, width: float) -> Interval:
    value = float(np.quantile(values, q))
    return Interval(value=value, low=value * (1 - width), high=value * (1 + width))


def _latency(rows: Iterations) -> Latency:
    values = rows.timed_seconds()
    middle = float(np.median(values))
    return Latency(
        n=len(values),
        n_effective=len(values) * 0.58,
        mean=float(values.mean()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        median_absolute_deviation=float(np.median(np.abs(values - middle))),
        outliers=37,
        p50=_interval(values, 0.5, 0.004),
        p90=_interval(values, 0.9, 0.008),
        p95=_interval(values, 0.95, 0.012),
        p99=_interval(values, 0.99, 0.04),
        p999=None,
        p999_reason="2275 iterations are worth 1310 independent ones; a 95 % interval needs 3688",
    )


def _speed(latency: Latency) -> dict[str, object]:
    """What the sentinel and the device's earlier runs tell."""
    assert latency.p50 is not None
    middle = latency.p50.value

    def around(value: float, width: float) -> Interval:
        return Interval(value=value, low=value * (1 - width), high=value * (1 + width))

    return {
        "sentinel": Sentinel(
            kind="layers-3/numpy-2.4.6",
            slices=140,
            seconds=around(0.0035, 0.01),
            drift=0.013,
            relative_p50=around(middle / 0.0035, 0.01),
        ),
        "over_runs": OverRuns(
            runs=12,
            of=Experience.DEVICE,
            relative_sd=0.03,
            freedom=7.5,
            p50=around(middle, 0.07),
        ),
        "at_usual_speed": AtUsualSpeed(
            runs=5,
            exponent=0.72,
            exponent_sd=0.1,
            sentinel_seconds=0.0034,
            relative_sd=0.01,
            freedom=3.0,
            p50=around(middle * 0.98, 0.03),
        ),
    }


def result(
    spec: RunSpec,
    device: str,
    rows: Iterations,
    *,
    ended: datetime | None = None,
    flagged: bool = False,
) -> RunResult:
    """What a device would have reported of these iterations."""
    seconds, megabytes, parameters = MODELS.get(spec.model.name, (0.02, 300, 1_000_000))
    latency = _latency(rows)
    groups = rows.timed_groups()
    ended = ended or datetime.now(timezone.utc)
    energy = data.energy() if device != "pi5-b" else None
    if energy is not None:
        joules = seconds * 9.0
        figure = energy.headline.model_copy(
            update={"joules_per_item": joules, "mean_power_watts": 9.0}
        )
        energy = energy.model_copy(update={"headline": figure})
    return data.succeeded("run", model=spec.model.label, on=device).model_copy(
        update={
            "status": RunStatus.SUCCEEDED,
            "runtime": spec.runtime.value,
            "batch_size": spec.batch_size,
            "accelerator": "cuda:0" if device == "rtx-4090" else "cpu",
            "threads": spec.threads or 4,
            "latency": latency,
            "throughput_items_per_second": spec.batch_size / latency.mean,
            "memory": data.succeeded("run").memory.model_copy(  # type: ignore[union-attr]
                update={"peak_rss_bytes": megabytes * 2**20}
            ),
            "energy": energy,
            "energy_reason": None if energy else data.NO_ENERGY,
            "model_info": ModelInfo(
                source=f"torchvision:{spec.model.name}",
                parameters=parameters,
                size_bytes=parameters * 4,
            ),
            "repetitions": tuple(
                RepetitionFigures(
                    index=index,
                    load_seconds=1.9 + index / 100,
                    first_inference_seconds=latency.maximum,
                    warmup_iterations=25,
                    warmup_seconds=0.4,
                    iterations=len(group),
                    median_seconds=float(np.median(group)),
                )
                for index, group in enumerate(groups)
            ),
            **_speed(latency),
            "flags": (flags.single_repetition(), flags.not_steady(2, 12.0)) if flagged else (),
            "started_at": ended - timedelta(minutes=1),
            "finished_at": ended,
        }
    )
