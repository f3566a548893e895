"""What this computer lacks to run machines, each with its remedy. It changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import paths
from ..errors import CrosscloudError
from ..toolchain import debian
from ..toolchain.pins import load
from . import boot, cgroups, firewall, linux, network
from .records import Network

#: What machines and nodes run of this computer's programs; pins.toml knows the package of each.
_PROGRAMS = (
    "/usr/lib/systemd/systemd",
    "journalctl",
    "cloud-init",
    "ip",
    "iptables",
    "nsenter",
    "containerd",
    "runc",
    "curl",
    "/usr/lib/cni/ptp",
    "/usr/lib/cni/host-local",
    "/usr/lib/cni/portmap",
    "/usr/lib/cni/loopback",
)

#: Capabilities by their numbers in capability.h.
_CAPABILITIES = {"CAP_DAC_OVERRIDE": 1, "CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27}

#: Seconds for the rehearsal.
_TIMEOUT = 30

#: Bytes that a node needs on its disk: images, etcd's data and logs.
_DISK = 3 * 2**30


def preflight() -> list[str]:
    """Empty if machines can run here. Most serious first: what follows from an earlier line is left out."""
    if platform.system() != "Linux":
        return [f"machines need Linux, this is {platform.system()}: run it in a Linux VM, or choose another cloud"]
    if os.geteuid() != 0:
        return ["machines need root: run it with sudo, or choose another cloud"]
    missing = [name for name, number in _CAPABILITIES.items() if not linux.has_capability(number)]
    if missing:
        return [f"root lacks {', '.join(missing)}: run on the host itself, or in a container with --privileged"]
    return [*_programs(), *_cgroups(), *_disk(), *_separate_usr()] or list(_rehearse())


def _programs() -> Iterator[str]:
    packages = load()["debian"]
    for program in _PROGRAMS:
        if not debian.is_there(program):
            yield f"{program} is missing: apt-get install {packages[program]}"


def _cgroups() -> Iterator[str]:
    try:
        groups = cgroups.current()
    except CrosscloudError as error:
        yield f"{error.message}: {error.remedy}"
        return
    if groups.v1:
        present = {name for hierarchy in groups.v1 for name in hierarchy.options.split(",")}
        for name in sorted({"cpu", "cpuset", "memory", "pids", "name=systemd"} - present):
            option = name if "=" not in name else f"none,{name}"
            folder = f"/sys/fs/cgroup/{name.removeprefix('name=')}"
            yield f"no cgroup hierarchy {name}: mkdir -p {folder} && mount -t cgroup -o {option} cgroup {folder}"
    elif groups.v2:
        present = set((groups.v2.mount_point / "cgroup.controllers").read_text().split())
        if lacking := sorted({"cpu", "cpuset", "memory", "pids"} - present):
            yield f"no cgroup controllers {', '.join(lacking)}: in a container, start it with --cgroupns=host"


def _disk() -> Iterator[str]:
    state = paths.state("machines")
    while not state.exists():
        state = state.parent
    fstype = _file_system(state)
    if fstype == "overlay":
        yield f"{state} is on an overlay, which cannot hold containers: set XDG_STATE_HOME to a folder on ext4 or xfs"
    free = shutil.disk_usage(state).free
    if free < _DISK:
        yield f"{state} has {free >> 20} MiB free, a node needs {_DISK >> 20}: make room or set XDG_STATE_HOME"


def _file_system(path: Path) -> str:
    """The type of the file system that holds the path, from /proc/self/mounts."""
    mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [fields for fields in mounts if path.resolve().is_relative_to(fields[1])]
    # Among mounts on the same point the last one is on top.
    return max(enumerate(holding), key=lambda item: (len(item[1][1]), item[0]))[1][2]


def _separate_usr() -> Iterator[str]:
    if Path("/usr").is_mount():
        yield "/usr is a file system of its own, which an overlay of / does not show: use a host with /usr on /"


def _rehearse() -> Iterator[str]:
    """Try what only the kernel can answer, in namespaces that end with the child process that tries it."""
    # A program of its own, because a fork is not safe in a process with threads.
    program = f"from {__name__} import rehearse; rehearse()"
    done = subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, timeout=_TIMEOUT, check=False
    )
    if done.returncode != 0:
        yield f"the kernel refuses what machines need: {done.stderr.strip()}: load the module, or use another kernel"


def rehearse() -> None:
    """Make and mount, in this process's own new namespaces, what a machine is made of.

    :raises SystemExit: something is refused.
    """
    try:
        _try_kernel()
    except (OSError, CrosscloudError) as error:
        sys.exit(str(error))


def _try_kernel() -> None:
    linux.unshare(boot.NAMESPACES & ~linux.CLONE_NEWPID)
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    stage = Path("/tmp")  # noqa: S108  covered by a file system of this mount namespace's own
    linux.mount("tmpfs", stage, "tmpfs")
    for name in ("upper", "work", "root"):
        (stage / name).mkdir()
    data = f"lowerdir=/,upperdir={stage}/upper,workdir={stage}/work"
    linux.mount("overlay", stage / "root", "overlay", data=data)
    network.ip(["link add test type bridge", "link add test0 type veth peer name test1"])
    firewall.open_up(Network("198.19.0.0/24", "preflight", "test"))
    linux.unshare(linux.CLONE_NEWPID)  # last: it is meant for the next child, and the first one to end closes it
