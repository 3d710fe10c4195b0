"""What is measured in a random order is shown in the order that was asked for."""

from __future__ import annotations

import random

from agents.cli.ordering import as_asked
from agents.messages import Axes, Job, JobState, JobWithRuns
from profiler.spec import Precision, Runtime
from tests.builders import NOW, make_request, make_result, make_run, make_spec


def test_device_by_device_and_along_the_axes_as_written() -> None:
    axes = Axes(
        runtime=(Runtime.TORCH, Runtime.ONNXRUNTIME), batch_size=(8, 1),
        precision=(Precision.FP32, Precision.FP16), resolution=((224, 224), None),
    )  # fmt: skip
    runs = [
        make_run(
            id=f"{device}-{runtime}-{precision}-{size}-{pixels}",
            device=device,
            spec=make_spec(
                runtime=runtime, precision=precision, batch_size=size, resolution=pixels
            ),
        )
        for device in ("pi5-b", "pi5-a")
        for runtime in axes.runtime
        for precision in axes.precision
        for size in axes.batch_size
        for pixels in axes.resolution
    ]
    wanted = [run.id for run in runs]
    # The first device that is seen stays first: that is the selector's order.
    mixed = runs[:1] + random.Random(1).sample(runs[1:], len(runs) - 1)
    job = Job(
        id="job1", request=make_request(axes=axes), model="resnet18", state=JobState.SUCCEEDED,
        runs={}, created_at=NOW,
    )  # fmt: skip
    found = JobWithRuns(job=job, runs=tuple(mixed))
    results = [make_result(run_id=run.id) for run in reversed(mixed)]
    assert [result.run_id for result in as_asked(found, results)] == wanted
