"""Pushing boards, against a stand-in for Grafana's API; and exporting them."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.cli.main import run
from dashboards import publish, shipped
from tests.dashboards.grafana_stand_in import EDITOR, VIEWER, StandIn, serving
from tests.prometheus import free_port
from tests.tools import need_program

UIDS = set(shipped.boards())


@pytest.fixture(autouse=True)
def _no_token_and_no_proxy_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name == "GRAFANA_TOKEN" or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def grafana() -> StandIn:
    return StandIn()


@pytest.fixture
def url(grafana: StandIn) -> Iterator[str]:
    with serving(grafana) as address:
        yield address


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return token_of(tmp_path, EDITOR)


def token_of(directory: Path, text: str) -> Path:
    path = directory / "grafana.token"
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def push(
    url: str, token: Path, capsys: pytest.CaptureFixture[str], *more: str, expect: int = 0
) -> tuple[dict[str, Any], str]:
    """What ``--json`` prints, and what is said on stderr."""
    status = run(["dashboards", "push", "--url", url, "--token-file", str(token), "--json", *more])
    out, err = capsys.readouterr()
    assert status == expect, err
    assert "Traceback" not in err
    assert EDITOR not in out + err
    return (json.loads(out) if out else {}), err


def changes(done: dict[str, Any]) -> dict[str, str]:
    return {each["uid"]: each["change"] for each in done["boards"]}


# --- what it does ------------------------------------------------------------------------------


def test_the_first_creates_and_the_second_leaves_all_alone(
    grafana: StandIn, url: str, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, err = push(url, token, capsys)
    assert changes(done) == dict.fromkeys(UIDS, "created")
    assert "folder 'fleetmark' was created" in err
    assert set(grafana.boards) == UIDS
    (folder,) = grafana.folders
    assert {each["meta"]["folderUid"] for each in grafana.boards.values()} == {folder}
    assert all(message.startswith("fleetmark ") for message in grafana.messages)
    before = len(grafana.saved())
    done, err = push(url, token, capsys)
    assert changes(done) == dict.fromkeys(UIDS, "unchanged")
    assert len(grafana.saved()) == before
    assert err == ""


def test_what_was_changed_in_grafana_is_named_and_undone(
    grafana: StandIn, url: str, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(url, token, capsys)

    def change(board: dict[str, Any]) -> None:
        board["panels"][1]["description"] = "mine"
        board["refresh"] = "5s"
        board["panels"].append({"id": 99, "title": "my own", "type": "text"})

    grafana.edit("fleetmark-fleet", change)
    done, _ = push(url, token, capsys)
    assert changes(done) == dict.fromkeys(UIDS, "unchanged") | {"fleetmark-fleet": "updated"}
    (fleet,) = (each for each in done["boards"] if each["uid"] == "fleetmark-fleet")
    assert fleet["differences"] == [
        "refresh", "panel 'Devices reached'", "panel 'my own', which is not ours",
    ]  # fmt: skip
    assert grafana.boards["fleetmark-fleet"]["dashboard"]["version"] == 3
    assert changes(push(url, token, capsys)[0]) == dict.fromkeys(UIDS, "unchanged")


def test_a_dry_run_only_tells(
    grafana: StandIn, url: str, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, err = push(url, token, capsys, "--dry-run")
    assert changes(done) == dict.fromkeys(UIDS, "created")
    assert "would be created" in err
    assert grafana.saved() == []
    assert not grafana.boards


def test_a_board_in_another_folder_is_brought_into_the_one_that_is_named(
    grafana: StandIn, url: str, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(url, token, capsys)
    done, _ = push(url, token, capsys, "--folder", "Labs")
    assert {tuple(each["differences"]) for each in done["boards"]} == {("folder",)}
    assert set(grafana.folders.values()) == {"fleetmark", "Labs"}
    # General is the root, which has no uid and is not made.
    push(url, token, capsys, "--folder", "General")
    assert len(grafana.folders) == 2
    assert {each["meta"]["folderUid"] for each in grafana.boards.values()} == {""}


def test_datasource_and_coordinator_are_chosen(
    grafana: StandIn, url: str, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = ("--datasource-uid", "prom", "--coordinator", "http://192.0.2.1:8470/")
    push(url, token, capsys, *choice)
    for board in grafana.boards.values():
        variables = {each["name"]: each for each in board["dashboard"]["templating"]["list"]}
        assert variables["datasource"]["current"]["value"] == "prom"
        assert variables["coordinator"]["query"] == "http://192.0.2.1:8470"
    assert changes(push(url, token, capsys, *choice)[0]) == dict.fromkeys(UIDS, "unchanged")


def test_below_a_path(token: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = StandIn(prefix="/grafana")
    with serving(state) as url:
        for address in (url, f"{url}/"):
            done, _ = push(address, token, capsys)
    assert set(state.boards) == UIDS
    assert done["boards"][0]["where"].startswith(f"{url}/d/fleetmark-")


def test_the_token_may_be_in_the_environment(
    grafana: StandIn, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", EDITOR)
    assert run(["dashboards", "push", "--url", url]) == 0
    assert set(grafana.boards) == UIDS


# --- what it refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [("glsa_wrong", "does not know the token"), (VIEWER, "does not let this token do that")],
)
def test_a_token_that_does_not_suffice(
    text: str, words: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = push(url, token_of(tmp_path, text), capsys, expect=1)
    assert words in err
    assert "ervice account" in err


def test_somebody_else_saves_meanwhile(
    grafana: StandIn, url: str, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(url, token, capsys)
    grafana.edit("fleetmark-fleet", lambda board: board.update(refresh="5s"))
    grafana.before_save = lambda: grafana.edit(
        "fleetmark-fleet", lambda board: board.update(title="theirs")
    )
    _, err = push(url, token, capsys, expect=1)
    assert "somebody else saved meanwhile" in err
    assert grafana.boards["fleetmark-fleet"]["dashboard"]["title"] == "theirs"


def test_provisioned_boards_say_so(
    grafana: StandIn, url: str, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(url, token, capsys)
    grafana.boards["fleetmark-fleet"]["meta"]["provisioned"] = True
    grafana.edit("fleetmark-fleet", lambda board: board.update(refresh="5s"))
    _, err = push(url, token, capsys, expect=1)
    assert "Cannot save provisioned dashboard" in err


@pytest.mark.parametrize(("uid", "words"), [("nope", "is not there"), ("logs", "of type loki")])
def test_a_datasource_that_cannot_be(
    uid: str,
    words: str,
    grafana: StandIn,
    url: str,
    token: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, err = push(url, token, capsys, "--datasource-uid", uid, expect=2)
    assert words in err
    assert grafana.saved() == []


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ((200, "<html>a login page</html>"), 2, "is no Grafana"),
        ((404, "<html>nothing here</html>"), 2, "is no Grafana"),
        ((301, "https://elsewhere.invalid/"), 2, "sends us to another address"),
        ((502, "<html>bad gateway</html>"), 1, "failed"),
        ((429, "slow down"), 1, "asked too often"),
    ],
)
def test_what_answers_otherwise(
    answer: tuple[int, str],
    status: int,
    words: str,
    grafana: StandIn,
    url: str,
    token: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grafana.answer_all = answer
    _, err = push(url, token, capsys, expect=status)
    assert words in err
    assert len(grafana.requests) == 1


def test_nobody_answers(token: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = push(f"http://127.0.0.1:{free_port()}", token, capsys, expect=2)
    assert "cannot be reached (Failed to establish a new connection" in err
    assert "Is Grafana running" in err


def test_it_never_answers(
    token: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _, err = push(f"http://127.0.0.1:{silent.getsockname()[1]}", token, capsys, expect=2)
    assert "does not answer within" in err


def test_tls(
    grafana: StandIn,
    url: str,
    token: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A certificate that nobody vouches for, no TLS at all, and an authority of one's own."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            need_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(key), "-out", str(certificate),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(grafana, context) as secure:
        _, err = push(secure, token, capsys, expect=2)
        assert "certificate that is not trusted (self-signed certificate" in err
        assert "REQUESTS_CA_BUNDLE" in err
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        done, _ = push(secure, token, capsys)
        assert changes(done) == dict.fromkeys(UIDS, "created")
    _, err = push(url.replace("http:", "https:"), token, capsys, expect=2)
    assert "does not speak TLS" in err
    assert "http://" in err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("grafana.lab", "is no URL"),
        ("ftp://grafana.lab", "is no URL"),
        ("http://", "is no URL"),
        ("http://host:99999", "is no URL"),
        ("http://host/?orgId=1", "more behind the path"),
        ("http://admin:hunter2@host:3000", "has a name or password in it"),
    ],
)
def test_an_address_that_cannot_be(
    url: str, words: str, token: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = push(url, token, capsys, expect=2)
    assert err.startswith("fleetmark: url: ")
    assert words in err
    assert "hunter2" not in err


def test_a_token_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = "http://127.0.0.1:1"
    path = token_of(tmp_path, EDITOR)
    path.chmod(0o644)
    _, err = push(url, path, capsys, expect=2)
    assert "can be read by others" in err
    _, err = push(url, token_of(tmp_path, "two words"), capsys, expect=2)
    assert "does not hold a token" in err
    _, err = push(url, tmp_path / "none", capsys, expect=2)
    assert "cannot be read" in err
    assert run(["dashboards", "push", "--url", url]) == 2
    assert "GRAFANA_TOKEN is not set" in capsys.readouterr().err


def test_without_the_client_it_is_named(
    url: str, token: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "grafana_client", None)
    monkeypatch.setitem(__import__("sys").modules, "grafana_client.client", None)
    _, err = push(url, token, capsys, expect=1)
    assert "pip install 'fleetmark[grafana]'" in err


# --- export ------------------------------------------------------------------------------------


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "new" / "boards"
    for expected in ("created", "unchanged"):
        assert run(["dashboards", "export", str(directory), "--json"]) == 0
        assert changes(json.loads(capsys.readouterr().out)) == dict.fromkeys(UIDS, expected)
    for path in shipped.DIRECTORY.iterdir():
        assert (directory / path.name).read_bytes() == path.read_bytes()
    assert run(["dashboards", "export", str(directory), "--datasource-uid", "prom", "--json"]) == 0
    assert changes(json.loads(capsys.readouterr().out)) == dict.fromkeys(UIDS, "updated")


def test_export_to_where_it_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert run(["dashboards", "export", str(file)]) == 2
    assert "is a file" in capsys.readouterr().err
    assert run(["dashboards", "export", str(file / "below")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert run(["dashboards", "export", str(tmp_path), "--coordinator", "host:8470"]) == 2
    assert "is no URL" in capsys.readouterr().err
