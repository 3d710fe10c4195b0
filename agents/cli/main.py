"""The ``fleetmark`` command. Nothing heavy is imported on the way to ``--help``."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from agents.cli import (
    baseline,
    boards,
    compare,
    demo,
    doctor,
    fleet,
    local,
    models,
    overhead,
    sensors,
    serve,
    show,
)
from agents.client import ApiError, Unreachable
from profiler.device.environment import fleetmark_version
from profiler.errors import FleetmarkError, InputError

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130
# What is wrong with the command line itself. Typer stood on click and then took it in: the class
# has moved from one to the other, and only its descendants have kept their names.
_USAGE_ERROR: Any = next(k for k in typer.BadParameter.__mro__ if k.__name__ == "ClickException")
# What the API calls the user's mistake.
CLIENT_ERRORS = (400, 401, 403, 404, 409, 410, 422)

app = typer.Typer(
    name="fleetmark",
    help="Measure how fast, how hot and how hungry a model is, on every device that you own.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command(rich_help_panel="Fleet")(serve.coordinator)
app.command()(serve.agent)
app.command()(serve.link)
app.add_typer(fleet.devices_app, name="devices")
app.command()(fleet.submit)
app.add_typer(models.models_app, name="models")
app.command()(fleet.jobs)
app.command()(fleet.runs)
app.command()(fleet.watch)
app.command()(fleet.cancel)
app.command()(local.run)
app.command()(sensors.sensors)
app.command()(local.runtimes)
app.command()(compare.compare)
app.add_typer(baseline.baseline_app, name="baseline")
app.command()(doctor.doctor)
app.command()(overhead.overhead)
app.add_typer(boards.dashboards_app, name="dashboards")
app.command()(demo.demo)


def _version(value: bool) -> None:
    if value:
        print(f"fleetmark {fleetmark_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Measure how fast, how hot and how hungry a model is, on every device that you own."""


def main() -> None:
    """Run the command; errors that are ours become a sentence and an exit status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status: 0, 1 when a run or the fleet failed, 2 for bad input, 130 for Ctrl-C."""
    try:
        status = app(arguments, prog_name="fleetmark", standalone_mode=False)
        # Here, and not at exit, where a reader that has left could not be told from an error.
        sys.stdout.flush()
    except _USAGE_ERROR as error:
        error.show()
        return int(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except FleetmarkError as error:
        show.note(f"fleetmark: {error}")
        return _status_of(error)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        show.note(f"fleetmark: {error}")
        return FAILED
    return status if isinstance(status, int) else 0


def _status_of(error: FleetmarkError) -> int:
    if isinstance(error, InputError):
        return BAD_INPUT
    if isinstance(error, ApiError):
        return BAD_INPUT if error.status in CLIENT_ERRORS else FAILED
    return BAD_INPUT if isinstance(error, Unreachable) else FAILED


if __name__ == "__main__":
    main()
