"""A machine's control groups, on hosts with cgroup v1 hierarchies and on hosts with cgroup v2 only.

In each hierarchy a machine has the group ``crosscloud/RUN/NAME``: whoever finds it knows whose it is.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import CrosscloudError
from . import linux

TOP = "crosscloud"

#: Controllers that Kubernetes needs delegated.
_DELEGATED = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")

#: Words among a v1 mount's options that are controllers (cgroups(7)).
_V1_CONTROLLERS = frozenset(
    "cpu cpuacct cpuset memory devices freezer blkio pids net_cls net_prio perf_event hugetlb rdma misc".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy: ``options`` is ``cpu,cpuacct``, ``name=systemd``, … or empty for cgroup v2."""

    mount_point: Path
    options: str = ""

    @property
    def folder(self) -> str:
        """Where under /sys/fs/cgroup it belongs."""
        return self.options.removeprefix("name=")


@dataclass(frozen=True)
class Layout:
    """Which hierarchies machines get. With ``v1``, a cgroup v2 mount beside them has no controllers, and only
    serves to find a machine's processes."""

    v1: tuple[Hierarchy, ...]
    v2: Hierarchy | None

    @property
    def all(self) -> tuple[Hierarchy, ...]:
        return (*self.v1, *((self.v2,) if self.v2 else ()))


def layout(mounts: str) -> Layout:
    """Decide from the text of /proc/mounts.

    :raises CrosscloudError: no control groups are mounted.
    """
    v1: dict[str, Hierarchy] = {}
    v2 = None
    for line in mounts.splitlines():
        _, point, fstype, options, *_ = line.split(" ")
        if fstype == "cgroup":
            names = ",".join(name for name in options.split(",") if name in _V1_CONTROLLERS or name[:5] == "name=")
            if names:
                v1.setdefault(names, Hierarchy(Path(point), names))
        elif fstype == "cgroup2" and v2 is None:
            v2 = Hierarchy(Path(point))
    if not any(not names.startswith("name=") for names in v1):
        v1 = {}  # only a named hierarchy: the controllers are in v2
    if not v1 and not v2:
        raise CrosscloudError("no control groups are mounted", remedy="mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    return Layout(tuple(v1.values()), v2)


def current() -> Layout:
    return layout(Path("/proc/self/mounts").read_text())


def create(groups: Layout, run: str, name: str) -> None:
    """Make the machine's group in each hierarchy, ready for processes to join."""
    for hierarchy in groups.all:
        group = hierarchy.mount_point
        for part in (TOP, run, name):
            if not hierarchy.options and not groups.v1:
                _delegate(group)
            group = group / part
            _make(group)
            if "cpuset" in hierarchy.options.split(","):
                for file in ("cpuset.cpus", "cpuset.mems"):  # a new v1 group has none, and takes no process
                    (group / file).write_text((group.parent / file).read_text())


def join(groups: Layout, run: str, name: str) -> None:
    """Move this process into the machine's group of each hierarchy.

    :raises FileNotFoundError: the groups were removed meanwhile.
    """
    for hierarchy in groups.all:
        with (hierarchy.mount_point / TOP / run / name / "cgroup.procs").open("w") as procs:
            procs.write("0")


def mount(groups: Layout, target: Path) -> None:
    """Mount the hierarchies at ``target``, seen from this process's own cgroup namespace."""
    if not groups.v1:
        linux.mount("cgroup2", target, "cgroup2", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        return
    linux.mount("tmpfs", target, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
    for hierarchy in groups.v1:
        folder = target / hierarchy.folder
        folder.mkdir()
        data = f"none,{hierarchy.options}" if hierarchy.options.startswith("name=") else hierarchy.options
        linux.mount("cgroup", folder, "cgroup", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC, data)
        for alias in hierarchy.folder.split(","):
            if alias != hierarchy.folder:
                (target / alias).symlink_to(hierarchy.folder)


def processes(groups: Layout, run: str, name: str = "") -> set[int]:
    """Pids in the machine's groups (or in all of the run's), as the host numbers them."""
    found: set[int] = set()
    for root in _roots(groups, run, name):
        for directory, _, _ in os.walk(root):
            try:
                text = Path(directory, "cgroup.procs").read_text()
            except OSError:  # removed while we walk
                continue
            found.update(int(pid) for pid in text.split() if pid != "0")
    return found


def kill(groups: Layout, run: str, name: str, first: int, timeout: float) -> None:
    """SIGKILL everything in the machine's groups and wait until none of it is left.

    The machine's first process ``first`` (0: unknown) goes first: the kernel then ends all of its pid namespace.

    :raises CrosscloudError: something is left after ``timeout`` seconds.
    """
    limit = time.monotonic() + timeout
    targets = {first} if first else set()
    while targets := targets | processes(groups, run, name):
        for pid in targets:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > limit:
            raise CrosscloudError(
                f"machine {name}: processes do not end: {sorted(targets)}",
                remedy="look for state D in ps; they wait for a device or a network file system",
            )
        time.sleep(0.002)
        targets = {first} if first and linux.start_time(first) else set()


def remove(groups: Layout, run: str, name: str, timeout: float) -> None:
    """Remove the machine's groups, and the run's and the top one when they are empty.

    :raises OSError: a group is busy after ``timeout`` seconds.
    """
    limit = time.monotonic() + timeout
    for root in _roots(groups, run, name):
        for directory, _, _ in os.walk(root, topdown=False):
            while True:
                try:
                    Path(directory).rmdir()
                except FileNotFoundError:
                    pass
                except OSError:  # the last process has ended, but not yet left its group
                    if time.monotonic() > limit:
                        raise
                    time.sleep(0.002)
                    continue
                break
        for parent in (root.parent, root.parent.parent):
            try:
                parent.rmdir()
            except OSError:  # other machines, other runs
                break


def groups_of(groups: Layout, run: str) -> list[Path]:
    """The machines' groups of a run that exist, in every hierarchy."""
    return [path for root in _roots(groups, run) if root.is_dir() for path in sorted(root.iterdir()) if path.is_dir()]


def runs(groups: Layout) -> set[str]:
    """Ids of the runs whose machines have groups."""
    tops = (hierarchy.mount_point / TOP for hierarchy in groups.all)
    return {path.name for top in tops if top.is_dir() for path in top.iterdir() if path.is_dir()}


def _roots(groups: Layout, run: str, name: str = "") -> Iterator[Path]:
    for hierarchy in groups.all:
        yield hierarchy.mount_point / TOP / run / name


def _make(group: Path) -> None:
    for _ in range(100):
        try:
            group.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # another run's last machine ended and took the empty parent with it
            continue
        return


def _delegate(group: Path) -> None:
    """Give a v2 group's children the controllers that Kubernetes needs and the group itself has.

    :raises CrosscloudError: the group has processes of its own, which cgroup v2 forbids beside controllers.
    """
    available = (group / "cgroup.controllers").read_text().split()
    enabled = (group / "cgroup.subtree_control").read_text().split()
    missing = [f"+{name}" for name in _DELEGATED if name in available and name not in enabled]
    if not missing:
        return
    try:
        (group / "cgroup.subtree_control").write_text(" ".join(missing))
    except OSError as error:
        raise CrosscloudError(
            f"cannot delegate controllers to {group}: {error.strerror}",
            remedy=f"move the processes out: mkdir {group}/init && for p in $(cat {group}/cgroup.procs);"
            f" do echo $p > {group}/init/cgroup.procs; done",
        ) from error
