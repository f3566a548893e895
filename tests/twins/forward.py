"""A public address of an emulated cloud on this computer: what connects to it reaches a machine."""

from __future__ import annotations

import ipaddress
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from pytest_crosscloud.machine import network

#: Seconds to reach the machine; and bytes that are passed on at a time.
_CONNECT, _CHUNK = 5.0, 65536


@contextmanager
def forwarded(public: str, address: str, port: int) -> Iterator[None]:
    """While it lasts, ``public:port`` is ``address:port``, for programs of this computer."""
    with ExitStack() as stack:
        if not ipaddress.ip_address(public).is_loopback:  # those all are this computer's already
            network.ip([f"address add {public}/32 dev lo"])
            stack.callback(network.ip, [f"address delete {public}/32 dev lo"])

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError), socket.create_connection((address, port), timeout=_CONNECT) as other:
                    other.settimeout(None)
                    back = threading.Thread(target=_copy, args=(other, self.request), daemon=True)
                    back.start()
                    _copy(self.request, other)
                    back.join()

        server = stack.enter_context(_Server((public, port), Handler))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(server.shutdown)
        yield


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes until there is no more, and then say so."""
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
