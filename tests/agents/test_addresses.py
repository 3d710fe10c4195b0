"""Addresses and ports of this host."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from agents.addresses import free_port, own_address, own_address_towards


def test_the_own_address_is_on_the_way_to_a_url() -> None:
    assert own_address_towards("http://127.0.0.1:8470") == "127.0.0.1"


def test_a_free_port_can_be_used() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port("127.0.0.1")))


def test_without_any_network_it_is_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(socket.socket):
        def connect(self, _place: object, /) -> None:
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.socket", Cut)
    assert own_address() == "127.0.0.1"
    with pytest.raises(OSError, match="unreachable"):
        own_address_towards("http://198.51.100.1:8470")


def test_a_command_that_starts_a_server_imports_none() -> None:
    """``fleetmark demo`` would take a second of it, and a Ctrl-C meanwhile is lost at times."""
    code = (
        "import sys, agents.cli.local_fleet\n"
        "sys.exit(' '.join({'fastapi', 'sqlalchemy', 'uvicorn', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
