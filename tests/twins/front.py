"""Stands between an emulator and who uses it: answers what only the machines know, and fails on request."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

#: Seconds for one answer of the emulator.
_TIMEOUT = 60.0

#: Names of an action, and its parameters, to a body; None: the emulator answers.
Answer = Callable[[str, dict[str, str]], bytes | None]

#: What AWS' own errors look like, by code.
_ERROR = "<Response><Errors><Error><Code>{0}</Code><Message>{0} on purpose</Message></Error></Errors></Response>"


@dataclass
class Faults:
    """Which requests fail, how, and which have come."""

    #: By action: status and code of the answers to the next requests; they are used up.
    next: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    #: By action: status and code of all answers.
    always: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: The same, for as long as there is the emulator: what it would answer otherwise than the cloud.
    standing: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)  #: actions, in the order in which they came

    def of(self, action: str) -> tuple[int, str] | None:
        self.seen.append(action)
        if self.next.get(action):
            return self.next[action].pop(0)
        return self.always.get(action) or self.standing.get(action)


@contextmanager
def fronted(emulator: str, answer: Answer = lambda action, values: None, faults: Faults | None = None) -> Iterator[str]:
    """An address that is the emulator's at URL ``emulator``, but for ``answer`` and ``faults``; gives its URL."""
    target = urlsplit(emulator).netloc
    failing = faults or Faults()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one write

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            values = {key: value[0] for key, value in parse_qs(body.decode("latin-1")).items()}
            action = values.get("Action", "")
            if fault := failing.of(action):
                status, code = fault
                self._send(status, [("content-type", "text/xml")], _ERROR.format(code).encode())
            elif (own := answer(action, values)) is not None:
                self._send(200, [("content-type", "text/xml")], own)
            else:
                self._pass_on(body)

        def do_GET(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers.get("content-length") or 0)))

        do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

        def _pass_on(self, body: bytes) -> None:
            connection = http.client.HTTPConnection(target, timeout=_TIMEOUT)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                reply = connection.getresponse()
                kept = [(name, value) for name, value in reply.getheaders() if name.lower() not in _OWN]
                self._send(reply.status, kept, reply.read())
            finally:
                connection.close()

        def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128  # Terraform asks ten things at a time, over connections of their own

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


#: Headers that are each connection's own.
_OWN = {"connection", "content-length", "transfer-encoding", "date", "server"}
