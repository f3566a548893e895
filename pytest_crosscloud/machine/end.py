"""Ends machines: all that carries a machine's or a run's name is removed, in the order in which it lets go."""

from __future__ import annotations

from pathlib import Path

from . import cgroups, disk, firewall, linux, network, records
from .records import Machine

#: Seconds until a killed machine must be gone.
_TIMEOUT = 10.0


def down(name: str, *, run: str | None = None, keep_disk: bool = False) -> None:
    """End a machine, whole or half made. Not there, or another run's: nothing to do.

    :raises CrosscloudError: a process of it does not end.
    """
    records.check_name("machine", name)
    with records.lock(f"machine {name}"):
        machine = records.machine(name)
        if machine and run in (None, machine.run):
            destroy(machine, keep_disk=keep_disk)


def destroy(machine: Machine, *, keep_disk: bool = False) -> None:
    """What ``down`` does once it holds the machine's lock: processes, veth, groups, disk, record."""
    groups = cgroups.current()
    first = machine.pid if linux.start_time(machine.pid) == machine.started else 0
    cgroups.kill(groups, machine.run, machine.name, first, _TIMEOUT)
    network.remove_interface(machine.veth)
    cgroups.remove(groups, machine.run, machine.name, _TIMEOUT)
    disk.remove(Path(machine.disk), keep=keep_disk)
    records.drop_machine(machine.name)


def destroy_run(run: str) -> None:
    """Remove everything that carries the run's id, also what is half made or has lost its record.

    :raises CrosscloudError: a process of it does not end.
    """
    records.check_name("run", run)
    groups = cgroups.current()
    for machine in records.machines(run):
        down(machine.name)
    for group in cgroups.groups_of(groups, run):
        cgroups.kill(groups, run, group.name, 0, _TIMEOUT)
        cgroups.remove(groups, run, group.name, _TIMEOUT)
    for orphan in disk.owned(run):
        disk.remove(orphan)
    network.destroy_run(run)


def runs() -> list[str]:
    """Ids of the runs that have machines or networks on this host, by their records and control groups."""
    recorded = {machine.run for machine in records.machines()} | {network.run for network in records.networks()}
    return sorted(recorded | cgroups.runs(cgroups.current()))


def leftovers(run: str) -> list[str]:
    """What there still is of a run on this host, one line each; looked for without trusting the records.

    Namespaces are not looked for: none has a name or is pinned, each ends with the last process in it.
    """
    groups = cgroups.current()
    found = [f"process {pid}" for pid in sorted(cgroups.processes(groups, run) | _carriers(run))]
    found += [f"interface {name}" for name in network.interfaces(run)]
    found += [f"iptables {rule}" for _, rule in firewall.rules(run)]
    found += [f"cgroup {path}" for path in cgroups.groups_of(groups, run)]
    found += [f"disk {path}" for path in disk.owned(run)]
    found += [f"record of machine {machine.name}" for machine in records.machines(run)]
    found += [f"record of network {record.name or record.cidr}" for record in records.networks(run)]
    found += [
        f"mount {line.split()[1]}"
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if line.split()[1].startswith(str(records.DIRECTORY))
    ]
    return found


def _carriers(run: str) -> set[int]:
    """Machines' first processes, by the run's id in their environment."""
    wanted = {f"CROSSCLOUD_RUN={run}".encode(), b"container=crosscloud"}
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if wanted <= set((process / "environ").read_bytes().split(b"\0")):
                    found.add(int(process.name))
            except OSError:  # ended since
                continue
    return found
