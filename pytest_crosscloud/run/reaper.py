"""The reaper of a run, a process that outlives pytest: how it is started and finished, and what ends a run.

Whoever holds a run's lease may destroy what the run owns: its reaper (``reaper_process``), or ``crosscloud clean``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..errors import CrosscloudError
from ..model import Status
from . import context, processes
from .destroy import Destruction, Owner, left
from .leases import Heartbeat, Lease
from .processes import REAPER_VARIABLE, Process
from .store import Store, StoreFull

#: Seconds that a reaper's lease lives without a heartbeat.
_TTL = 60.0

#: Seconds for a reaper to come up.
_START = 30.0


class Reaper:
    """The controller's end of its reaper."""

    def __init__(self, store: Store, run: str, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        self._store = store
        self._run = run
        self._socket = connection
        self._is_first = True

    def finish(self, show: Callable[[str], None], timeout: float = 3600.0) -> list[str]:
        """End the run: wait until all it owned is destroyed, and show that meanwhile.

        :param timeout: in seconds; after it, and after Ctrl-C, the reaper goes on alone.
        :returns: what is not destroyed, for a person.
        """
        try:
            ended = self._wait(show, timeout)
        except KeyboardInterrupt:
            ended = False
        finally:
            self._socket.close()
        remaining = left(self._store, self._run)
        if not ended:
            return [f"{item.kind} {item.name} is being destroyed in the background" for item in remaining]
        if self._is_first and any(item.state != "failed" for item in remaining):  # it was killed
            another = start(self._store, self._run)
            another._is_first = False
            return another.finish(show, timeout)
        return [
            f"{item.kind} {item.name} could not be destroyed: {item.error or item.state}\n"
            f"  crosscloud clean --run {self._run} tries again"
            for item in remaining
        ]

    def _wait(self, show: Callable[[str], None], timeout: float) -> bool:
        limit = time.monotonic() + timeout
        with suppress(OSError):
            self._socket.sendall(b"finish\n")
            self._socket.shutdown(socket.SHUT_WR)
        text = b""
        while (seconds := limit - time.monotonic()) > 0:
            self._socket.settimeout(seconds)
            try:
                received = self._socket.recv(4096)
            except OSError:
                received = b""
            *lines, text = (text + received).split(b"\n")
            for line in lines:
                show(line.decode())
            if not received:
                return True
        return False


def start(store: Store, run: str) -> Reaper:
    """Start the reaper of a run, before the run creates anything.

    :raises CrosscloudError: it did not come up.
    """
    ours, its = socket.socketpair()
    with its:
        process = _process(store, run, str(Process.current()), stdin=its.fileno())
    ours.settimeout(_START)
    try:
        hello = ours.recv(64).decode()
        process.wait(_START)  # it parts from us by a fork
    except (OSError, subprocess.TimeoutExpired):
        hello = ""
    if not hello.strip().isdigit():
        ours.close()
        process.kill()
        process.wait()
        raise CrosscloudError(f"the reaper of run {run} did not start", remedy=f"its log: {log(run)}")
    return Reaper(store, run, ours, int(hello))


def adopt(store: Store, run: str) -> None:
    """Start a reaper for a run that is over and has none any more: it destroys what the run left, and ends.

    A process of its own: it outlives the caller, and is found, as whatever it starts, by the run that it ends.

    :raises OSError: no process can be started.
    """
    _process(store, run).wait(_START)  # it parts from us by a fork


def _process(store: Store, run: str, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    path = log(run)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest_crosscloud.run.reaper_process", store.address, run, *arguments],
            stdin=stdin,
            stdout=output,
            stderr=output,
            env={**os.environ, REAPER_VARIABLE: run},
            start_new_session=True,
        )


def log(run: str) -> Path:
    """Where the reaper of a run says what it does."""
    return context.directory(run) / "reaper.log"


def destroy_run(
    store: Store,
    run: str,
    say: Callable[[str], None],
    *,
    kept: bool = False,
    spare: Process | None = None,
    forks: Callable[[], list[Process]] = list,
    begun: Destruction | None = None,
    on_settled: Callable[[], None] = lambda: None,
) -> None:
    """End the processes of a run that is over, and destroy what it owns. The caller holds the run's lease.

    :param kept: also what is to be kept for longer.
    :param spare: a process to leave alone: the controller that waits for this.
    :param forks: finds processes of a controller that is gone which do not carry the run yet.
    :param begun: what is being destroyed already.
    :param on_settled: called when its processes have ended: its results do not change any more.
    """
    record = store.run(run)
    assert record, f"run {run} is not in the store"

    def find() -> list[Process]:
        return [process for process in {*processes.of_run(run), *forks()} if process != spare]

    for process in processes.end_all(find):
        say(f"process {process.pid} does not end")
    for result in store.results(run).values():
        if result.status == Status.RUNNING:  # nobody is left to end it
            seconds = time.time() - (result.started or time.time())
            with suppress(StoreFull):  # first of all, nothing may be left behind
                store.record(run, replace(result, status=Status.CANCELLED, seconds=seconds))
    on_settled()
    destruction = begun or Destruction(store, Owner(record, store), say)
    for resource in left(store, run, kept=kept):
        destruction.add(resource)
    destruction.finish()
    if record.finished is None:
        store.finish_run(run)


def acquire(store: Store, run: str) -> Lease | None:
    """The right to destroy what a run owns, while the run lives and afterwards; None: another process has it.

    Whoever has it ends what a former holder left running: two must not destroy the same thing at once.
    """
    lease = store.leases().acquire(_lease_name(run), str(Process.current()), _TTL)
    if lease:
        processes.end_all(lambda: processes.of_reaper(run))
    return lease


def is_held(store: Store, run: str) -> bool:
    """Whether some process has that right now."""
    return store.leases().holder(_lease_name(run)) is not None


def _lease_name(run: str) -> str:
    return f"reaper/{run}"


def hold(store: Store, lease: Lease) -> Heartbeat:
    """Keep that right. Whoever loses it must not go on: another process destroys now."""
    return Heartbeat(store.leases(), lease, _TTL, on_lost=lambda: os._exit(3))
