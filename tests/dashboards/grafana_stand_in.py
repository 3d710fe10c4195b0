"""A stand-in for Grafana's HTTP API: as much of it as pushing boards needs, and no Grafana.

Paths, status codes and bodies are those that Grafana documents; what it does not document is not
known here either. The live test (test_live_grafana.py) is against the real one.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

EDITOR, VIEWER = "glsa_editor", "glsa_viewer"

Answer = tuple[int, Any]


class StandIn:
    """The state of a Grafana, and its answers.

    Attributes:
        requests: method and path of each, in order.
        before_save: called before a board is saved; such as for somebody else to save it.
        answer_all: what is answered to everything, if set: body and type, or a redirect's target.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.folders: dict[str, str] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        self.datasources = {"prom": "prometheus", "logs": "loki"}
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.before_save: Callable[[], None] = lambda: None
        self.answer_all: tuple[int, str] | None = None

    def saved(self) -> list[str]:
        return [each for each in self.requests if each.startswith("POST")]

    def edit(self, uid: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Somebody changes a board in the browser."""
        board = self.boards[uid]["dashboard"]
        change(board)
        board["version"] += 1

    def answer(self, method: str, path: str, token: str, body: Any) -> Answer:
        if path == "/api/health":
            return 200, {"database": "ok", "version": "13.2.3"}
        if token not in (EDITOR, VIEWER):
            return 401, {"message": "Invalid API key"}
        if method == "POST" and token == VIEWER:
            return 403, {"message": "You'll need additional permissions: dashboards:write"}
        kind, _, rest = path.removeprefix("/api/").partition("/")
        if kind == "folders":
            return self._folders(method, body)
        if kind == "datasources":
            return self._datasource(rest.removeprefix("uid/"))
        return self._save(body) if method == "POST" else self._board(rest.removeprefix("uid/"))

    def _board(self, uid: str) -> Answer:
        if uid not in self.boards:
            return 404, {"message": "Dashboard not found"}
        return 200, self.boards[uid]

    def _folders(self, method: str, body: Any) -> Answer:
        if method == "POST":
            uid = f"folder-{len(self.folders) + 1}"
            self.folders[uid] = body["title"]
            return 200, {"uid": uid, "title": body["title"]}
        return 200, [{"uid": uid, "title": title} for uid, title in self.folders.items()]

    def _datasource(self, uid: str) -> Answer:
        if uid not in self.datasources:
            return 404, {"message": "Data source not found"}
        return 200, {"uid": uid, "type": self.datasources[uid]}

    def _save(self, body: Any) -> Answer:
        self.before_save()
        board, uid = body["dashboard"], body["dashboard"]["uid"]
        there = self.boards.get(uid)
        known = there["dashboard"]["version"] if there else 0
        if board["version"] != known and not body["overwrite"]:
            message = "The dashboard has been changed by someone else"
            return 412, {"status": "version-mismatch", "message": message}
        if there and there["meta"].get("provisioned"):
            return 400, {"message": "Cannot save provisioned dashboard"}
        # It writes these itself, and adds defaults.
        saved = board | {"id": board["id"] or len(self.boards) + 1, "version": known + 1}
        saved["annotations"] = saved["annotations"] | {"added": True}
        self.boards[uid] = {"dashboard": saved, "meta": {"folderUid": body["folderUid"]}}
        self.messages.append(body["message"])
        return 200, {"status": "success", "uid": uid, "version": known + 1}


@contextmanager
def serving(state: StandIn, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = self.path.partition("?")[0]
            state.requests.append(f"{method} {path}")
            if state.answer_all is not None:
                self._send(*state.answer_all, "text/html")
            elif not path.startswith(f"{state.prefix}/api/"):
                self._send(404, "<html>not found</html>", "text/html")
            else:
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, said = state.answer(method, path.removeprefix(state.prefix), token, body)
                self._send(status, json.dumps(said), "application/json")

        def _send(self, status: int, text: str, kind: str) -> None:
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", text)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            scheme = "http" if tls is None else "https"
            yield f"{scheme}://127.0.0.1:{server.server_address[1]}{state.prefix}"
        finally:
            server.shutdown()
            thread.join()
