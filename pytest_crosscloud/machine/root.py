"""The root file system of a machine: this host's root, copy-on-write, without what is this host's own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .. import paths
from . import cgroups, disk, layer, linux
from .records import Machine

#: Where the pieces are mounted before they become the root; each machine sees only its own (mount namespace).
_STAGE = Path("/run/crosscloud/root")

#: Kernel settings that are the whole host's, and what kubelet wants to find there. A machine reads and writes a
#: private copy, so that no cluster changes the host.
_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

_NETWORK_SYSCTLS = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    # A pod that talks to its own node's pod through a Service needs the answer to pass conntrack again.
    "bridge/bridge-nf-call-iptables": "1",
}

_DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9, "kmsg": 11}  # minor numbers of major 1


def build(machine: Machine, user_data: str, groups: cgroups.Layout) -> None:
    """Make the root of a machine and enter it. To be called in the machine's own mount namespace.

    :raises OSError: a mount is refused.
    """
    os.umask(0o022)  # directories of the upper layer show their own modes, not those of the host's beneath them
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", _STAGE, "tmpfs", data="mode=755")
    upper, work, root = (_STAGE / name for name in ("upper", "work", "root"))
    for directory in (upper, work, root):
        directory.mkdir()
    layer.fill(upper, machine, user_data)
    linux.mount("overlay", root, "overlay", data=f"lowerdir=/,upperdir={upper},workdir={work}")
    _mount_kernel(root, groups)
    _mount_devices(root)
    linux.mount("tmpfs", root / "tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV)
    linux.mount("tmpfs", root / "run", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
    (root / "run/lock").mkdir()
    for path in disk.SERVED:
        linux.bind(Path(machine.disk, path), root / path)
    journal = root / "run/log/journal"
    journal.mkdir(parents=True)
    linux.bind(Path(machine.disk, disk.JOURNAL), journal)
    # What this computer has built or fetched is there for the machine too, at the same path: its download mirror.
    mirror = root / paths.cache().relative_to("/")
    mirror.mkdir(parents=True, exist_ok=True)
    linux.bind(paths.cache(), mirror, read_only=True)
    linux.pivot_root(root)
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_SHARED)  # kubelet: volumes propagate to and from pods


def stage() -> None:
    """Make the directories of this host that ``build`` needs."""
    _STAGE.mkdir(parents=True, exist_ok=True)
    paths.cache().mkdir(parents=True, exist_ok=True)


def _mount_kernel(root: Path, groups: cgroups.Layout) -> None:
    guarded = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("proc", root / "proc", "proc", guarded)
    for name, value in _NETWORK_SYSCTLS.items():
        path = root / "proc/sys/net" / name
        if path.exists():
            path.write_text(value)
    # Settings of the network are the machine's own; all others are the host's.
    settings = root / "proc/sys"
    linux.bind(settings / "net", settings / "net")
    linux.mount(str(settings), settings, flags=linux.MS_BIND | linux.MS_REC)
    linux.mount("", settings, flags=linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | guarded)
    trigger = root / "proc/sysrq-trigger"  # "b" written to it reboots the host
    if trigger.exists():
        linux.bind(trigger, trigger, read_only=True)
    private = _STAGE / "sysctl"
    for name, value in _SYSCTLS.items():
        if not (settings / name).exists():
            continue
        copy = private / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(f"{value}\n")
        linux.bind(copy, settings / name)
    linux.mount("sysfs", root / "sys", "sysfs", guarded)
    cgroups.mount(groups, root / "sys/fs/cgroup")
    linux.mount("", root / "sys", flags=linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | guarded)


def _mount_devices(root: Path) -> None:
    dev = root / "dev"
    linux.mount("tmpfs", dev, "tmpfs", linux.MS_NOSUID, "mode=755")
    for name, minor in _DEVICES.items():
        _device(dev / name, 1, minor)
    _device(dev / "tty", 5, 0)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(target)
    (dev / "ptmx").symlink_to("pts/ptmx")
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    linux.mount(
        "devpts", dev / "pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"
    )
    linux.mount("tmpfs", dev / "shm", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV)
    linux.mount("mqueue", dev / "mqueue", "mqueue", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)


def _device(path: Path, major: int, minor: int) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    path.chmod(0o666)
