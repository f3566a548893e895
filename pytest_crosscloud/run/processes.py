"""Processes of this host: named for good, found by the run that they belong to, and ended.

A pid alone is given to another process later; with its start time it names one process. Signals go through a
pidfd, so that they cannot reach a process that took the pid in between.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

#: Every process of a run carries it, so that the reaper finds them after a ``kill -9``.
RUN_VARIABLE = "CROSSCLOUD_RUN"

#: The key of the stage that started a process, so that whoever takes the stage over from a dead worker finds it.
STAGE_VARIABLE = "CROSSCLOUD_STAGE"

#: Set for a process that is itself a recorded resource (a registry, a machine), to ``kind/name``: the resource's
#: destroyer ends it, not the reaper's search, and keeping the resource keeps it.
RESOURCE_VARIABLE = "CROSSCLOUD_RESOURCE"

#: In the environment of a run's reaper and of what that starts, with the run's id: the run's other processes end first.
REAPER_VARIABLE = "CROSSCLOUD_REAPER"

#: Seconds between SIGTERM and SIGKILL. Terraform gets more, for cut short it forgets what it has just created.
GRACE = 3.0
TERRAFORM_GRACE = 60.0
_TERRAFORM = {"terraform", "tofu"}

#: In Terraform's working directory, with its pid and start: it has had its SIGTERM. At a second one, from whomever, it
#: gives up at once and loses what it is creating.
_ASKED = ".crosscloud-asked-{0.pid}-{0.start}"


@dataclass(frozen=True)
class Process:
    """One process, now and for ever: ``host`` is this boot of this kernel, and the pid namespace."""

    pid: int
    start: int  #: clock ticks since boot (proc(5), field 22 of stat)
    host: str

    @classmethod
    def current(cls) -> Self:
        found = cls.of(os.getpid())
        assert found
        return found

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this pid now; None if there is none (a zombie is none)."""
        stat = _stat(pid)
        return cls(pid, stat.start, this_host()) if stat and stat.state != "Z" else None

    def __str__(self) -> str:
        return f"{self.pid}:{self.start}@{self.host}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what ``str`` wrote; None if ``text`` is something else."""
        numbers, _, host = text.partition("@")
        pid, _, start = numbers.partition(":")
        return cls(int(pid), int(start), host) if pid.isdigit() and start.isdigit() and host else None

    @property
    def is_dead(self) -> bool:
        """Known to be gone. Of a process on another host nothing is known, so it is not."""
        return self.host == this_host() and Process.of(self.pid) != self


@dataclass(frozen=True)
class Program:
    """One program in execution: where the kernel put its arguments and its environment.

    The addresses are drawn anew by each execve(2), and kept by a fork.
    """

    arguments: int
    environment: int

    @classmethod
    def of(cls, process: Process) -> Program | None:
        """The program that the process runs now, by which its forks are known: None where they are not.

        It is gone, or not ours to look at; or it is itself a fork, and others like it are there or may come.
        """
        stat = _stat(process.pid)
        if not stat or stat.start != process.start or not stat.has_environment:
            return None
        others = (fork for fork in forks_of(stat.program, process) if not _has_ancestor(fork.pid, {process.pid}))
        return None if any(others) else stat.program


@cache
def this_host() -> str:
    """What pids and start times mean something on: this boot, this pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def of_run(run: str) -> list[Process]:
    """Processes whose environment says that they belong to ``run``; without its reaper, and without those that a
    recorded resource consists of."""
    others = (f"{RESOURCE_VARIABLE}=".encode(), f"{REAPER_VARIABLE}=".encode())
    return _search(
        lambda variables: (
            f"{RUN_VARIABLE}={run}".encode() in variables
            and not any(variable.startswith(others) for variable in variables)
        )
    )


def forks_of(program: Program, process: Process) -> list[Process]:
    """Forks of the process that run the program which it ran, for they have not executed another one yet.

    A fork shows the environment that its program was executed with, which is before pytest had a run: a command that
    a controller was just starting when it died is found by nothing else.
    """
    forks = (pid for pid in _pids() if (stat := _stat(pid)) and stat.program == program)
    return [fork for fork in map(Process.of, forks) if fork and fork != process]


def of_stage(run: str, stage: str) -> list[Process]:
    """Processes that the stage of the key ``stage`` started, without what a recorded resource consists of."""
    wanted = {f"{RUN_VARIABLE}={run}".encode(), f"{STAGE_VARIABLE}={stage}".encode()}
    resource = f"{RESOURCE_VARIABLE}=".encode()
    return _search(lambda have: wanted <= set(have) and not any(item.startswith(resource) for item in have))


def children_of_run(run: str) -> list[Process]:
    """Those of the run's processes that this one started: the workers, in pytest's controller."""
    return [process for process in of_run(run) if (stat := _stat(process.pid)) and stat.parent == os.getpid()]


def of_resource(run: str, resource: str) -> list[Process]:
    """Processes that a recorded resource of ``run`` consists of; ``resource`` is its ``kind/name``."""
    wanted = {f"{RUN_VARIABLE}={run}".encode(), f"{RESOURCE_VARIABLE}={resource}".encode()}
    return _search(lambda variables: wanted <= set(variables))


def of_group(group: int) -> list[Process]:
    """The members of a process group."""
    members = (pid for pid in _pids() if (stat := _stat(pid)) and stat.group == group)
    return [process for process in map(Process.of, members) if process]


def of_reaper(run: str) -> list[Process]:
    """The run's reaper, if that is another process than this, and what it started."""
    return _search(lambda variables: f"{REAPER_VARIABLE}={run}".encode() in variables)


def _search(belongs: Callable[[list[bytes]], bool]) -> list[Process]:
    found = (Process.of(pid) for pid in _pids() if pid != os.getpid() and belongs(_environ(pid)))
    return [process for process in found if process]


def started_at(pid: int) -> float | None:
    """When the process that has this pid now started, in seconds since the epoch; None if there is none."""
    process = Process.of(pid)
    if process is None:
        return None
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + process.start / os.sysconf("SC_CLK_TCK")


def end_all(find: Callable[[], Iterable[Process]], grace: float = GRACE) -> list[Process]:
    """End all that ``find`` finds, also what those start meanwhile: SIGTERM, a grace, SIGKILL.

    What Terraform started is left to Terraform as long as that has time. Terraform itself is asked once, also when
    whoever asked it was killed over it and another comes to end it.

    :returns: those that are still there, which is none but for processes the kernel holds on to.
    """
    asked: set[Process] = set()
    limit = time.monotonic() + grace
    while processes := list(find()):
        now = time.monotonic()
        terraform = {process.pid for process in processes if _name(process.pid) in _TERRAFORM}
        if now > limit + (TERRAFORM_GRACE if terraform else 0.0):
            break
        shielded = [process for process in processes if _has_ancestor(process.pid, terraform)]
        for process in processes:
            if process not in asked and process not in shielded:
                if process.pid not in terraform or _is_first_to_ask(process):
                    send(process, signal.SIGTERM)
                asked.add(process)
        _wait([process for process in processes if process not in shielded], 0.2)
    limit = time.monotonic() + grace
    while (processes := list(find())) and time.monotonic() < limit:
        for process in processes:
            send(process, signal.SIGKILL)
        _wait(processes, 0.2)
    return list(find())


def _is_first_to_ask(terraform: Process) -> bool:
    try:
        Path(f"/proc/{terraform.pid}/cwd", _ASKED.format(terraform)).touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:  # it is gone; or its directory is, and with it the state that it could lose
        pass
    return True


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process. False: it is gone, or not ours to signal."""
    with _pidfd(process) as fd:
        if fd is None:
            return False
        try:
            signal.pidfd_send_signal(fd, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


@contextmanager
def _pidfd(process: Process) -> Iterator[int | None]:
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        yield None
        return
    try:
        # Only now that the descriptor pins the pid does the comparison mean something.
        yield fd if Process.of(process.pid) == process else None
    finally:
        os.close(fd)


def _wait(processes: Iterable[Process], seconds: float) -> None:
    """Wait until the first of them has ended, at most ``seconds``."""
    poll = select.poll()
    fds = []
    try:
        for process in processes:
            try:
                fd = os.pidfd_open(process.pid)
            except OSError:
                continue
            fds.append(fd)
            poll.register(fd, select.POLLIN)
        poll.poll(seconds * 1000)
    finally:
        for fd in fds:
            os.close(fd)


# -- /proc ------------------------------------------------------------------------------------------------------


#: Seconds for an execve(2), which reads the program from the disk: a registry's first one took longer than 10 ms.
_EXECVE = 5.0

#: The kernel's own processes are children of this one, and have no environment.
_KTHREADD = 2


@dataclass(frozen=True)
class _Stat:
    name: str
    state: str
    parent: int
    group: int
    start: int
    program: Program
    has_environment: bool  #: False: the kernel's own, or one that is executing another program just now


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may itself contain anything, also parentheses and spaces.
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    # proc(5): state is field 3, start field 22, arg_start 48, env_start 50, env_end 51.
    return _Stat(
        name=head.partition("(")[2],
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        start=int(fields[19]),
        program=Program(int(fields[45]), int(fields[47])),
        has_environment=fields[48] != "0",
    )


def _name(pid: int) -> str:
    stat = _stat(pid)
    return stat.name if stat else ""


def _has_ancestor(pid: int, ancestors: set[int]) -> bool:
    seen = set()
    while (stat := _stat(pid)) and stat.parent not in seen:
        if stat.parent in ancestors:
            return True
        seen.add(stat.parent)
        pid = stat.parent
    return False


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())


def _environ(pid: int) -> list[bytes]:
    """A process's environment. While it executes another program, the kernel shows none for a moment: look again."""
    limit = time.monotonic() + _EXECVE
    try:
        while not (content := Path(f"/proc/{pid}/environ").read_bytes()):
            stat = _stat(pid)
            if stat is None or stat.state == "Z" or stat.parent == _KTHREADD or pid == _KTHREADD:
                return []
            if stat.has_environment or time.monotonic() > limit:
                # It is empty indeed; or execve(2) ended between the two looks.
                return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            time.sleep(0.001)
    except OSError:
        return []
    return content.split(b"\0")
