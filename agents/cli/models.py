"""Models that were measured: list them, and let those go that one is done with."""

from __future__ import annotations

import typer

from agents.cli import arguments, connection, show

models_app = typer.Typer(invoke_without_command=True)


@models_app.callback()
def models(
    context: typer.Context,
    coordinator: arguments.Url = None,
    token_file: arguments.TokenFile = None,
    as_json: arguments.AsJson = False,
) -> None:
    """List the models that there are results of, the one measured last first.

    \b
    Examples:
      fleetmark models
      fleetmark models --json
      fleetmark models remove resnet18-before
    """
    if context.invoked_subcommand is not None:
        return
    found = connection.connect(coordinator, token_file).measured_models()
    if as_json:
        show.json_out(found)
        return
    if not found.models:
        show.note("Nothing has been measured yet. `fleetmark submit MODEL` does that.")
        return
    rows = [
        (each.model, str(each.devices), str(each.results), show.ago(each.last_result_at))
        for each in found.models
    ]
    show.grid(("model", "devices", "results", "last result"), rows)


@models_app.command("remove")
def remove(
    name: str, coordinator: arguments.Url = None, token_file: arguments.TokenFile = None
) -> None:
    """Be done with a model: its results stay, metrics, boards and baselines lose it.

    It is back with the first result that comes after.

    \b
    Example:
      fleetmark models remove resnet18-before
    """
    connection.connect(coordinator, token_file).remove_model(name)
    show.note(f"{name} was removed from metrics, boards and standings; its results stay")
