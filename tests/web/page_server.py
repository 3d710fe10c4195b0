"""A stand-in for the coordinator: the page's files, its content policy, and canned answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pydantic import BaseModel

import agents
from agents.messages import Problem

WEB = Path(agents.__file__).parent / "coordinator" / "web"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/static/style.css": ("style.css", "text/css; charset=utf-8"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOKEN = "a token/with+signs&more"


@dataclass
class Coordinator:
    """What the stand-in answers and what it was asked."""

    answers: dict[str, BaseModel | Mapping[str, object]]
    token: str = TOKEN
    posts: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server: _Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = _Server(self, self.port)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, coordinator: Coordinator, port: int) -> None:
        self.coordinator = coordinator
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that is closed cuts its connections; that is no fault of the page."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.coordinator.paths.append(self.path)
        path = self.path.partition("?")[0]
        if path in FILES:
            name, content_type = FILES[path]
            self._send(200, (WEB / name).read_bytes(), content_type)
        else:
            self._api(path)

    def do_POST(self) -> None:
        self.server.coordinator.posts.append(self.path)
        self._api(self.path)

    def _api(self, path: str) -> None:
        coordinator = self.server.coordinator
        if self.headers["Authorization"] != f"Bearer {coordinator.token}":
            self._json(401, Problem(problem="the token is wrong", remedy="Use the fleet's"))
        elif path in coordinator.answers:
            self._json(200, coordinator.answers[path])
        else:
            self._json(404, Problem(field="run", value=path, problem="is not known", remedy="Look"))

    def _json(self, status: int, answer: BaseModel | Mapping[str, object]) -> None:
        text = answer.model_dump_json() if isinstance(answer, BaseModel) else json.dumps(answer)
        self._send(status, text.encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet: what was asked is in ``paths``."""
