"""``/metrics`` over HTTP: the small server of an agent."""

from __future__ import annotations

import hashlib
import hmac
import logging
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread

from prometheus_client import CollectorRegistry

from agents.exposition import expose

log = logging.getLogger(__name__)

# A scraper that sends nothing for so long is dropped, lest it hold a thread for ever.
CLIENT_TIMEOUT_SECONDS = 10.0


def serve_metrics(
    registry: CollectorRegistry, port: int, address: str, token_sha256: str
) -> MetricsServer:
    """Serve ``/metrics`` to whoever knows the token, and ``/healthz`` to all, in a thread.

    Args:
        registry: what to serve; never the library's global one.
        port: 0 takes a free one; ``MetricsServer.port`` tells which.
        address: to listen on, IPv4 or IPv6.
        token_sha256: hexadecimal; the token itself is not known to the device.

    Raises:
        OSError: the port is taken, or the address is not this host's.
    """
    return MetricsServer(registry, port, address, token_sha256)


class MetricsServer:
    """A running server. Its threads are daemons; ``close`` ends it and frees the port."""

    def __init__(
        self, registry: CollectorRegistry, port: int, address: str, token_sha256: str
    ) -> None:
        self._http = _HTTPServer(registry, port, address, token_sha256)
        self._thread = Thread(target=self._http.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _HTTPServer(ThreadingTCPServer):
    """Not ``HTTPServer``: that looks its own name up, seconds long on a device without DNS."""

    allow_reuse_address = True
    daemon_threads = True
    # A scrape that is under way need not hold up the end of the agent.
    block_on_close = False

    def __init__(
        self, registry: CollectorRegistry, port: int, address: str, token_sha256: str
    ) -> None:
        self.registry = registry
        self.token_sha256 = token_sha256
        if ":" in address:
            self.address_family = socket.AF_INET6
        super().__init__((address, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionError):
            log.debug("the client at %s went away: %s", client_address, error)
        else:
            log.error("the request of %s failed", client_address, exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: _HTTPServer
    timeout = CLIENT_TIMEOUT_SECONDS

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/healthz":
            self._answer(HTTPStatus.OK, "ok")
        elif path != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, "There are /metrics and /healthz here.")
        elif not self._authorized():
            self._answer(
                HTTPStatus.UNAUTHORIZED,
                "/metrics needs the header 'Authorization: Bearer TOKEN' with this fleet's "
                "metrics token.",
            )
        else:
            self._metrics()

    def _metrics(self) -> None:
        try:
            found = expose(self.server.registry, self.headers.get("Accept"))
        except Exception:
            # A source of figures that fails must fail the scrape, visibly, and not the agent.
            log.exception("the metrics could not be collected")
            self._answer(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "The metrics could not be collected; the agent's log says why.",
            )
            return
        self._send(HTTPStatus.OK, found.body, found.content_type)

    def _authorized(self) -> bool:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        # The library decodes headers as Latin-1; this gives back the bytes that came.
        digest = hashlib.sha256(token.strip().encode("latin-1")).hexdigest()
        return scheme.lower() == "bearer" and hmac.compare_digest(digest, self.server.token_sha256)

    def _answer(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, f"{sentence}\n".encode(), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        # Who is not let in need not learn which Python runs here.
        return "fleetmark"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        log.debug(format, *args)
