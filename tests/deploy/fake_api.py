"""A Kubernetes API server as far as the deploy pipeline asks: lists, watches, objects, logs. Plain HTTP."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class FakeApi:
    """Objects by path. Lists answer what lies directly below their path; a watch sees every change."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, tuple[int, Any]] = {}  #: fixed answers by path, before anything else
        self.logs: dict[tuple[str, str], str] = {}  #: by pod and container
        self.on_create: list[Any] = []  #: called with the path and body of what a client creates
        self.on_delete: Callable[[str], None] | None = None  #: called instead of removing what a client deletes
        self.requests: list[str] = []
        self.changed = threading.Condition()
        self._events: list[tuple[str, str, dict[str, Any]]] = []

    def put(self, path: str, item: dict[str, Any]) -> dict[str, Any]:
        """Create or replace an object, and tell the watchers."""
        with self.changed:
            kind = "MODIFIED" if path in self.objects else "ADDED"
            self.objects[path] = item
            item["metadata"].setdefault("uid", path)
            self._events.append((path.rsplit("/", 1)[0], kind, json.loads(json.dumps(item))))
            self.changed.notify_all()
        return item

    def remove(self, path: str) -> None:
        with self.changed:
            item = self.objects.pop(path)
            self._events.append((path.rsplit("/", 1)[0], "DELETED", item))
            self.changed.notify_all()

    def break_watches(self, code: int) -> None:
        """End every watch with an ERROR event, as the API server does with 410 for an expired version."""
        with self.changed:
            self._events.append(("", "ERROR", {"kind": "Status", "code": code, "message": "too old"}))
            self.changed.notify_all()

    def list(self, path: str) -> tuple[int, dict[str, Any]]:
        with self.changed:
            items = [item for key, item in self.objects.items() if key.rsplit("/", 1)[0] == path]
            version = {"resourceVersion": str(len(self._events))}
            return 200, {"kind": "List", "metadata": version, "items": items}

    def events(self, path: str, after: int, seconds: float, alive: Any) -> Iterator[dict[str, Any]]:
        end = time.monotonic() + seconds
        while alive() and time.monotonic() < end:
            with self.changed:
                if len(self._events) <= after:
                    self.changed.wait(timeout=end - time.monotonic())
                new, after = self._events[after:], max(after, len(self._events))
            for where, kind, item in new:
                if where in {path, ""}:
                    yield {"type": kind, "object": item}
                if kind == "ERROR":
                    return

    def create(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        metadata = body["metadata"]
        metadata.setdefault("name", metadata.get("generateName", "") + "x7k2p")
        if f"{path}/{metadata['name']}" in self.objects:
            return 409, {"kind": "Status", "message": "already exists"}
        self.put(f"{path}/{metadata['name']}", body)
        for hook in self.on_create:
            hook(path, body)
        return 201, body


@contextmanager
def serve(api: FakeApi, directory: Path) -> Iterator[str]:
    """Serve ``api``; gives the path of a KUBECONFIG for it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def _answer(self, status: int, body: Any) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _body(self) -> Any:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        def do_GET(self) -> None:
            path, _, text = self.path.partition("?")
            query = dict(urllib.parse.parse_qsl(text))
            with api.changed:
                api.requests.append(self.path)
                api.changed.notify_all()
            if path in api.answers:
                self._answer(*api.answers[path])
            elif "watch" in query:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                seconds = float(query["timeoutSeconds"])
                for event in api.events(path, int(query["resourceVersion"]), seconds, lambda: running):
                    self._chunk(json.dumps(event).encode() + b"\n")
                self._chunk(b"")
            elif path.endswith("/log"):
                log = api.logs.get((path.split("/")[-2], query.get("container", "")))
                if log is None or query.get("previous") == "true":
                    self._answer(400, {"message": "is waiting to start"})
                else:
                    self._answer(200, log)
            elif path in api.objects:
                self._answer(200, api.objects[path])
            elif path.startswith("/api/v1/namespaces/") and path.count("/") == 4:
                self._answer(404, {"message": "not found"})
            else:
                self._answer(*api.list(path))

        def do_POST(self) -> None:
            self._answer(*api.create(self.path, self._body()))

        def do_DELETE(self) -> None:
            path = self.path.partition("?")[0]
            if path not in api.objects:
                self._answer(404, {"message": "not found"})
            elif api.on_delete:
                api.on_delete(path)
                self._answer(200, {})
            else:
                api.remove(path)
                self._answer(200, {})

    running = True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    kubeconfig = directory / "kubeconfig"
    url = f"http://127.0.0.1:{server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    }
    kubeconfig.write_text(json.dumps(config))
    try:
        yield str(kubeconfig)
    finally:
        running = False
        with api.changed:
            api.changed.notify_all()
        server.shutdown()
        server.server_close()
        thread.join()
