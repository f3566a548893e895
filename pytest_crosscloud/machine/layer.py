"""The upper layer of a machine's root: what it has that its host has not, and covers for what it must not see."""

from __future__ import annotations

import os
from pathlib import Path

from . import disk, linux
from .records import Machine

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

_CAP_SYS_RESOURCE = 24

#: The second one has the servers behind systemd-resolved's own.
_RESOLV_CONF = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))

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


def fill(upper: Path, machine: Machine, user_data: str) -> None:
    """Write the layer into the empty directory ``upper``."""
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


def _resolv_conf(candidates: tuple[Path, ...] = _RESOLV_CONF) -> str:
    """This host's name servers, from the first file that has any beyond the host's own loopback interface."""
    for path in candidates:
        lines = path.read_text().splitlines() if path.exists() else []
        lines = [line for line in lines if not line.startswith(("nameserver 127.", "nameserver ::1", "#", ";"))]
        if any(line.startswith("nameserver") for line in lines):
            return "\n".join(lines) + "\n"
    return ""
