"""Addresses and ports of this host.

On its own, without the libraries of a server: commands that only start one ask here.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

# Of the range for documentation (RFC 5737): nobody is there, but there is a route.
_SOMEWHERE = ("192.0.2.1", 9)


def own_address() -> str:
    """The address under which others most likely reach this host."""
    try:
        return _address_towards(_SOMEWHERE)
    except OSError:
        return "127.0.0.1"


def own_address_towards(url: str) -> str:
    """The address of this host on the way to a URL.

    Raises:
        OSError: there is no way yet, or the name in it is not known.
    """
    parts = urlsplit(url)
    return _address_towards((parts.hostname or "127.0.0.1", parts.port or 80))


def _address_towards(place: tuple[str, int]) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: connecting a datagram socket only picks the route.
        probe.connect(place)
        address: str = probe.getsockname()[0]
    return address


def free_port(address: str = "") -> int:
    """A port that nobody listens on; of every address by default."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port
