"""Brings boards into a Grafana that is there already, through its HTTP API.

What is there is read first: a board that is as it should be is left alone, and one that somebody
saves in between is not overwritten. Needs the extra ``grafana``.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Board = dict[str, Any]

TIMEOUT_SECONDS = 20.0
# Grafana's root has no uid, and this name on its page.
ROOT = "General"
CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
# What Grafana itself writes into a board.
_ITS_OWN = ("id", "version")
NOT_FOUND, FORBIDDEN, CONFLICT, TOO_MANY = 404, 403, 412, 429


class Unusable(Exception):  # noqa: N818 - said by what was asked for, not by what went wrong
    """What was asked for cannot work: no Grafana there, an unknown datasource."""

    def __init__(self, field: str, value: str, problem: str, remedy: str) -> None:
        self.field, self.value, self.problem, self.remedy = field, value, problem, remedy
        super().__init__(f"{field}: {value!r} {problem}. {remedy}")


class Refused(Exception):  # noqa: N818
    """Grafana understood and said no; the text says why and what to do."""


class Target(NamedTuple):
    """A Grafana. ``url`` is that of its start page, a path below included."""

    url: str
    token: str


class Outcome(NamedTuple):
    """What became of a board, or would become of it.

    Attributes:
        change: created, updated or unchanged.
        differences: which parts are not as they were, for people; empty unless updated.
        url: of the board.
    """

    uid: str
    title: str
    change: str
    differences: tuple[str, ...]
    url: str


class Push(NamedTuple):
    """All that was done, or would be done."""

    folder: str
    folder_created: bool
    boards: tuple[Outcome, ...]


def push(
    target: Target,
    boards: Mapping[str, Board],
    folder: str,
    datasource_uid: str | None,
    message: str,
    *,
    dry_run: bool,
) -> Push:
    """Make the boards of a Grafana those given.

    Args:
        target: where, and with which token.
        boards: by uid.
        folder: title of the folder that they are put into; made if there is none.
        datasource_uid: must be there, and be a Prometheus; None: is not looked at.
        message: for Grafana's history of a board.
        dry_run: only tell.

    Raises:
        Unusable: nothing there is a Grafana, or it has no such datasource.
        Refused: the token or its rights do not suffice, or somebody saved a board meanwhile.
        ModuleNotFoundError: grafana-client is not installed.
    """
    with _told_in_words(target):
        api = _connect(target)
        if datasource_uid is not None:
            _need_prometheus(api, datasource_uid)
        folder_uid = _folder_uid(api, folder)
        missing = folder_uid is None
        if missing and not dry_run:
            folder_uid = str(api.folder.create_folder(folder)["uid"])
        outcomes = []
        for uid, board in boards.items():
            there = _there(api, uid)
            outcome = _compared(target, board, there, folder_uid)
            outcomes.append(outcome)
            if outcome.change != UNCHANGED and not dry_run:
                _save(api, board, there, folder_uid, message)
    return Push(folder, missing, tuple(outcomes))


def differences(ours: Board, theirs: Board) -> tuple[str, ...]:
    """Parts of a board that are not as ours; panels by their titles.

    What is theirs alone is no difference: Grafana adds defaults of its own.
    """
    found = [key for key in ours if key != "panels" and not _within(ours[key], theirs.get(key))]
    wanted, there = ours.get("panels", []), theirs.get("panels", [])
    named = {panel.get("id"): panel for panel in there}
    found += [
        f"panel {panel['title']!r}"
        for panel in wanted
        if not _within(panel, named.get(panel.get("id")))
    ]
    ids = {panel.get("id") for panel in wanted}
    found += [
        f"panel {panel.get('title', '')!r}, which is not ours"
        for panel in there
        if panel.get("id") not in ids
    ]
    return tuple(found)


def _within(ours: object, theirs: object) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(_within(value, theirs.get(key)) for key, value in ours.items())
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_within, ours, theirs))
    return ours == theirs


# --- steps -------------------------------------------------------------------------------------


def _connect(target: Target) -> Any:
    from grafana_client import GrafanaApi

    parts = urlsplit(target.url)
    prefix = parts.path.strip("/")
    api = GrafanaApi(
        auth=target.token,
        host=f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname,
        port=parts.port,
        protocol=parts.scheme,
        url_path_prefix=f"{prefix}/" if prefix else "",
        timeout=TIMEOUT_SECONDS,
    )
    # A POST that is sent elsewhere arrives there as a GET.
    api.client.s.max_redirects = 0
    health = api.health.check()
    if not isinstance(health, dict) or "database" not in health:
        raise _no_grafana(target)
    return api


def _no_grafana(target: Target) -> Unusable:
    return Unusable(
        "url", target.url, "answers, but is no Grafana",
        "Give the address of Grafana's start page, such as https://HOST:3000",
    )  # fmt: skip


def _need_prometheus(api: Any, uid: str) -> None:
    from grafana_client.client import GrafanaClientError

    remedy = "Its uid is at the end of the address of its settings in Grafana"
    try:
        found = api.datasource.get_datasource_by_uid(uid)
    except GrafanaClientError as error:
        if error.status_code != NOT_FOUND:
            raise
        raise Unusable("datasource-uid", uid, "is not there", remedy) from error
    if found["type"] != "prometheus":
        raise Unusable("datasource-uid", uid, f"is a datasource of type {found['type']}", remedy)


def _folder_uid(api: Any, title: str) -> str | None:
    """None: there is no such folder; the root's uid is empty."""
    if title == ROOT:
        return ""
    uids = [str(each["uid"]) for each in api.folder.get_all_folders() if each["title"] == title]
    return uids[0] if uids else None


def _there(api: Any, uid: str) -> Board | None:
    from grafana_client.client import GrafanaClientError

    try:
        found: Board = api.dashboard.get_dashboard(uid)
    except GrafanaClientError as error:
        if error.status_code != NOT_FOUND:
            raise
        return None
    return found


def _compared(target: Target, board: Board, there: Board | None, folder_uid: str | None) -> Outcome:
    url = f"{target.url.rstrip('/')}/d/{board['uid']}"
    if there is None:
        return Outcome(board["uid"], board["title"], CREATED, (), url)
    ours = {key: value for key, value in board.items() if key not in _ITS_OWN}
    found = differences(ours, there["dashboard"])
    if (there["meta"].get("folderUid") or "") != folder_uid:
        found = (*found, "folder")
    return Outcome(board["uid"], board["title"], UPDATED if found else UNCHANGED, found, url)


def _save(
    api: Any, board: Board, there: Board | None, folder_uid: str | None, message: str
) -> None:
    known = there["dashboard"] if there else {}
    # With the version that was read, Grafana refuses if somebody saved another since.
    mine = board | {"id": known.get("id"), "version": known.get("version", 0)}
    api.dashboard.update_dashboard(
        {"dashboard": mine, "folderUid": folder_uid, "message": message, "overwrite": False}
    )


# --- errors ------------------------------------------------------------------------------------


@contextmanager
def _told_in_words(target: Target) -> Iterator[None]:
    import requests
    from grafana_client.client import GrafanaClientError, GrafanaException

    try:
        yield
    except GrafanaClientError as error:
        raise _refused(target, error.status_code, _message(error)) from error
    except GrafanaException as error:
        raise Refused(
            f"{target.url} failed: {_message(error)}. Grafana's own log says more; try again later"
        ) from error
    except requests.exceptions.SSLError as error:
        raise _no_tls(target, _innermost(error)) from error
    except requests.exceptions.TooManyRedirects as error:
        raise Unusable(
            "url", target.url, "sends us to another address",
            "Give that one: open it in a browser, and copy where you arrive",
        ) from error  # fmt: skip
    except requests.exceptions.JSONDecodeError as error:
        raise _no_grafana(target) from error
    except requests.exceptions.Timeout as error:
        raise Unusable(
            "url", target.url, f"does not answer within {TIMEOUT_SECONDS:.0f} s",
            "Is Grafana running, and is this its address?",
        ) from error  # fmt: skip
    except requests.exceptions.RequestException as error:
        raise Unusable(
            "url", target.url, f"cannot be reached ({_reason(error)})",
            "Is Grafana running, and is this its address?",
        ) from error  # fmt: skip


def _refused(target: Target, status: int, message: str) -> Exception:
    if status == NOT_FOUND:
        return _no_grafana(target)
    words = {
        401: (
            "does not know the token. Make one in Grafana: Administration, Users and access, "
            "Service accounts; it may have run out"
        ),
        FORBIDDEN: (
            f"does not let this token do that ({message}). Give its service account the role "
            "Editor, or rights to write dashboards and folders and to read datasources"
        ),
        CONFLICT: (
            f"has a board that somebody else saved meanwhile ({message}). Push again: that "
            "compares with what is there now"
        ),
        TOO_MANY: "says that it is asked too often. Try again later",
    }
    return Refused(f"{target.url} {words.get(status, f'refuses ({status}): {message}')}")


def _message(error: Any) -> str:
    said = error.response
    return str(said.get("message", said) if isinstance(said, dict) else said).strip()[:300]


def _no_tls(target: Target, reason: BaseException) -> Unusable:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Unusable(
            "url", target.url, f"has a certificate that is not trusted ({reason.verify_message})",
            "Use the name that the certificate is made for; for an authority of your own set "
            "REQUESTS_CA_BUNDLE to its certificate's file",
        )  # fmt: skip
    return Unusable(
        "url", target.url, f"does not speak TLS as we do ({reason})",
        "If it is reached without TLS, write http://",
    )  # fmt: skip


def _reason(error: BaseException) -> str:
    """Without the name of a library's class before it."""
    return str(_innermost(error)).rpartition("): ")[2]


def _innermost(error: BaseException) -> BaseException:
    """Of nested errors, of which the outer ones only repeat the address."""
    while True:
        inside = (getattr(error, "reason", None), *error.args)
        deeper = next((each for each in inside if isinstance(each, BaseException)), None)
        if deeper is None:
            return error
        error = deeper
