"""The run's registry: Debian's docker-registry on an address of its own, where clusters reach it too.

Its storage lies in the cache and is shared by all runs of this user, also at the same time: what was pushed once
is there in the next run. Its process and its address belong to one run, and end with it.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import paths
from ..errors import StageError
from ..model import ErrorClass
from ..stage import RUN_VARIABLE

#: Where the registries of runs listen with root: addresses for tests (RFC 2544) that no real network uses.
NETWORK = ipaddress.ip_network("198.18.0.0/20")

#: The first port that is tried, and how many after it.
PORT, PORTS = 5000, 50

#: Seconds that a registry gets to answer, and to end.
DEADLINE = 15.0

_RUN_HEADER = "X-Crosscloud-Run"


@dataclass(frozen=True)
class Registry:
    """A registry that a run uses. ``spec`` is what ``release`` needs; empty for one that was there before."""

    host: str  #: ``host:port``
    spec: Mapping[str, Any] = field(default_factory=dict)


def start(
    run: str, directory: Path, record: Callable[[dict[str, Any]], None], *, storage: Path | None = None
) -> Registry:
    """Start a registry for ``run`` and wait until it answers.

    :param directory: of the run: its configuration and its log go here.
    :param record: called with the spec for ``release`` before anything is made, and again with all of it.
    :param storage: where images are kept, by default in the cache.
    :raises StageError: it is not installed, or does not come up.
    """
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        raise StageError(
            "docker-registry is not installed",
            remedy="apt-get install docker-registry, or name a registry with --registry HOST",
            error_class=ErrorClass.CONFIGURATION,
        )
    storage = storage or paths.cache("registry")
    for needed in (storage, directory):
        needed.mkdir(parents=True, exist_ok=True)
    spec: dict[str, Any] = {"run": run, "label": _label(run)}
    record(spec)
    try:
        address = _claim_address(spec["label"], start=run) if os.geteuid() == 0 else "127.0.0.1"
        for port in _free_ports(address):
            process = _spawn(program, run, directory, storage, f"{address}:{port}")
            spec = {**spec, "pid": process.pid, "started": _start_time(process.pid)}
            record(spec)
            if _answers(process, run, f"{address}:{port}"):
                return Registry(f"{address}:{port}", spec)
        raise StageError(f"the registry did not come up on {address}: {_why(directory)}")
    except BaseException:
        release(spec)
        raise


def release(spec: Mapping[str, Any]) -> None:
    """End the registry of a spec and give its address back; from any process, and again if need be.

    :raises StageError: it does not end.
    """
    if (pid := spec.get("pid")) and _start_time(pid) == spec["started"]:
        _end(pid, spec["started"])
    for address in _addresses(spec["label"]):
        subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=False, capture_output=True)


# -- its address ------------------------------------------------------------------------------------------------


def _label(run: str) -> str:
    # A label may have 15 characters; it tells our address from another run's when both wanted the same.
    return f"lo:{hashlib.sha256(run.encode()).hexdigest()[:12]}"


def _claim_address(label: str, start: str) -> str:
    """Add a free address to ``lo``. The kernel refuses one that is there, so two runs cannot take the same."""
    hosts = NETWORK.num_addresses - 2
    offset = int(hashlib.sha256(start.encode()).hexdigest(), 16)
    error = ""
    for step in range(hosts):
        address = str(NETWORK[1 + (offset + step) % hosts])
        command = ["ip", "address", "add", f"{address}/32", "dev", "lo", "label", label]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return address
        error = done.stderr.strip()
        if "File exists" not in error:
            break
    raise StageError(f"no address for the run's registry in {NETWORK}: {error}", remedy="--registry HOST names another")


def _addresses(label: str) -> list[str]:
    if not shutil.which("ip"):
        return []
    command = ["ip", "-json", "address", "show", "dev", "lo"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [entry["local"] for link in json.loads(shown) for entry in link["addr_info"] if entry.get("label") == label]


def _free_ports(address: str) -> Iterator[int]:
    for port in range(PORT, PORT + PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise StageError(f"the run's registry cannot listen on {address}:{port}: {error.strerror}") from error
        yield port
    raise StageError(
        f"ports {PORT} to {PORT + PORTS - 1} of {address} are in use", remedy="--registry HOST names another registry"
    )


# -- its process ------------------------------------------------------------------------------------------------


def _spawn(program: str, run: str, directory: Path, storage: Path, address: str) -> subprocess.Popen[bytes]:
    config = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        # No cache of blob descriptors: another run's registry may change the storage under it.
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": address, "headers": {_RUN_HEADER: [run]}},
    }
    path = directory / "registry.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    with (directory / "registry.log").open("wb") as log:
        return subprocess.Popen(
            [program, "serve", str(path)],
            env={**os.environ, RUN_VARIABLE: run},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _answers(process: subprocess.Popen[bytes], run: str, host: str) -> bool:
    """Wait until it answers. False: it ended, as it does when another process took the port first."""
    limit = time.monotonic() + DEADLINE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None:
        try:
            with opener.open(f"http://{host}/v2/", timeout=DEADLINE) as answer:
                if answer.headers[_RUN_HEADER] == run:
                    return True
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        if time.monotonic() > limit:
            raise StageError(f"the run's registry did not answer on {host} within {DEADLINE:.0f} s")
        time.sleep(0.02)
    return False


def _why(directory: Path) -> str:
    lines = (directory / "registry.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _end(pid: int, started: str) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        limit = time.monotonic() + DEADLINE / 2
        while time.monotonic() < limit:
            _reap(pid)
            if _start_time(pid) != started:
                return
            time.sleep(0.02)
    raise StageError(f"the run's registry (process {pid}) does not end")


def _reap(pid: int) -> None:
    """Collect the exit code, if it is our child: a zombie still has its start time."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot (proc(5), field 22); empty: it is no more.

    With the pid it names one process for good, where a pid alone is given to another one later.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]
