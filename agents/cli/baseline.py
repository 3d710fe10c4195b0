"""``fleetmark baseline``: what the runs of a configuration are compared with."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.cli import arguments, connection, show
from agents.verdicts import Standing, StandingList
from profiler import units

baseline_app = typer.Typer(no_args_is_help=True)

RunId = Annotated[str, typer.Argument(help="Id of a run; `fleetmark runs --json` lists them.")]
_COLUMNS = (
    "device", "model", "runtime", "precision", "batch", "threads", "inputs", "verdict", "ratio",
    "latest run", "baseline", "when",
)  # fmt: skip


@baseline_app.callback()
def baseline() -> None:
    """Choose which run the later ones are compared with, and see how they stand.

    \b
    Examples:
      fleetmark baseline show
      fleetmark baseline set 4f1c09aa7d2e6b35
    """


@baseline_app.command("set")
def set_(
    run: RunId,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Compare what this run measured with it from now on, instead of with the run before.

    \b
    Example:
      fleetmark baseline set 4f1c09aa7d2e6b35
    """
    _print(connection.connect(coordinator, token_file).pin_baseline(run), as_json=as_json)


@baseline_app.command("clear")
def clear(
    run: RunId,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Compare with the run before again; any run of the configuration names it.

    \b
    Example:
      fleetmark baseline clear 4f1c09aa7d2e6b35
    """
    _print(connection.connect(coordinator, token_file).unpin_baseline(run), as_json=as_json)


@baseline_app.command("show")
def show_(
    device: Annotated[str | None, typer.Option(help="Only this device's.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Show the latest run of every configuration against its baseline.

    \b
    Examples:
      fleetmark baseline show
      fleetmark baseline show --device pi5-a --json
    """
    found = connection.connect(coordinator, token_file).standings(device, model)
    if as_json:
        show.json_out(found)
    elif found.standings:
        _table(found)
    else:
        show.note("No successful run yet. Try `fleetmark submit torchvision:resnet18 --wait`.")


def _print(found: Standing, *, as_json: bool) -> None:
    if as_json:
        show.json_out(found)
    else:
        _table(StandingList(standings=(found,)))


def _table(found: StandingList) -> None:
    show.grid(_COLUMNS, [_row(standing) for standing in found.standings])
    for standing in found.standings:
        verdict = standing.verdict
        if verdict is not None and verdict.reason is not None:
            show.note(f"{standing.run_id}: {verdict.sentence}")


def _row(standing: Standing) -> tuple[str, ...]:
    of, verdict = standing.configuration, standing.verdict
    return (
        of.device,
        of.model,
        of.runtime,
        of.precision or units.NOTHING,
        str(of.batch_size),
        units.NOTHING if of.threads is None else str(of.threads),
        of.inputs,
        verdict.verdict.value if verdict else f"none: {standing.reason}",
        _ratio(standing),
        standing.run_id,
        _baseline(standing),
        show.ago(standing.received_at),
    )


def _ratio(standing: Standing) -> str:
    ratio = standing.verdict.ratio if standing.verdict else None
    if ratio is None:
        return units.NOTHING
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.3f}"
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def _baseline(standing: Standing) -> str:
    if standing.pinned_run_id is not None:
        return f"{standing.pinned_run_id} (chosen)"
    return standing.verdict.baseline_run_id if standing.verdict else units.NOTHING
