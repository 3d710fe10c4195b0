"""``fleetmark dashboards``: the boards, for a Grafana that is there already."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from agents.cli import arguments, show
from agents.secretfile import read_secret
from dashboards import publish, shipped
from profiler.base import Frozen
from profiler.device.environment import fleetmark_version
from profiler.errors import FleetmarkError, InputError

dashboards_app = typer.Typer(no_args_is_help=True)

TOKEN_VARIABLE = "GRAFANA_TOKEN"  # noqa: S105 - a name
LOCAL = ("localhost", "127.0.0.1", "::1")

DatasourceUid = Annotated[
    str | None,
    typer.Option(help="Prometheus that the boards open with. Default: the one of Grafana."),
]
CoordinatorUrl = Annotated[
    str | None,
    typer.Option("--coordinator", help="Where links to runs lead: the coordinator's page."),
]


class Changed(Frozen):
    """A board, and what became of it."""

    uid: str
    title: str
    change: str
    differences: tuple[str, ...]
    where: str


class Changes(Frozen):
    """What ``--json`` prints."""

    folder: str
    dry_run: bool
    boards: tuple[Changed, ...]


@dashboards_app.callback()
def dashboards() -> None:
    """Boards for Grafana: into one that is there, or as files.

    \b
    Examples:
      fleetmark dashboards push --url http://grafana:3000 --token-file grafana.token
      fleetmark dashboards export ./boards
    """


@dashboards_app.command()
def push(
    url: Annotated[str, typer.Option(help="Of Grafana's start page.")],
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"A service account's token, mode 0600. Default: {TOKEN_VARIABLE}."),
    ] = None,
    folder: Annotated[str, typer.Option(help="Folder for the boards; made if new.")] = "fleetmark",
    datasource_uid: DatasourceUid = None,
    coordinator: CoordinatorUrl = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change.")] = False,
    as_json: arguments.AsJson = False,
) -> None:
    """Bring the boards into a Grafana that is there; what is as it should be is left alone.

    Changes that were made to the boards in Grafana are undone: they are named, --dry-run names them
    before, and Grafana keeps them in a board's history. Make a copy to have one of your own.

    Exit status: 0 the boards are there; 1 Grafana refused; 2 bad input, no Grafana there.

    \b
    Examples:
      fleetmark dashboards push --url https://grafana.lab:3000 --token-file grafana.token --dry-run
      fleetmark dashboards push --url http://localhost:3000 --coordinator http://10.0.0.5:8470
    """
    target = publish.Target(_grafana(url), _token(token_file))
    _warn_of_plain_http(target.url)
    try:
        done = publish.push(
            target,
            _boards(datasource_uid, coordinator),
            folder,
            datasource_uid,
            f"fleetmark {fleetmark_version()}",
            dry_run=dry_run,
        )
    except publish.Unusable as error:
        raise InputError(error.field, error.value, error.problem, error.remedy) from error
    except publish.Refused as error:
        raise FleetmarkError(str(error)) from error
    except ModuleNotFoundError as error:
        raise FleetmarkError(
            f"{error.name} is not installed: pip install 'fleetmark[grafana]'"
        ) from error
    boards = tuple(
        Changed(
            uid=each.uid,
            title=each.title,
            change=each.change,
            differences=each.differences,
            where=each.url,
        )
        for each in done.boards
    )
    _tell(Changes(folder=done.folder, dry_run=dry_run, boards=boards), as_json=as_json)
    if done.folder_created:
        show.note(f"folder {done.folder!r} {'would be' if dry_run else 'was'} created")


@dashboards_app.command()
def export(
    directory: Annotated[Path, typer.Argument(help="Where the files go; made if new.")],
    datasource_uid: DatasourceUid = None,
    coordinator: CoordinatorUrl = None,
    as_json: arguments.AsJson = False,
) -> None:
    """Write the boards as JSON files, to import or to provision.

    \b
    Example:
      fleetmark dashboards export /var/lib/grafana/dashboards
    """
    if directory.exists() and not directory.is_dir():
        raise InputError("directory", directory, "is a file", "Give a directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        boards = tuple(
            _written(directory / f"{uid}.json", board)
            for uid, board in _boards(datasource_uid, coordinator).items()
        )
    except OSError as error:
        raise InputError(
            "directory", directory, f"cannot be written: {error.strerror}", "Give another"
        ) from error
    _tell(Changes(folder=str(directory), dry_run=False, boards=boards), as_json=as_json)


def _written(path: Path, board: publish.Board) -> Changed:
    text = shipped.as_text(board)
    before = path.read_text(encoding="utf-8") if path.exists() else None
    change = publish.CREATED if before is None else publish.UPDATED
    if before == text:
        change = publish.UNCHANGED
    else:
        path.write_text(text, encoding="utf-8")
    return Changed(
        uid=board["uid"], title=board["title"], change=change, differences=(), where=str(path)
    )


# --- input and output --------------------------------------------------------------------------


def _boards(datasource_uid: str | None, coordinator: str | None) -> dict[str, publish.Board]:
    page = coordinator.rstrip("/") if coordinator else None
    if page is not None and not page.startswith(("http://", "https://")):
        raise InputError("coordinator", page, "is no URL", "Write http://HOST:PORT")
    return {
        uid: shipped.with_choices(board, datasource_uid, page)
        for uid, board in shipped.boards().items()
    }


def _grafana(url: str) -> str:
    """Raises:
    InputError: not an address that can be used, or one with a password in it.
    """
    remedy = "Write http://HOST:3000 or https://HOST"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError("url", url, f"is no URL ({error})", remedy) from error
    if parts.scheme not in ("http", "https") or not host:
        raise InputError("url", url, "is no URL", remedy)
    if parts.username or parts.password:
        # Other users of this machine can read our arguments.
        hidden = url.replace(parts.netloc, f"…@{parts.netloc.rpartition('@')[2]}")
        raise InputError(
            "url", hidden, "has a name or password in it",
            "Make a service account's token in Grafana, and give it by --token-file",
        )  # fmt: skip
    if parts.query or parts.fragment:
        raise InputError("url", url, "has more behind the path", remedy)
    return url


def _token(token_file: Path | None) -> str:
    """Raises:
    InputError: there is none, or others can read its file.
    """
    token = read_secret(token_file) if token_file else os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise InputError(
            "token-file", "", f"is not given, and {TOKEN_VARIABLE} is not set",
            "Make a service account's token in Grafana, keep it in a file of mode 0600, and say "
            "--token-file FILE",
        )  # fmt: skip
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise InputError(
            "token-file", token_file or TOKEN_VARIABLE, "does not hold a token",
            "It is one line, as Grafana showed it once",
        )  # fmt: skip
    return token


def _warn_of_plain_http(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        show.note("the token is sent unencrypted: https:// where the network is not yours alone")


def _tell(changes: Changes, *, as_json: bool) -> None:
    if as_json:
        show.json_out(changes)
        return
    words = {publish.CREATED: "would be created", publish.UPDATED: "would be updated"}
    rows = [
        (
            each.title,
            words.get(each.change, each.change) if changes.dry_run else each.change,
            _shortened(each.differences),
            each.where,
        )
        for each in changes.boards
    ]
    show.grid(("board", "change", "what differed", "where"), rows)


def _shortened(differences: tuple[str, ...], most: int = 4) -> str:
    more = len(differences) - most
    return ", ".join(differences[:most]) + (f" and {more} more" if more > 0 else "")
