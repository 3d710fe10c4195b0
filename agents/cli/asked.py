"""The measurement that ``run`` and ``submit`` are asked for: one set of options, one request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.cli import arguments, measurement, options
from agents.messages import Axes, JobRequest
from profiler.contradictions import refuse_deadline, refuse_idle_options
from profiler.spec import Precision, Runtime


@dataclass(frozen=True)
class Asked:
    """Options as texts; ``None`` where the default depends on others, or is to be told apart."""

    model: arguments.Model
    runtime: arguments.Runtimes = None
    precision: arguments.Precisions = "fp32"
    batch_size: arguments.BatchSizes = "1"
    threads: arguments.Threads = None
    resolution: arguments.Resolutions = None
    accelerator: arguments.Accelerator = "auto"
    scenario: arguments.ScenarioName = "single_stream"
    rate: arguments.Rate = None
    latency_bound: arguments.LatencyBound = None
    max_time: arguments.MaxTime = 10.0
    settle_time: arguments.SettleTime = None
    repetitions: arguments.Repetitions = None
    quick: arguments.Quick = False
    target: arguments.Target = None
    percentile: arguments.Percentile = None
    timeout: arguments.Timeout = 600.0
    memory_limit: arguments.MemoryLimit = None
    input_: arguments.Inputs = None
    seed: arguments.Seed = 0

    def request(self, devices: str = "all") -> tuple[JobRequest, Path | None]:
        """All of it as a request, and the model's file where it is one.

        Raises:
            InputError: an option makes no sense, alone or beside another.
        """
        ref, path = options.model(self.model, self.seed)
        scenario = measurement.scenario_of(self.scenario)
        effort = measurement.effort(self.repetitions, self.max_time, scenario, quick=self.quick)
        percentile = self.percentile or "p50"
        request = options.build(
            JobRequest,
            model=ref,
            devices=devices,
            axes=self._axes(),
            accelerator=self.accelerator,
            inputs=options.inputs(self.input_),
            scenario=scenario,
            server=measurement.server_of(scenario, self.rate, self.latency_bound, self.percentile),
            stop=measurement.stop_of(self.target or "1%", percentile),
            repetitions=effort.repetitions,
            max_time_seconds=effort.max_time_seconds,
            timeout_seconds=self.timeout,
            memory_limit_bytes=options.mebibytes("memory-limit", self.memory_limit),
            seed=self.seed,
            **({} if self.settle_time is None else {"settle_seconds": self.settle_time}),
        )
        refuse_idle_options(
            scenario,
            target=self.target,
            percentile=self.percentile,
            settle_time=self.settle_time,
        )
        refuse_deadline(self.timeout, request.max_time_seconds)
        return request, path

    def _axes(self) -> Axes:
        runtime, threads = self.runtime, self.threads
        return options.build(
            Axes,
            runtime=options.choices("runtime", runtime, Runtime) if runtime is not None else (),
            precision=options.choices("precision", self.precision, Precision),
            batch_size=options.whole_numbers("batch-size", self.batch_size),
            threads=options.whole_numbers("threads", threads) if threads is not None else (None,),
            resolution=measurement.resolutions(self.resolution),
        )
