"""A fleet for the page to show: real wire types, hostile names, and gaps of every kind."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from agents.messages import (
    Axes,
    Device,
    DeviceList,
    DeviceState,
    Inventory,
    Job,
    JobList,
    JobRequest,
    JobState,
    JobWithRuns,
    Progress,
    Run,
    RunList,
    RunState,
    Versions,
)
from profiler import flags
from profiler.device.inventory import Catalogs
from profiler.events import Phase
from profiler.result import (
    AbsentSource,
    Energy,
    EnergyFigure,
    EnergyQuality,
    EnergyScope,
    Environment,
    FailureKind,
    InputInfo,
    Interval,
    Latency,
    Memory,
    ModelInfo,
    Provenance,
    RepetitionFigures,
    RunError,
    RunResult,
    RunStatus,
    SamplerReport,
)
from profiler.runtimes.table import RuntimeStatus
from profiler.spec import ArchitectureRef, Library, Precision, RunSpec, Runtime

# Would rename the page if it ran, by any of the usual ways.
SCRIPT = "<script>document.title='owned'</script>"
IMAGE = "<img src=x onerror=\"document.title='owned'\">"
QUOTE = '"><svg onload="document.title=\'owned\'">'

NO_P99 = "60 iterations are worth 42 independent ones; a 95 % interval needs 368"
NO_ENERGY = "no power sensor was found"
NO_ONNX = "onnxruntime is not installed"

META = {
    "version": "0.1.0",
    "url": "http://192.0.2.10:8470",
    "join_command": "fleetmark agent --coordinator http://192.0.2.10:8470 --token-file agent.token",
}

VERSIONS = Versions(fleetmark="0.1.0", protocol=1, ray="2.50.0", python="3.11.7")


def now() -> datetime:
    return datetime.now(timezone.utc)


# --- devices ---------------------------------------------------------------------------------


def device(name: str, state: DeviceState, *, reason: str | None = None, seen: int = 1) -> Device:
    return Device(
        id=f"device-{name}",
        name=name,
        state=state,
        state_reason=reason,
        labels={"room": "lab", "rack": "3"},
        inventory=Inventory(
            kind="cpu-board",
            hostname=name,
            machine="aarch64",
            board="Raspberry Pi 5 Model B Rev 1.0",
            cpu_model="Cortex-A76",
            cpu_count=4,
            memory_total_bytes=8 * 2**30,
            accelerators=(),
            runtimes=(
                RuntimeStatus(runtime=Runtime.TORCH, version="2.8.0+cpu"),
                RuntimeStatus(
                    runtime=Runtime.ONNXRUNTIME,
                    version=None,
                    reason=NO_ONNX,
                    remedy="pip install 'fleetmark[onnx]'",
                ),
            ),
            catalogs=Catalogs(),
            energy_sources=(),
            energy_reason=NO_ENERGY,
        ),
        versions=VERSIONS,
        address="192.0.2.21",
        metrics_port=9400,
        registered_at=now() - timedelta(days=2),
        last_seen_at=now() - timedelta(seconds=seen),
        current_run_id="run-live" if state is DeviceState.BUSY else None,
    )


def device_list() -> DeviceList:
    return DeviceList(
        devices=(
            device("pi5-a", DeviceState.BUSY),
            device("orin-1", DeviceState.ONLINE),
            device("pi5-b", DeviceState.OFFLINE, reason="not heard of for 95 s", seen=95),
            device(SCRIPT, DeviceState.JOINING, reason=f"its agent does not answer: {IMAGE}"),
        )
    )


# --- jobs ------------------------------------------------------------------------------------


def spec(runtime: Runtime = Runtime.TORCH, batch_size: int = 1) -> RunSpec:
    return RunSpec(
        model=ArchitectureRef(library=Library.TORCHVISION, name="resnet18"),
        runtime=runtime,
        batch_size=batch_size,
    )


def run(
    run_id: str,
    state: RunState,
    *,
    on: str = "pi5-a",
    progress: Progress | None = None,
    error: RunError | None = None,
    batch_size: int = 1,
) -> Run:
    return Run(
        id=run_id,
        job_id="job-live",
        device_id=f"device-{on}",
        device=on,
        spec=spec(batch_size=batch_size),
        state=state,
        attempt=2 if state is RunState.RUNNING else 1,
        max_attempts=3,
        progress=progress,
        error=error,
        created_at=now(),
        started_at=None if state is RunState.QUEUED else now(),
        finished_at=now() if state.final else None,
    )


def job(job_id: str, state: JobState, model: str, runs: dict[RunState, int]) -> Job:
    return Job(
        id=job_id,
        request=JobRequest(
            model=ArchitectureRef(library=Library.TORCHVISION, name="resnet18"),
            devices="pi5-a,orin-1",
            axes=Axes(runtime=(Runtime.TORCH,), precision=(Precision.FP32,), batch_size=(1, 8)),
        ),
        model=model,
        state=state,
        runs=runs,
        created_at=now() - timedelta(minutes=3),
    )


LIVE = Progress(
    phase=Phase.MEASURING,
    fraction=0.42,
    repetition=1,
    repetitions=5,
    iterations=310,
    p50_seconds=0.01234,
)


def live_job() -> JobWithRuns:
    counts = {
        RunState.RUNNING: 1,
        RunState.QUEUED: 1,
        RunState.SUCCEEDED: 1,
        RunState.FAILED: 1,
    }
    return JobWithRuns(
        job=job("job-live", JobState.RUNNING, "resnet18", counts),
        runs=(
            run("run-good", RunState.SUCCEEDED),
            run("run-live", RunState.RUNNING, progress=LIVE),
            run("run-next", RunState.QUEUED, batch_size=8),
            run("run-oom", RunState.FAILED, on="orin-1", error=OUT_OF_MEMORY),
        ),
    )


def job_list() -> JobList:
    return JobList(
        jobs=(
            live_job().job,
            job("job-done", JobState.SUCCEEDED, SCRIPT, {RunState.SUCCEEDED: 4}),
            job("job-bad", JobState.FAILED, "vit_b_16", {RunState.FAILED: 2}),
        )
    )


# --- results ---------------------------------------------------------------------------------

OUT_OF_MEMORY = RunError(
    kind=FailureKind.OUT_OF_MEMORY,
    message=f"the worker was killed while it loaded {IMAGE}",
    stderr_tail="terminate called after throwing an instance of 'std::bad_alloc'",
)


def latency(*, p99: Interval | None) -> Latency:
    return Latency(
        n=2400,
        n_effective=1310.4,
        mean=0.012512,
        minimum=0.011702,
        maximum=0.031877,
        median_absolute_deviation=0.000214,
        outliers=17,
        p50=Interval(value=0.0123401, low=0.0123012, high=0.0123804),
        p90=Interval(value=0.013402, low=0.013201, high=0.013655),
        p95=Interval(value=0.0141, low=0.0138, high=0.0146),
        p99=p99,
        p99_reason=None if p99 else NO_P99,
        p999=None,
        p999_reason="2275 iterations are worth 1310 independent ones; a 95 % interval needs 3688",
    )


def energy() -> Energy:
    def figure(channel: str, scope: EnergyScope, joules: float) -> EnergyFigure:
        return EnergyFigure(
            provenance=Provenance(
                source="rapl",
                channel=channel,
                scope=scope,
                quality=EnergyQuality.COUNTER,
                update_period_seconds=0.001,
                uncertainty=0.03,
            ),
            window_seconds=30.0,
            energy_joules=joules * 2400,
            joules_per_item=joules,
            mean_power_watts=joules * 81,
        )

    return Energy(
        headline=figure("package-0", EnergyScope.PACKAGE, 0.0871),
        others=(figure("core", EnergyScope.PACKAGE, 0.0612),),
    )


def environment() -> Environment:
    return Environment(
        os="Debian GNU/Linux 12 (bookworm)",
        kernel="6.6.51-rpi",
        architecture="aarch64",
        cpu_model="Cortex-A76",
        cpu_count=4,
        cpu_affinity=(0, 1, 2, 3),
        memory_total_bytes=8 * 2**30,
        board="Raspberry Pi 5 Model B Rev 1.0",
        virtualization=None,
        governors=("ondemand",),
        python="3.11.2",
        packages={"torch": "2.8.0+cpu", "numpy": "2.1.0"},
        worker_environment={"OMP_NUM_THREADS": "4"},
        load_average_1m=0.21,
        cpu_pressure_avg10=0.0,
        fleetmark="0.1.0",
    )


def repetition(index: int) -> RepetitionFigures:
    return RepetitionFigures(
        index=index,
        load_seconds=1.914 + index / 100,
        first_inference_seconds=0.0481,
        warmup_iterations=25,
        warmup_seconds=0.412,
        iterations=480,
        median_seconds=0.01234 + index / 100_000,
    )


def succeeded(
    run_id: str, *, model: str = "resnet18", on: str = "pi5-a", full: bool = True
) -> RunResult:
    """A measured run; not ``full``: what a device without sensors and a short budget gives."""
    return RunResult(
        run_id=run_id,
        job_id="job-live",
        status=RunStatus.SUCCEEDED,
        device=on,
        model=model,
        model_info=ModelInfo(
            source="torchvision",
            parameters=11_689_512 if full else None,
            parameters_reason=None if full else "the format does not tell",
        ),
        runtime="torch",
        runtime_version="2.8.0+cpu",
        precision="fp32",
        accelerator="cpu",
        threads=4,
        batch_size=1,
        inputs=(InputInfo(name="x", dtype="float32", shape=(1, 3, 224, 224)),),
        scenario="single_stream",
        seed=0,
        started_at=now() - timedelta(minutes=2),
        finished_at=now() - timedelta(minutes=1),
        latency=latency(p99=Interval(value=0.0171, low=0.0162, high=0.0189) if full else None),
        throughput_items_per_second=81.04,
        repetitions=tuple(repetition(index) for index in range(5)),
        memory=Memory(
            peak_rss_bytes=412 * 2**20,
            rss_before_load_bytes=190 * 2**20,
            rss_anonymous_bytes=300 * 2**20,
            rss_file_bytes=112 * 2**20,
            peak_rss_anonymous_bytes=296 * 2**20,
            peak_rss_file_bytes=116 * 2**20,
            tree_peak_rss_bytes=412 * 2**20,
            tree_processes=1,
            cgroup_reason="this process is in no control group of version 2",
            accelerator_reason="the run was on the CPU",
            accelerator_process_reason="the run was on the CPU",
            unified_reason="the run was on the CPU",
        )
        if full
        else None,
        memory_reason=None if full else "the memory pass failed",
        energy=energy() if full else None,
        energy_reason=None if full else NO_ENERGY,
        sensors_absent=(
            AbsentSource(source="nvml", reason="no NVIDIA driver is loaded"),
            AbsentSource(
                source="rapl",
                reason="/sys/class/powercap is not readable",
                remedy="allow it with a udev rule",
            ),
        ),
        sampler=SamplerReport(
            readings=300,
            failed_readings=0,
            missed_ticks=1,
            largest_gap_seconds=0.11,
            cpu_seconds=0.2,
            cpu_affinity=(3,),
            sources=("system", "thermal"),
        ),
        clock_overhead_seconds=4e-8,
        flags=() if full else (flags.single_repetition(), flags.not_steady(2, 12.0)),
        environment=environment(),
        phases_seconds={"load": 9.6, "warmup": 2.1, "measure": 30.2},
    )


def failed(run_id: str, error: RunError, *, model: str, on: str) -> RunResult:
    return succeeded(run_id, model=model, on=on, full=False).model_copy(
        update={
            "status": RunStatus.FAILED,
            "error": error,
            "latency": None,
            "latency_reason": "the run failed",
            "throughput_items_per_second": None,
            "repetitions": (),
            "flags": (),
            "environment": None,
            "environment_reason": "the worker ended before it was read",
        }
    )


def run_list() -> RunList:
    return RunList(
        runs=(
            succeeded("run-good"),
            succeeded("run-bare", model="mobilenet_v3_small", on="orin-1", full=False),
            succeeded("run-script", model=SCRIPT, on=QUOTE, full=False),
            failed("run-oom", OUT_OF_MEMORY, model="vit_b_16", on="orin-1"),
        ),
        pending=(run("run-live", RunState.RUNNING, progress=LIVE),),
    )
