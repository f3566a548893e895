"""Starts a machine: from its record to systemd as its first process."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from ..errors import CrosscloudError
from ..stage import RESOURCE_VARIABLE, RUN_VARIABLE
from . import cgroups, disk, end, linux, network, records, root
from .records import Machine, Network

_SYSTEMD = "/usr/lib/systemd/systemd"

NAMESPACES = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWCGROUP
)


def up(
    name: str, network_name: str, address: str, hostname: str, user_data: str, run: str, disk_from: Path | None = None
) -> Machine:
    """Start a machine; returns when its first process runs. What it has made is removed again when it fails.

    :raises CrosscloudError: the name is taken, there is no such network, or the kernel refuses something.
    """
    for kind, value in (("machine", name), ("run", run), ("host", hostname)):
        records.check_name(kind, value)
    attached = network.find(network_name)
    if attached is None:
        raise CrosscloudError(f"no network {network_name}", remedy="make it first: network-up")
    with records.lock(f"machine {name}"):
        if records.machine(name):
            raise CrosscloudError(f"machine {name} exists", remedy="down removes it")
        if disk.home(name).exists():
            raise CrosscloudError(f"machine {name}: {disk.home(name)} exists", remedy="a kept disk; move it away")
        machine = Machine(name, run, network_name, address, hostname, str(disk.home(name) / "disk"))
        records.put_machine(machine)
        try:
            disk.create(name, run, disk_from)
            return _start(machine, attached, user_data)
        except BaseException as error:
            _clean_up(machine, error)
            if isinstance(error, OSError):
                raise CrosscloudError(f"machine {name}: {error}") from error
            raise


def _clean_up(machine: Machine, reason: BaseException) -> None:
    """Remove a machine that did not start; the reason is what counts, should that fail too."""
    try:
        end.destroy(machine)
    except (OSError, CrosscloudError) as error:
        reason.add_note(f"and it could not be removed: {error}")


def _start(machine: Machine, attached: Network, user_data: str) -> Machine:
    """Fork the machine's first process, wire it, record it, and only then let it go on.

    It waits on a pipe: if this process dies before, the pipe closes and the machine ends by itself.
    """
    root.stage()
    groups = cgroups.current()
    cgroups.create(groups, machine.run, machine.name)
    report_out, report = os.pipe()
    go, go_in = os.pipe()
    outer = os.fork()
    if outer == 0:
        os.close(report_out)
        os.close(go_in)
        _enter(machine, attached, user_data, groups, report, go)
    os.close(report)
    os.close(go)
    with os.fdopen(report_out) as reports, os.fdopen(go_in, "w") as permission:
        first = reports.readline().strip()
        os.waitpid(outer, 0)
        if not first.isdigit():
            raise CrosscloudError(f"machine {machine.name}: {first}{reports.read()}")
        pid = int(first)
        machine = replace(machine, pid=pid, started=linux.start_time(pid))
        network.ip(network.attach(machine, attached))
        records.put_machine(machine)
        permission.write("go")
        permission.close()
        if problem := reports.read():  # ends when systemd is executed, which closes the pipe
            raise CrosscloudError(f"machine {machine.name}: {problem}")
    return machine


def _enter(
    machine: Machine, attached: Network, user_data: str, groups: cgroups.Layout, report: int, go: int
) -> NoReturn:
    """In the child: leave this host, and fork the process that becomes the machine's first one."""
    try:
        os.setsid()
        cgroups.join(groups, machine.run, machine.name)
        linux.unshare(NAMESPACES)
        pid = os.fork()
        if pid:
            os.write(report, f"{pid}\n".encode())
        else:
            _become_first(machine, attached, user_data, groups, go)
    except BaseException as error:
        os.write(report, str(error).encode())
    os._exit(0)


def _become_first(machine: Machine, attached: Network, user_data: str, groups: cgroups.Layout, go: int) -> NoReturn:
    root.build(machine, user_data, groups)
    socket.sethostname(machine.hostname)
    with os.fdopen(go) as permission:
        if permission.read() != "go":
            os._exit(0)
    network.ip(network.inside(machine, attached))
    for descriptor in list(Path("/proc/self/fd").iterdir()):  # terraform waits until all ends of its pipes are closed
        _close_on_exec(int(descriptor.name))
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "container": "crosscloud",
        RUN_VARIABLE: machine.run,
        RESOURCE_VARIABLE: f"cluster/{attached.name}",
    }
    os.execve(_SYSTEMD, [_SYSTEMD, "--system", "--show-status=no"], environment)  # noqa: S606


def _close_on_exec(descriptor: int) -> None:
    try:
        os.set_inheritable(descriptor, False)
    except OSError:  # the one that listed the others
        return
