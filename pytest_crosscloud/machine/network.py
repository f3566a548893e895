"""Networks of machines: a bridge on this host with a /24 of 198.19.0.0/16 (RFC 2544, never routed outside)."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..errors import CrosscloudError
from . import firewall, records
from .records import Machine, Network

#: Seconds for one call of ip or iptables.
_TIMEOUT = 20

_BLOCK = "198.19"


def allocate(name: str, run: str) -> str:
    """Reserve a free /24 for the network that ``up`` makes, and return it; ``down`` frees it, made or not.

    :raises CrosscloudError: all 256 are taken; or there is such a network already.
    """
    records.check_name("network", name)
    records.check_name("run", run)
    with records.lock("networks"):
        if found := find(name):
            raise CrosscloudError(f"there is a network {name} of run {found.run}", remedy="network-down removes it")
        taken = {record.cidr for record in records.networks()}
        routed = Path("/proc/net/route").read_text()
        for third in range(256):
            cidr = f"{_BLOCK}.{third}.0/24"
            if cidr not in taken and _in_route_table(cidr) not in routed:
                records.put_network(Network(cidr, run, name))
                return cidr
    raise CrosscloudError(f"no free network in {_BLOCK}.0.0/16", remedy="crosscloud clean removes what is left over")


def find(name: str) -> Network | None:
    return next((record for record in records.networks() if record.name == name), None)


def up(name: str, cidr: str, run: str) -> Network:
    """Make the bridge with the gateway's address; what is there already is left as it is.

    :raises CrosscloudError: the range belongs to another network; or the bridge cannot be made.
    """
    records.check_name("network", name)
    network = Network(cidr, run, name)
    with records.lock("networks"):
        for other in records.networks():
            if (other.cidr == cidr) != (other.name == name):
                raise CrosscloudError(
                    f"network {name} {cidr}: there is {other.name} {other.cidr} of run {other.run}",
                    remedy="take a range from allocate_network, and a name of its own",
                )
        records.put_network(network)
        commands = [] if _exists(network.bridge) else [f"link add {network.bridge} type bridge"]
        commands += [
            f"link set {network.bridge} alias {records.label(run, name)} up",
            f"address replace {network.gateway}/24 dev {network.bridge}",
        ]
        ip(commands)
        firewall.forward()
        firewall.open_up(network)
    return network


def down(name: str, *, run: str | None = None) -> None:
    """Remove the network's bridge, if it was made, and free its range. Not there, or another run's: nothing to do."""
    with records.lock("networks"):
        network = find(name)
        if network and run in (None, network.run):
            _remove(network)


def destroy_run(run: str) -> None:
    """Remove all networks of the run, also what has lost its record."""
    with records.lock("networks"):
        for network in records.networks(run):
            _remove(network)
        for interface in interfaces(run):
            remove_interface(interface)
        firewall.close(run)


def _remove(network: Network) -> None:
    remove_interface(network.bridge)
    firewall.close(network.run, network.name)
    records.drop_network(network.cidr)
    if not records.networks():
        firewall.restore_forwarding()


def attach(machine: Machine, network: Network) -> list[str]:
    """Commands for ``ip`` that wire a machine (its pid must be known) to the bridge."""
    return [
        f"link add {machine.veth} type veth peer name eth0 netns {machine.pid}",
        f"link set {machine.veth} master {network.bridge} alias {records.label(machine.run, machine.name)} up",
    ]


def inside(machine: Machine, network: Network) -> list[str]:
    """Commands for ``ip`` in the machine's own network namespace."""
    return [
        "link set lo up",
        f"address add {machine.address}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {network.gateway}",
    ]


def remove_interface(name: str) -> None:
    """Remove an interface of this host, and with a veth its other end. Not there: nothing to do."""
    try:
        if _exists(name):
            ip([f"link delete {name}"])
    except CrosscloudError:
        if _exists(name):  # else it went by itself, with the network namespace of its other end
            raise


def interfaces(run: str) -> list[str]:
    """Bridges and veth ends of a run on this host, told by their alias."""
    found = []
    for path in sorted(Path("/sys/class/net").iterdir()):
        try:
            text = (path / "ifalias").read_text()
        except OSError:
            continue
        if text.startswith(records.label(run, "")):
            found.append(path.name)
    return found


def ip(commands: list[str]) -> None:
    """Run ``ip -batch`` with the commands.

    :raises CrosscloudError: one failed; the message is ip's own.
    """
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    if done.returncode != 0:
        raise CrosscloudError(f"ip: {done.stderr.strip()} (of: {'; '.join(commands)})")


def _exists(interface: str) -> bool:
    return Path("/sys/class/net", interface).exists()


def _in_route_table(cidr: str) -> str:
    """A network as /proc/net/route writes it: hexadecimal, lowest byte last, between tabs."""
    octets = cidr.partition("/")[0].split(".")
    return "\t" + "".join(f"{int(octet):02X}" for octet in reversed(octets)) + "\t"
