"""Allocation of networks, and the commands that make them."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.machine import firewall, network, records
from pytest_crosscloud.machine.records import Machine, Network

MACHINE = Machine("m1", "r1", "net", "198.19.7.10", "node", "/disk", pid=42)
NETWORK = Network("198.19.7.0/24", "r1", "net")


def test_each_allocation_is_another_range_and_is_recorded_with_its_run() -> None:
    ranges = [network.allocate("one", "r1"), network.allocate("two", "r2")]
    assert len(set(ranges)) == 2
    assert [record.cidr for record in records.networks("r2")] == ranges[1:]


def _allocate(directory: Path, caller: int) -> list[str]:
    records.DIRECTORY = directory
    return [network.allocate(f"net{caller}.{number}", "r1") for number in range(10)]


def test_runs_at_once_never_get_the_same_range(directory: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        callers = [(directory, caller) for caller in range(4)]
        ranges = [cidr for got in pool.starmap(_allocate, callers, chunksize=1) for cidr in got]
    assert len(set(ranges)) == 40


def test_the_end_of_the_block_is_an_error_with_a_remedy() -> None:
    for third in range(256):
        records.put_network(Network(f"198.19.{third}.0/24", "r1", f"net{third}"))
    with pytest.raises(CrosscloudError, match="crosscloud clean"):
        network.allocate("net", "r2")


def test_a_range_that_this_host_routes_is_not_given() -> None:
    # As the kernel writes 198.19.7.0 in /proc/net/route.
    assert network._in_route_table("198.19.7.0/24") == "\t000713C6\t"


def test_going_down_frees_the_range_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a network that never went up."""
    monkeypatch.setattr(firewall, "close", lambda run, name: None)
    restored: list[str] = []
    monkeypatch.setattr(firewall, "restore_forwarding", lambda: restored.append("forwarding"))
    first = network.allocate("net", "r1")
    network.down("net", run="another run")
    assert records.networks("r1")
    assert not restored
    network.down("net")
    assert restored
    assert network.allocate("other", "r2") == first


def test_a_name_has_one_range() -> None:
    network.allocate("net", "r1")
    with pytest.raises(CrosscloudError, match="there is a network net of run r1"):
        network.allocate("net", "r2")
    assert records.networks("r2") == []


@pytest.mark.parametrize(("name", "cidr"), [("other", "198.19.7.0/24"), ("net", "198.19.8.0/24")])
def test_a_range_or_name_of_another_network_is_refused(name: str, cidr: str) -> None:
    records.put_network(NETWORK)
    with pytest.raises(CrosscloudError, match=r"there is net 198\.19\.7\.0/24 of run r1"):
        network.up(name, cidr, "r1")


def test_the_veth_carries_run_and_name_and_ends_in_the_machine() -> None:
    assert network.attach(MACHINE, NETWORK) == [
        f"link add {MACHINE.veth} type veth peer name eth0 netns 42",
        f"link set {MACHINE.veth} master {NETWORK.bridge} alias crosscloud:r1:m1 up",
    ]


def test_inside_the_gateway_is_the_way_out() -> None:
    commands = network.inside(MACHINE, NETWORK)
    assert "address add 198.19.7.10/24 dev eth0" in commands
    assert commands[-1] == "route add default via 198.19.7.1"
