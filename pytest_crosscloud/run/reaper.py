"""The reaper: a process, one per run, that outlives pytest and destroys what the run owned.

While pytest lives, it destroys what is marked ``released``. When pytest is gone (it says so, or its end of the socket
closes, however it died) the reaper ends the run's processes, destroys the rest, and ends.
"""

from __future__ import annotations

import os
import select
import signal
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
from .leases import Heartbeat, Lease, SqliteLeases
from .processes import REAPER_VARIABLE, Process
from .store import Store

#: Seconds between two looks at the store.
_INTERVAL = 0.2

#: Seconds that a reaper's lease lives without a heartbeat.
_TTL = 60.0

#: Seconds for a reaper to come up.
_START = 30.0


class Reaper:
    """The controller's end of its reaper."""

    def __init__(self, store: Path, run: str, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        self._store = store
        self._run = run
        self._socket = connection

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
        store = Store(self._store)
        try:
            remaining = left(store, self._run)
            if not ended:
                return [f"{item.kind} {item.name} is being destroyed in the background" for item in remaining]
            if any(item.state != "failed" for item in remaining):  # the reaper was killed
                return start(self._store, self._run).finish(show, timeout)
        finally:
            store.close()
        return [
            f"{item.kind} {item.name} could not be destroyed: {item.error}\n"
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


def start(store: Path, run: str) -> Reaper:
    """Start the reaper of a run, before the run creates anything.

    :raises CrosscloudError: it did not come up.
    """
    ours, its = socket.socketpair()
    path = log(run)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with its, path.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest_crosscloud.run.reaper", str(store), run, str(Process.current())],
            stdin=its.fileno(),
            stdout=output,
            stderr=output,
            env={**os.environ, REAPER_VARIABLE: run},
            start_new_session=True,
        )
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
        raise CrosscloudError(f"the reaper of run {run} did not start", remedy=f"its log: {path}")
    return Reaper(store, run, ours, int(hello))


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
    begun: Destruction | None = None,
) -> None:
    """End the processes of a run that is over, and destroy what it owns. The caller holds the run's lease.

    :param kept: also what is to be kept for longer.
    :param spare: a process to leave alone: the controller that waits for this.
    :param begun: what is being destroyed already.
    """
    record = store.run(run)
    assert record, f"run {run} is not in the store"
    for process in processes.end_all(lambda: [found for found in processes.of_run(run) if found != spare]):
        say(f"process {process.pid} does not end")
    for result in store.results(run).values():
        if result.status == Status.RUNNING:  # nobody is left to end it
            seconds = time.time() - (result.started or time.time())
            store.record(run, replace(result, status=Status.CANCELLED, seconds=seconds))
    destruction = begun or Destruction(store.path, Owner(record), say)
    for resource in left(store, run, kept=kept):
        destruction.add(resource)
    destruction.finish()
    if record.finished is None:
        store.finish_run(run)


def acquire(store: Store, run: str) -> Lease | None:
    """The right to destroy what a run owns, while the run lives and afterwards; None: another process has it."""
    return SqliteLeases(store).acquire(f"reaper/{run}", str(Process.current()), _TTL)


def hold(store: Store, lease: Lease) -> Heartbeat:
    """Keep that right. Whoever loses it must not go on: another process destroys now."""
    return Heartbeat(store.path, lease, _TTL, on_lost=lambda: os._exit(3))


# -- the process ------------------------------------------------------------------------------------------------


def main(path: str, run: str, controller: str) -> None:
    """The reaper itself; its standard input is a socket to the controller."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=os.dup(0))
    if os.fork():
        os._exit(0)  # init adopts the reaper: what ends pytest's process tree does not end it
    os.setsid()
    store = Store(Path(path))
    lease = acquire(store, run)
    if lease is None:
        sys.exit(f"run {run} has a reaper already")
    connection.sendall(f"{os.getpid()}\n".encode())
    record = store.run(run)
    gone = Process.parse(controller)
    assert record and gone
    teller = _Teller(connection)
    destruction = Destruction(store.path, Owner(record), teller.say)
    with hold(store, lease):
        _watch(store, run, connection, gone, destruction)
        teller.is_listening = _said_finish(connection)
        _log("the run is over" if teller.is_listening else "pytest is gone")
        destroy_run(store, run, teller.say, spare=gone if teller.is_listening else None, begun=destruction)
    connection.close()
    os.close(0)
    _wait_for_kept(store, run)


def _watch(store: Store, run: str, connection: socket.socket, controller: Process, destruction: Destruction) -> None:
    """Destroy what is released, until the controller is gone or finished."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    # A child that the controller forked may hold the socket open: the controller's own end shows in a pidfd.
    with suppress(OSError):
        poll.register(os.pidfd_open(controller.pid), select.POLLIN)
    while not poll.poll(_INTERVAL * 1000) and not controller.is_dead:
        for resource in store.resources(run):
            if resource.state == "released":
                destruction.add(resource)


def _said_finish(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(64).startswith(b"finish")
    except OSError:
        return False


class _Teller:
    """Says what happens: to the log always, to the controller once it listens."""

    def __init__(self, connection: socket.socket) -> None:
        self.is_listening = False
        self._socket = connection

    def say(self, text: str) -> None:
        _log(text)
        if self.is_listening:
            with suppress(OSError):
                self._socket.sendall(f"{text}\n".encode())


def _log(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def _wait_for_kept(store: Store, run: str) -> None:
    """Stay until what the run keeps expires, and destroy it then. Meanwhile ``crosscloud clean`` may."""
    while kept := [resource for resource in store.resources(run) if resource.state == "kept"]:
        time.sleep(min(max(0.0, min(resource.expires or 0 for resource in kept) - time.time()), 60.0))
        if left(store, run) and (lease := acquire(store, run)):
            with hold(store, lease):
                destroy_run(store, run, _log)


if __name__ == "__main__":
    main(*sys.argv[1:])
