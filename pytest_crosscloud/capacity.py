"""What this computer has to give to clusters that run on it, and what they take."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from .errors import CrosscloudError
from .machine import cgroups

_MIB = 2**20


@dataclass(frozen=True)
class Room:
    """What something takes, or what there is."""

    memory: int  #: bytes
    disk: int  #: bytes
    processes: int  #: threads among them: the kernel's limits count those
    watches: int  #: inotify instances, of which each user may have so many

    def times(self, number: int) -> Room:
        return Room(*(value * number for value in astuple(self)))

    def plus(self, other: Room) -> Room:
        return Room(*map(sum, zip(astuple(self), astuple(other), strict=True)))


#: What one node takes on the local cloud, with CoreDNS deployed and tested on Kubernetes v1.36.3. Measured in its
#: control groups (total_rss, total_cache without total_inactive_file, pids.current), by `find -links 1` on its disk,
#: and in /proc/*/fd: a control plane that takes pods 608 MiB, 80 MiB of cache in use, 164 threads, 214 MiB beyond what
#: clones share, 25 inotify instances; a worker 76 MiB, 35 MiB, 57 threads, 152 MiB, 12 instances. Rounded up by a tenth
#: and more; a larger project takes more on top, and so does each log that is followed.
CONTROL_PLANE = Room(768 * _MIB, 256 * _MIB, 200, 28)
WORKER = Room(192 * _MIB, 192 * _MIB, 80, 14)

_WATCHES = "fs.inotify.max_user_instances"


def lacking(clusters: int, workers: int, directory: Path) -> list[str]:
    """What this computer lacks for so many clusters at a time, a line each; empty if it has room.

    :param workers: nodes of each cluster beside its control plane.
    :param directory: what the nodes' disks lie in; need not be there yet.
    """
    needed = CONTROL_PLANE.plus(WORKER.times(workers)).times(clusters)
    there = available(directory)
    lines = []
    if there.memory < needed.memory:
        lines.append(f"memory: {needed.memory // _MIB} MiB needed, {there.memory // _MIB} MiB available")
    if there.disk < needed.disk:
        lines.append(f"disk: {needed.disk // _MIB} MiB needed, {there.disk // _MIB} MiB free in {directory}")
    if there.processes < needed.processes:
        lines.append(f"processes: {needed.processes} needed, {there.processes} more allowed")
    if there.watches < needed.watches:
        lines.append(
            f"inotify instances: {needed.watches} needed, {there.watches} left; sysctl -w {_WATCHES}=1024 allows more"
        )
    return lines


def available(directory: Path) -> Room:
    """What there is now, within the kernel's own limits and those of the control group that all of this runs in."""
    while not directory.exists():
        directory = directory.parent
    return Room(memory(), shutil.disk_usage(directory).free, min(_processes()), _watches())


def memory() -> int:
    """Bytes of memory that new processes may take."""
    return min(_memory())


def _memory() -> Iterator[int]:
    for line in _read(Path("/proc/meminfo")).splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024
    yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _groups("memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            if (most := _number(folder / limit)) is not None:
                # Cache that nobody has touched for a while is given up before a limit hurts.
                stat = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
                idle = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
                yield most - (_number(folder / used) or 0) + idle


def _processes() -> Iterator[int]:
    # "0.20 0.18 0.12 1/80 11206": the fourth is running/existing threads (proc_loadavg(5)).
    existing = int(_read(Path("/proc/loadavg")).split()[3].partition("/")[2])
    for name in ("threads-max", "pid_max"):
        if (most := _number(Path("/proc/sys/kernel", name))) is not None:
            yield most - existing
    for folder in _groups("pids"):
        if (most := _number(folder / "pids.max")) is not None:
            yield most - (_number(folder / "pids.current") or 0)


def _watches() -> int:
    """Inotify instances that this user may still make. Nodes take theirs of root's, as this computer's services do."""
    most = _number(Path("/proc/sys", _WATCHES.replace(".", "/")))
    return most - sum(map(_instances, Path("/proc").glob("[0-9]*"))) if most is not None else sys.maxsize


def _instances(process: Path) -> int:
    count = 0
    with suppress(OSError):  # it has ended, or is not ours
        if process.stat().st_uid != os.geteuid():
            return 0
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                count += str(descriptor.readlink()) == "anon_inode:inotify"
    return count


def _groups(controller: str) -> Iterator[Path]:
    """The topmost group that is seen from here: on a host it has no limits, in a container the container's."""
    try:
        layout = cgroups.current()
    except CrosscloudError:  # without control groups there are no limits of theirs
        return
    for hierarchy in layout.v1:
        if controller in hierarchy.options.split(","):
            yield hierarchy.mount_point
    if layout.v2 and not layout.v1:
        yield layout.v2.mount_point


def _number(path: Path) -> int | None:
    """None: there is no such file, or no limit."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
