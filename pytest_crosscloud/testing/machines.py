"""Boots user-data as machines of this computer, on the very network that a cloud would give its nodes. Needs root."""

from __future__ import annotations

import base64
import functools
import gzip
import http.server
import ipaddress
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from .. import machine
from ..errors import CrosscloudError
from ..machine import network, records

#: Seconds for one command of a machine.
_COMMAND = 60.0

#: Seconds to wait for a range of addresses that another test has: as long as that may take to boot a cluster.
PATIENCE = 1200.0

#: How the networks of this module are called: one without its process is left over.
_PREFIX = "twin-"


@dataclass(frozen=True)
class Node:
    """A machine to boot."""

    name: str  #: its host name
    address: str  #: on the network
    user_data: str | bytes  #: for cloud-init: text, or gzipped, or the base64 of either


class Network:
    """A network of this computer with machines on it."""

    def __init__(self, cidr: str, run: str, name: str) -> None:
        self.cidr = cidr
        self.run = run  #: what machines and network carry; ``machine.leftovers(run)`` finds what there is of it
        self._name = name
        self._machines: dict[str, str] = {}

    @property
    def gateway(self) -> str:
        """This computer's own address on the network, the first one: as is a cloud's router."""
        return str(ipaddress.ip_network(self.cidr)[1])

    def boot(self, nodes: Iterable[Node], disk: Path | None = None) -> None:
        """Start machines; returns when their first processes run.

        :param disk: a disk to clone, as ``clouds.local.prepared_disk`` makes them; None: they start with empty ones.
        :raises CrosscloudError: one does not start.
        """
        for node in nodes:
            name = f"{self._name}.{len(self._machines)}"
            self._machines[node.name] = name
            options = ["--name", name, "--hostname", node.name, "--run", self.run, "--network", self._name]
            options += ["--address", node.address, "--user-data", "/dev/stdin"]
            _machine("up", *options, *(["--disk-from", str(disk)] if disk else []), text=plain(node.user_data))

    def end(self, node: str) -> None:
        """End the machine of this host name; not there: nothing to do."""
        if name := self._machines.pop(node, ""):
            _machine("down", "--name", name)

    def consoles(self) -> dict[str, str]:
        """What each machine has said until now, by host name."""
        return {node: self.console(node) for node in list(self._machines)}

    def console(self, node: str) -> str:
        """What one of them has said; empty if there is none of this name."""
        name = self._machines.get(node, "")
        return _machine("console", name, check=False) if name else ""

    def execute(self, node: str, *argv: str) -> str:
        """The output of a program on a machine.

        :raises CrosscloudError: it failed.
        """
        return _machine("exec", self._machines[node], "--", *argv)


@contextmanager
def local_network(cidr: str, *, patience: float = PATIENCE) -> Iterator[Network]:
    """A network with these addresses on this computer; at the end it is gone, with all machines on it.

    :param cidr: a /24; only one process at a time can have it, others wait for at most ``patience`` seconds.
    :raises CrosscloudError: it is not free in time; or this computer's own network has these addresses.
    """
    records.DIRECTORY.mkdir(mode=0o755, exist_ok=True)
    lock = FileLock(records.DIRECTORY / f"range-{cidr.replace('/', '_')}.lock")
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise CrosscloudError(f"{cidr} is in use by another process", remedy="end it, then try again") from None
    try:
        _remove_leftovers(cidr)
        run = f"t{uuid.uuid4().hex[:7]}"
        name = f"{_PREFIX}{run}"
        try:
            network.up(name, cidr, run)
            yield Network(cidr, run, name)
        finally:
            machine.destroy_run(run)
    finally:
        lock.release()


@contextmanager
def booted(nodes: Iterable[Node], cidr: str, disk: Path | None = None) -> Iterator[Network]:
    """The nodes as machines on a network of their own; ``consoles()`` of what it gives shows how far they are."""
    with local_network(cidr) as made:
        made.boot(nodes, disk)
        yield made


@contextmanager
def served(directory: Path, address: str) -> Iterator[str]:
    """The files of a directory over HTTP at an address of this computer; gives the URL, without a slash at its end.

    With the directory of a node bundle and a network's gateway, that is a ``bundle_url``.
    """
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer((address, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{server.server_port}"
        finally:
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        return


def plain(user_data: str | bytes) -> str:
    """User-data as text: clouds are given it gzipped, in base64, or both."""
    data = user_data.encode() if isinstance(user_data, str) else user_data
    if not data.startswith((b"#", b"\x1f\x8b")):
        data = base64.b64decode(data, validate=True)
    return (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode()


def _remove_leftovers(cidr: str) -> None:
    """Remove what a process that was killed has left on these addresses.

    :raises CrosscloudError: they belong to something else.
    """
    for found in records.networks():
        if found.cidr == cidr and found.name.startswith(_PREFIX):
            machine.destroy_run(found.run)
    octets = reversed(cidr.partition("/")[0].split("."))
    if "\t" + "".join(f"{int(octet):02X}" for octet in octets) + "\t" in Path("/proc/net/route").read_text():
        raise CrosscloudError(f"this computer has a route to {cidr} already", remedy="take other addresses")


def _machine(*arguments: str, text: str = "", check: bool = True) -> str:
    # A process of its own: to start a machine is to fork, which is not safe in a process with threads.
    argv = [sys.executable, "-m", "pytest_crosscloud.machine", *arguments]
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_COMMAND, check=False)
    except subprocess.TimeoutExpired:
        if not check:
            return ""
        raise CrosscloudError(f"machine {arguments[0]} did not end within {_COMMAND:.0f} s") from None
    if check and done.returncode != 0:
        raise CrosscloudError(f"machine {' '.join(arguments[:3])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
