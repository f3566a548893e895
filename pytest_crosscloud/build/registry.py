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
from ..run import processes
from ..stage import RESOURCE_VARIABLE, RUN_VARIABLE

#: Where the registries of runs listen with root: addresses for tests (RFC 2544) that no real network uses.
NETWORK = ipaddress.ip_network("198.18.0.0/20")

#: The first port that is tried, and how many after it.
PORT, PORTS = 5000, 50

#: Seconds that a registry gets to answer, and any program to end.
DEADLINE = 15.0

#: Kind and name under which a run's registry is recorded in the store; its process carries them.
RESOURCE = "registry/registry"

_RUN_HEADER = "X-Crosscloud-Run"


@dataclass(frozen=True)
class Registry:
    """A registry that a run uses. ``spec`` is what ``release`` needs; empty for one that was there before."""

    host: str  #: ``host:port``
    spec: Mapping[str, Any] = field(default_factory=dict)


def start(
    run: str,
    directory: Path,
    record: Callable[[dict[str, Any]], None],
    *,
    storage: Path | None = None,
    access_log: bool = False,
) -> Registry:
    """Start a registry for ``run`` and wait until it answers.

    :param directory: of the run: its configuration and its log go here.
    :param record: called with the spec for ``release``, before anything is made.
    :param storage: where images are kept, by default in the cache.
    :param access_log: whether its log has a line for each request.
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
    spec = {"run": run}
    record(spec)
    try:
        address = _claim_address(run) if os.geteuid() == 0 else "127.0.0.1"
        for port in _free_ports(address):
            host = f"{address}:{port}"
            _spawn(program, run, directory, storage, host, access_log)
            if _answers(run, host):
                return Registry(host, spec)
            why = _last_words(directory)
            if "address already in use" not in why:
                break
        raise StageError(f"the run's registry did not come up on {address}: {why}")
    except BaseException:
        release(spec)
        raise


def release(spec: Mapping[str, Any]) -> None:
    """End the registry of a spec and give its address back; from any process, and again if need be.

    :raises StageError: it does not end.
    """
    run = spec["run"]
    if left := processes.end_all(lambda: processes.of_resource(run, RESOURCE)):
        raise StageError(f"the run's registry (process {left[0].pid}) does not end")
    for address in [address for address, label in _labels().items() if label == _label(run)]:
        _ip("address", "del", f"{address}/32", "dev", "lo")


# -- its address ------------------------------------------------------------------------------------------------


def _label(run: str) -> str:
    # A label may have 15 characters; it tells our address from another run's when both wanted the same.
    return f"lo:{hashlib.sha256(run.encode()).hexdigest()[:12]}"


def _claim_address(run: str) -> str:
    """Add a free address to ``lo``. The kernel refuses one that is there, so two runs cannot take the same."""
    hosts = NETWORK.num_addresses - 2
    # All runs begin at the same place: the next one gets the address of the last one, and clusters of the pool pull
    # from no other than the one that they were told of when they were made.
    offset = int(hashlib.sha256(str(paths.state()).encode()).hexdigest(), 16)
    error = ""
    for step in range(hosts):
        address = str(NETWORK[1 + (offset + step) % hosts])
        done = _ip("address", "add", f"{address}/32", "dev", "lo", "label", _label(run))
        if done.returncode == 0:
            return address
        error = done.stderr.strip()
        if address not in _labels():  # it was refused for another reason than being there
            break
    raise StageError(f"no address for the run's registry in {NETWORK}: {error}", remedy="--registry HOST names another")


def _labels() -> dict[str, str]:
    """The label of each address of ``lo``."""
    if not shutil.which("ip"):
        return {}
    shown = _ip("-json", "address", "show", "dev", "lo")
    shown.check_returncode()
    return {entry["local"]: entry.get("label", "") for link in json.loads(shown.stdout) for entry in link["addr_info"]}


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        raise StageError(f"`ip {' '.join(arguments)}` did not end within {DEADLINE:.0f} s") from None


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


def _spawn(program: str, run: str, directory: Path, storage: Path, host: str, access_log: bool) -> None:
    config = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": not access_log}},
        # No cache of blob descriptors: another run's registry may change the storage under it.
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": host, "headers": {_RUN_HEADER: [run]}},
    }
    path = directory / "registry.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    with (directory / "registry.log").open("wb") as log:
        # setsid parts it from us: it may outlive this process, and its exit code is nobody's.
        subprocess.run(
            ["setsid", "--fork", program, "serve", str(path)],
            env={**os.environ, RUN_VARIABLE: run, RESOURCE_VARIABLE: RESOURCE},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            timeout=DEADLINE,
        )


def _answers(run: str, host: str) -> bool:
    """Wait until it answers. False: it ended, as it does when another process took the port first."""
    limit = time.monotonic() + DEADLINE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while processes.of_resource(run, RESOURCE):
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


def _last_words(directory: Path) -> str:
    lines = (directory / "registry.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
