"""The reaper's own process: destroys what a run owns, as soon as it may and however pytest ends.

While pytest lives, what is marked ``released`` is destroyed. When pytest is gone (it says so, or its end of the
socket closes, however it died) the run's processes are ended and the rest is destroyed.

A run whose pytest and reaper are both dead gets another such process from the next run's reaper (``reaper.adopt``).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..declared import describe
from ..errors import CrosscloudError
from . import pool, processes, reaper, takeover
from .cluster_lease import Keeper
from .destroy import WAITING, Destruction, Owner, left
from .leases import Lease
from .processes import Process, Program
from .standing import Standing, is_killed, standing
from .store import Store, open_store

#: Seconds between two looks at the store.
_INTERVAL = 0.2

#: Seconds between two looks at what is kept: once another run has taken it, nobody is needed here.
_KEPT_INTERVAL = 5.0

#: Seconds for the reports of a killed run, after all it owned is destroyed.
_REPORTS = 300.0


def main(address: str, run: str, controller: str) -> None:
    """The reaper itself; its standard input is a socket to the controller."""
    connection = socket.socket(fileno=os.dup(0))
    store, lease = _begin(address, run)
    if lease is None:
        sys.exit(f"run {run} has a reaper already")
    connection.sendall(f"{os.getpid()}\n".encode())
    record = store.run(run)
    gone = Process.parse(controller)
    assert record and gone
    program = Program.of(gone)
    teller = _Teller(connection)
    owner = Owner(record, store)
    reuse = record.record["settings"].get("reuse")
    recycle = None if reuse is None else pool.recycler(store, owner, reuse, teller.say)
    destruction = Destruction(store, owner, teller.say, recycle=recycle)
    Keeper(store, owner.leases, run, _log).start()
    with reaper.hold(store, lease):
        _adopt_others(store)
        _watch(store, run, connection, gone, destruction)
        teller.is_listening = _said_finish(connection)
        _log("the run is over" if teller.is_listening else "pytest is gone")
        spare = gone if teller.is_listening else None

        def forks() -> list[Process]:
            return processes.forks_of(program, gone) if program and not spare else []

        if not spare and (seconds := record.record["settings"].get("keep_failed")):
            takeover.keep(store, run, seconds)  # their cells were cut off
        with _reports(store, run) as write:
            reaper.destroy_run(store, run, teller.say, spare=spare, forks=forks, begun=destruction, on_settled=write)
    connection.close()
    # The controller's end must see it close; but SQLite, where it is given a descriptor below 3, closes that again, and
    # with it go all locks that this process has on the file.
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    _wait_for_kept(store, run)


def adopt(address: str, run: str) -> None:
    """The reaper of a run that is over, and that has none any more."""
    store, lease = _begin(address, run)
    if lease:  # else another was faster
        _log(f"run {run} was left behind")
        with reaper.hold(store, lease), _reports(store, run) as write:
            reaper.destroy_run(store, run, _log, on_settled=write)
        _wait_for_kept(store, run)


def _begin(address: str, run: str) -> tuple[Store, Lease | None]:
    """Leave those who started us, and take the run's lease."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, for SIG_IGN would be inherited: what we start must still end when it is told to.
        signal.signal(number, lambda number, frame: _log(f"{signal.Signals(number).name}: staying"))
    if os.fork():
        os._exit(0)  # init adopts the reaper: what ends pytest's process tree does not end it
    os.setsid()
    store = open_store(address)
    return store, reaper.acquire(store, run)


def _watch(store: Store, run: str, connection: socket.socket, controller: Process, destruction: Destruction) -> None:
    """Destroy what is released, until the controller is gone or finished."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    # A child that the controller forked may hold the socket open: the controller's own end shows in a pidfd.
    with suppress(OSError):
        poll.register(os.pidfd_open(controller.pid), select.POLLIN)
    while not poll.poll(_INTERVAL * 1000) and not controller.is_dead:
        for resource in store.resources(run):
            if resource.state in ("released", "returned"):
                destruction.add(resource)


def _adopt_others(store: Store) -> None:
    """Have those runs ended that nobody owns. What goes wrong with one is no reason to leave ours or another."""
    for run in store.runs():
        try:
            if standing(store, run) == Standing.ORPHANED:
                _log(f"run {run.id} was left behind: its destruction is in {reaper.log(run.id)}")
                reaper.adopt(store, run.id)
        except Exception as error:
            _log(f"run {run.id} cannot be ended: {describe(error)}")


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


@contextmanager
def _reports(store: Store, run: str) -> Iterator[Callable[[], None]]:
    """What has the reports written that a killed pytest left undone, beside what is destroyed meanwhile."""
    started: list[subprocess.Popen[bytes]] = []

    def write() -> None:
        record = store.run(run)
        try:
            store.plan(run)
        except CrosscloudError:
            return  # there is nothing to report
        if record and is_killed(record):
            _log("pytest was killed: writing its reports")
            junit = record.record["settings"].get("junit")
            command = [sys.executable, "-m", "pytest_crosscloud", "report", run, *([f"--junit={junit}"] * bool(junit))]
            # A process of its own: neither its memory nor a defect of it keeps anything from being destroyed.
            started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))

    yield write
    for process in started:
        try:
            process.wait(_REPORTS)
        except subprocess.TimeoutExpired:
            process.kill()


def _log(text: str) -> None:
    with suppress(OSError):  # a full disk is no reason to leave anything behind
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stdout.flush()


def _wait_for_kept(store: Store, run: str) -> None:
    """Stay until what the run keeps expires, and destroy it then. Meanwhile ``crosscloud clean`` may.

    Without the store there is nobody left to wait for.
    """
    while store.exists() and (kept := [item for item in store.resources(run) if item.state in WAITING]):
        # At least a second: what has expired stays for as long as another process destroys it.
        time.sleep(min(max(1.0, min(resource.expires or 0 for resource in kept) - time.time()), _KEPT_INTERVAL))
        if left(store, run) and (lease := reaper.acquire(store, run)):
            with reaper.hold(store, lease):
                reaper.destroy_run(store, run, _log)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 3 else adopt(*sys.argv[1:])
