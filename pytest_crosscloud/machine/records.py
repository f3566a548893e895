"""What machines and networks exist: one JSON file each under /run/crosscloud, written before anything is made.

/run is emptied by a reboot, which ends every machine too.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import CrosscloudError
from ..model import Json

DIRECTORY = Path("/run/crosscloud")

#: struct flock: type, whence, start, length, and a process, which is none.
_FLOCK = "hhqqi4x"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Network(Json):
    """A bridge on this host and the /24 that belongs to it."""

    cidr: str  #: e.g. ``198.19.7.0/24``; a network's identity
    run: str
    name: str

    @property
    def gateway(self) -> str:
        """The bridge's own address, ``.1``."""
        return self.cidr.rpartition(".")[0] + ".1"

    @property
    def bridge(self) -> str:
        return interface("ccb", self.name)


@dataclass(frozen=True)
class Machine(Json):
    """A machine: recorded first, running once it has a pid."""

    name: str
    run: str
    network: str  #: the network's name
    address: str
    hostname: str
    disk: str  #: directory of its own with everything of it that lies on a real file system
    pid: int = 0  #: its first process, as the host numbers it; 0: not started yet
    started: int = 0  #: that process's start, in ticks since boot

    @property
    def veth(self) -> str:
        return interface("ccv", self.name)


def interface(prefix: str, name: str) -> str:
    """A network interface's name: the kernel allows 15 characters, so the name itself goes into its alias."""
    return f"{prefix}{zlib.crc32(name.encode()):08x}"


def label(run: str, name: str) -> str:
    """What is written on what belongs to a machine or a network, where the kernel offers a place for text."""
    return f"crosscloud:{run}:{name}"


def check_name(kind: str, name: str) -> None:
    """:raises CrosscloudError: it could not be a file's, a cgroup's and a host's name at once."""
    if not _NAME.fullmatch(name):
        raise CrosscloudError(
            f"not a valid name of a {kind}: {name!r}", remedy="use lower-case letters, digits, '.', '_' and '-'"
        )


@contextmanager
def lock(what: str, timeout: float = 60.0) -> Iterator[None]:
    """One holder at a time on this host, a thread like a process, e.g. of ``machine NAME``.

    A byte of one file per name: nothing to remove afterwards. The lock belongs to the open file, not to the process
    (fcntl(2), open file description locks): of a process's own, one thread is none the wiser of another's, and whoever
    closes the file first frees them all. No program that is executed inherits it, so it ends with its holder, also
    after ``kill -9``.

    :raises CrosscloudError: it was not free within ``timeout`` seconds.
    """
    DIRECTORY.mkdir(mode=0o755, exist_ok=True)
    descriptor = os.open(DIRECTORY / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        limit = time.monotonic() + timeout
        while not _try_lock(descriptor, zlib.crc32(what.encode())):
            if time.monotonic() > limit:
                raise CrosscloudError(f"{what} is in use by another process", remedy="end it, then try again")
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, byte: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        return False
    return True


def machine(name: str) -> Machine | None:
    text = _read(DIRECTORY / "machines" / f"{name}.json")
    return Machine.from_json(json.loads(text)) if text else None


def machines(run: str | None = None) -> list[Machine]:
    """Of one run, or all, by name."""
    found = (Machine.from_json(json.loads(text)) for text in _texts("machines"))
    return [record for record in found if run in (None, record.run)]


def put_machine(record: Machine) -> None:
    _write(DIRECTORY / "machines" / f"{record.name}.json", record)


def drop_machine(name: str) -> None:
    (DIRECTORY / "machines" / f"{name}.json").unlink(missing_ok=True)


def networks(run: str | None = None) -> list[Network]:
    """Of one run, or all, also those that are only reserved."""
    found = (Network.from_json(json.loads(text)) for text in _texts("networks"))
    return [record for record in found if run in (None, record.run)]


def put_network(record: Network) -> None:
    _write(_network_file(record.cidr), record)


def drop_network(cidr: str) -> None:
    _network_file(cidr).unlink(missing_ok=True)


def _network_file(cidr: str) -> Path:
    return DIRECTORY / "networks" / (cidr.replace("/", "_") + ".json")


def _texts(kind: str) -> Iterator[str]:
    for path in sorted((DIRECTORY / kind).glob("*.json")):
        if text := _read(path):
            yield text


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:  # removed since it was listed
        return ""


def _write(path: Path, record: Json) -> None:
    """At once or not at all: a reader, or whoever cleans up after a ``kill -9``, never sees half a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(record.to_json()))
    temporary.replace(path)
