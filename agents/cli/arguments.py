"""Options that more than one command takes, with their help, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from profiler.spec import REPETITIONS

Model = Annotated[
    str, typer.Argument(help="torchvision:NAME, timm:NAME, or a .pt, .pt2 or .onnx file.")
]
Runtimes = Annotated[
    str | None, typer.Option(help="torch, torchscript, torch_export, onnxruntime.")
]
Precisions = Annotated[str, typer.Option(help="fp32, fp16, bf16.")]
BatchSizes = Annotated[str, typer.Option(help="Items per iteration.")]
Threads = Annotated[str | None, typer.Option(help="Threads in an operator. Default: all CPUs.")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
MaxTime = Annotated[float, typer.Option(help="Seconds to load, warm up and measure.")]
SettleTime = Annotated[
    float | None,
    typer.Option(
        help="For --scenario sustained: it goes on beyond --max-time until clocks and temperatures "
        "have settled, but for so many seconds in all at most; 0: never. Default: 600."
    ),
]
Repetitions = Annotated[
    int | None,
    typer.Option(
        help=f"Fresh processes to measure in. Default: {REPETITIONS}; 1 for --scenario sustained."
    ),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="A first look: one process, a fifth of --max-time.")
]
Target = Annotated[
    str | None,
    typer.Option(
        help="Enough is measured when the interval is this narrow; 0: use all the time. "
        "Default: 1%."
    ),
]
Percentile = Annotated[
    str | None,
    typer.Option(
        help="Whose interval --target and --latency-bound are about: p50 to p999. Default: p50, "
        "and p99 for --latency-bound."
    ),
]
Resolutions = Annotated[
    str | None, typer.Option(help="Height and width of images: 224 or 160x120.")
]
ScenarioName = Annotated[
    str, typer.Option("--scenario", help="single_stream, offline, server, sustained.")
]
Rate = Annotated[
    float | None, typer.Option(help="Calls per second that arrive, for --scenario server.")
]
LatencyBound = Annotated[
    float | None,
    typer.Option(help="Search the highest rate with --percentile within so many seconds."),
]
Timeout = Annotated[float, typer.Option(help="Seconds until a run is ended.")]
MemoryLimit = Annotated[float | None, typer.Option(help="MiB above which a run is ended.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", help="name:dtype:shape such as x:float32:1x3x224x224; repeatable."),
]
Seed = Annotated[int, typer.Option(help="Of random weights and inputs.")]
Sensors = Annotated[
    list[str] | None,
    typer.Option(
        "--sensor", help="Read this source only, or replay:FILE; may be repeated. Default: all."
    ),
]
Meters = Annotated[
    Path | None,
    typer.Option(help="File of the external meters. Default: the one in FLEETMARK_METERS."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print data instead of a table.")]

Url = Annotated[
    str | None,
    typer.Option("--coordinator", help="URL of the coordinator. Default: the one that runs here."),
]
TokenFile = Annotated[Path | None, typer.Option(help="The coordinator's admin.token, mode 0600.")]
