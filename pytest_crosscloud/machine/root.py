"""The root file system of a machine: this host's root, copy-on-write, without what is this host's own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .. import paths
from . import cgroups, disk, linux
from .records import Machine, Network

#: Where the pieces are mounted before they become the root; each machine sees only its own (mount namespace).
_STAGE = Path("/run/crosscloud/root")

#: Directories of this host that a machine finds empty: identity, secrets, state, and what would be started.
_EMPTY = (
    "etc/cloud",
    "etc/containerd",
    "etc/cni",
    "etc/kubernetes",
    "etc/ssh",
    "etc/systemd",
    "home",
    "media",
    "mnt",
    "root",
    "srv",
    "usr/lib/systemd/system-generators",
    "usr/lib/systemd/system-environment-generators",
    "var/cache",
    "var/lib/cloud",
    "var/lib/cni",
    "var/lib/containerd",
    "var/lib/etcd",
    "var/lib/kubelet",
    "var/lib/systemd",
    "var/log",
    "var/spool",
    "var/tmp",
)

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

_CAP_SYS_RESOURCE = 24

_UNITS = {
    "crosscloud.target": """\
[Unit]
Description=Machine
Requires=multi-user.target
Wants=cloud-init.service
After=multi-user.target
AllowIsolate=yes
""",
    # All of user-data in one stage, as each is another start of Python; the last one only tells `cloud-init status`.
    # It runs after multi-user.target, as on a VM, so that user-data may start any service and wait for it.
    "cloud-init.service": """\
[Unit]
Description=cloud-init
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/bin/cloud-init init --local
ExecStart=/usr/bin/cloud-init modules --mode=final
RemainAfterExit=yes
TimeoutSec=0
KillMode=process
TasksMax=infinity
""",
}

_WANTS = {
    "sysinit.target.wants": ("systemd-journald.service",),
    "sockets.target.wants": ("systemd-journald.socket", "systemd-journald-dev-log.socket"),
}

_JOURNALD = """\
[Journal]
Storage=volatile
RuntimeMaxUse=64M
RateLimitBurst=0
ReadKMsg=no
Audit=no
ForwardToSyslog=no
ForwardToWall=no
"""

_CLOUD_INIT = """\
datasource_list: [NoCloud, None]
datasource: {NoCloud: {fs_label: null}}
disable_root: false
preserve_hostname: true
users: []
cloud_init_modules: [write-files, runcmd, scripts-user]
cloud_config_modules: []
cloud_final_modules: [final-message]
logcfg: |
  [loggers]
  keys=root
  [handlers]
  keys=console
  [formatters]
  keys=plain
  [logger_root]
  level=WARNING
  handlers=console
  [handler_console]
  class=StreamHandler
  args=(sys.stderr,)
  formatter=plain
  [formatter_plain]
  format=%(levelname)s %(module)s: %(message)s
system_info:
  distro: debian
  paths: {cloud_dir: /var/lib/cloud/, templates_dir: /etc/cloud/templates/}
"""

#: Without CAP_SYS_RESOURCE a process cannot make itself less likely to be killed than its parent: systemd then
#: refuses to start a service that asks for it, as containerd's does. (Drop-ins for all services: systemd.unit(5).)
_OOM_SCORE = "[Service]\nOOMScoreAdjust=0\n"


def build(machine: Machine, network: Network, user_data: str, groups: cgroups.Layout) -> None:
    """Make the root of a machine and enter it. To be called in the machine's own mount namespace.

    :raises OSError: a mount is refused.
    """
    os.umask(0o022)  # directories of the upper layer show their own modes, not those of the host's beneath them
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", _STAGE, "tmpfs", data="mode=755")
    upper, work, root = (_STAGE / name for name in ("upper", "work", "root"))
    for directory in (upper, work, root):
        directory.mkdir()
    _fill(upper, machine, network, user_data)
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


def _fill(upper: Path, machine: Machine, network: Network, user_data: str) -> None:
    """Write the overlay's upper layer: what a machine has that its host has not, and covers for what it must not."""
    wants = [f"usr/lib/systemd/system/{path.name}" for path in Path("/usr/lib/systemd/system").glob("*.wants")]
    for path in (*_EMPTY, *wants):
        directory = upper / path
        directory.mkdir(parents=True, exist_ok=True)
        os.setxattr(directory, "trusted.overlay.opaque", b"y")  # Documentation/filesystems/overlayfs.rst
    for path in ("tmp", "run", "proc", "sys", "dev", *disk.SERVED):
        (upper / path).mkdir(parents=True, exist_ok=True)
    for path, mode in (("root", 0o700), ("var/tmp", 0o1777), ("tmp", 0o1777)):
        (upper / path).chmod(mode)
    files = {
        "etc/hostname": f"{machine.hostname}\n",
        "etc/hosts": f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{machine.address} {machine.hostname}\n",
        "etc/resolv.conf": _resolv_conf(),
        "etc/machine-id": f"{os.urandom(16).hex()}\n",
        "etc/cloud/cloud.cfg": _CLOUD_INIT,
        "etc/cloud/cloud.cfg.d/crosscloud.cfg": "network: {config: disabled}\n",
        "etc/systemd/journald.conf": _JOURNALD,
        "var/lib/cloud/seed/nocloud/meta-data": f"instance-id: {machine.name}\nlocal-hostname: {machine.hostname}\n"
        "dsmode: local\n",
        "var/lib/cloud/seed/nocloud/user-data": user_data,
        **{f"etc/systemd/system/{name}": text for name, text in _UNITS.items()},
    }
    if not linux.has_capability(_CAP_SYS_RESOURCE):
        files["etc/systemd/system/service.d/host.conf"] = _OOM_SCORE
    for name, text in files.items():
        file = upper / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (upper / "var/lib/cloud/seed/nocloud/user-data").chmod(0o600)
    units = upper / "etc/systemd/system"
    (units / "default.target").symlink_to("crosscloud.target")
    for directory_name, names in _WANTS.items():
        (units / directory_name).mkdir()
        for name in names:
            (units / directory_name / name).symlink_to(f"/usr/lib/systemd/system/{name}")


def _resolv_conf() -> str:
    """This host's name servers, without the one that only listens on its loopback interface (systemd-resolved)."""
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        lines = Path(path).read_text().splitlines() if Path(path).exists() else []
        lines = [line for line in lines if not line.startswith(("nameserver 127.", "nameserver ::1", "#", ";"))]
        if any(line.startswith("nameserver") for line in lines):
            return "\n".join(lines) + "\n"
    return ""


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
