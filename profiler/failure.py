"""The result of a run that has no figures: typed, never empty data."""

from __future__ import annotations

from datetime import datetime, timezone

from profiler.result import Environment, ModelInfo, RunError, RunResult, RunStatus
from profiler.spec import ArchitectureRef, ArtifactRef, RunSpec


def source_of(model: ArchitectureRef | ArtifactRef) -> str:
    """The model as a user names it: ``torchvision:resnet18``, or the file's name."""
    return model.name if isinstance(model, ArtifactRef) else f"{model.library}:{model.name}"


def result_without_figures(
    *,
    run_id: str,
    attempt: int,
    job_id: str | None,
    device: str,
    spec: RunSpec,
    status: RunStatus,
    error: RunError,
    started_at: datetime,
    environment: Environment | None,
    environment_reason: str | None = None,
) -> RunResult:
    """A failed or cancelled run as a result; every figure is null, with the reason."""
    why = f"the run {status.value}: {error.message}" if status is RunStatus.FAILED else "cancelled"
    return RunResult(
        run_id=run_id,
        attempt=attempt,
        job_id=job_id,
        status=status,
        error=error if status is RunStatus.FAILED else None,
        device=device,
        model=spec.model.label,
        model_info=ModelInfo(
            source=source_of(spec.model),
            digest=spec.model.digest if isinstance(spec.model, ArtifactRef) else None,
            parameters_reason=why,
        ),
        runtime=spec.runtime,
        precision=None,
        accelerator=None,
        threads=None,
        batch_size=spec.batch_size,
        scenario=spec.scenario,
        seed=spec.seed,
        started_at=started_at,
        finished_at=datetime.now(timezone.utc),
        latency=None,
        latency_reason=why,
        throughput_items_per_second=None,
        memory=None,
        memory_reason=why,
        energy=None,
        energy_reason=why,
        environment=environment,
        environment_reason=environment_reason,
    )
