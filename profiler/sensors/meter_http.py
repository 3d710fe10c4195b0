"""One GET with a deadline, and the two ways of HTTP to log in (RFC 7617 basic, RFC 7616 digest)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import re
import secrets
import socket
import threading
from http import HTTPStatus
from time import monotonic
from urllib.parse import urlsplit

from profiler.sensors.meter_config import Credentials

# A status of a meter has a few kilobytes.
MAX_ANSWER_BYTES = 1 << 20

_LATE = "the meter did not answer in time"
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def get(url: str, timeout_seconds: float, credentials: Credentials | None = None) -> bytes:
    """The body of the answer 200.

    Args:
        url: http or https.
        timeout_seconds: for all of it, from connecting to the last byte.
        credentials: given only when the meter asks for them.

    Raises:
        OSError: no connection, no answer in time, too long an answer, or another status than 200.
    """
    deadline = monotonic() + timeout_seconds
    status, headers, body = _exchange(url, deadline, None)
    if status == HTTPStatus.UNAUTHORIZED and credentials is not None:
        answer = authorization(headers.get("WWW-Authenticate", ""), url, credentials)
        status, headers, body = _exchange(url, deadline, answer)
    if status == HTTPStatus.UNAUTHORIZED:
        raise PermissionError("the meter asks for a user and password, or refuses these")
    if status != HTTPStatus.OK:
        # Its own words may hold anything; the number says enough.
        raise OSError(f"the meter answered with status {status}")
    return body


def _exchange(
    url: str, deadline: float, answer: str | None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_left(deadline))
    timer = None
    try:
        connection.connect()
        # The time-out of a socket begins anew with every byte; one that trickles would take for
        # ever. The connection itself lets go of its socket once the headers are read.
        timer = threading.Timer(_left(deadline), _cut, [connection.sock])
        timer.daemon = True
        timer.start()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Accept": "application/json", "Connection": "close"}
        connection.request(
            "GET", target, headers=headers | ({"Authorization": answer} if answer else {})
        )
        response = connection.getresponse()
        body = response.read(MAX_ANSWER_BYTES + 1)
    except (http.client.HTTPException, OSError) as error:
        # The timer's cut looks like a meter that hung up.
        if monotonic() >= deadline:
            raise TimeoutError(_LATE) from error
        if isinstance(error, OSError) and not isinstance(error, http.client.HTTPException):
            raise
        raise OSError(f"the meter speaks no HTTP: {type(error).__name__}") from error
    finally:
        if timer is not None:
            timer.cancel()
        connection.close()
    if monotonic() >= deadline:
        raise TimeoutError(_LATE)
    if len(body) > MAX_ANSWER_BYTES:
        raise OSError("the meter's answer is longer than 1 MiB")
    return response.status, response.headers, body


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError(_LATE)
    return left


def _cut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):  # It was closed in the meantime.
        connected.shutdown(socket.SHUT_RDWR)


def authorization(challenge: str, url: str, credentials: Credentials) -> str:
    """The header that answers a challenge.

    Raises:
        PermissionError: the challenge is of another kind.
    """
    user, password = credentials
    scheme, _, rest = challenge.partition(" ")
    if scheme.lower() == "basic":
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if scheme.lower() != "digest":
        raise PermissionError(f"the meter asks for a log-in of the kind {scheme[:20]!r}")
    return _digest(rest, url, user, password)


def _digest(rest: str, url: str, user: str, password: str) -> str:
    asked = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
    algorithm = asked.get("algorithm", "MD5").upper()
    realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
    if algorithm not in _HASHES or "auth" not in asked.get("qop", "auth").split(","):
        raise PermissionError(f"the meter asks for a digest of the kind {algorithm[:20]!r}")

    def hashed(text: str) -> str:
        return _HASHES[algorithm](text.encode()).hexdigest()

    parts = urlsplit(url)
    uri = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    count, own = "00000001", secrets.token_hex(8)
    secret = hashed(f"{user}:{realm}:{password}")
    response = hashed(f"{secret}:{nonce}:{count}:{own}:auth:{hashed(f'GET:{uri}')}")
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
        f'algorithm={algorithm}, qop=auth, nc={count}, cnonce="{own}", response="{response}"'
    )
