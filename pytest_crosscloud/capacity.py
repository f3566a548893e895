"""What this computer has to give to clusters that run on it, and what they take: memory, disk and processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
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

    def times(self, number: int) -> Room:
        return Room(self.memory * number, self.disk * number, self.processes * number)

    def plus(self, other: Room) -> Room:
        return Room(self.memory + other.memory, self.disk + other.disk, self.processes + other.processes)


#: What one node takes on the local cloud, with CoreDNS deployed and tested on Kubernetes v1.36.3. Measured in its
#: control groups (total_rss, total_cache without total_inactive_file, pids.current) and by `find -links 1` on its disk:
#: a control plane that takes pods 608 MiB, 80 MiB of cache in use, 164 threads, 214 MiB beyond what clones share; a
#: worker 76 MiB, 35 MiB, 57 threads, 152 MiB. Rounded up by a tenth and more; a larger project takes more on top.
CONTROL_PLANE = Room(768 * _MIB, 256 * _MIB, 200)
WORKER = Room(192 * _MIB, 192 * _MIB, 80)


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
    return lines


def available(directory: Path) -> Room:
    """What there is now, within the kernel's own limits and those of the control group that all of this runs in."""
    while not directory.exists():
        directory = directory.parent
    return Room(memory(), shutil.disk_usage(directory).free, min(_processes()))


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
