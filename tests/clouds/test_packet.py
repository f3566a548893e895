from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from clouds.packet import crosscloud_clouds
from pytest_crosscloud import paths
from pytest_crosscloud.testing.render import files, render, variables


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAL_AUTH_TOKEN", "a-token")
    monkeypatch.setenv("METAL_PROJECT_ID", "a-project")
    monkeypatch.delenv("EQUINIX_API_ENDPOINT", raising=False)


@pytest.mark.usefixtures("credentials")
def test_says_that_the_service_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    (cloud,) = crosscloud_clouds()
    (problem,) = cloud.preflight()
    assert "closed on 2026-06-30" in problem
    monkeypatch.setenv("EQUINIX_API_ENDPOINT", "http://192.0.2.1")
    assert cloud.preflight() == []


def test_owned_are_the_machines_of_the_runs_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "metal"
    program.write_text('#!/bin/sh\necho \'[{"id": "5678", "hostname": "xc-0123abcd-packet-worker-1"}]\'\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (cloud,) = crosscloud_clouds()
    assert cloud.owned("0123abcd") == ["xc-0123abcd-packet-worker-1 (5678)"]
    assert cloud.runs() == ["0123abcd"]


def test_a_machine_brings_up_its_vlan_and_its_firewall() -> None:
    given = variables(vlan=1234, allowed_cidrs=["198.51.100.0/24", "192.0.2.0/24"])
    rendered = render(paths.data("terraform", "packet"), given)
    before = files(rendered["worker-1"])["/etc/crosscloud/before.sh"]
    assert "ip link add link bond0 name private type vlan id 1234\n" in before
    lines = [line.split() for line in before.splitlines() if "--dport 6443" in line]
    assert [line[line.index("-s") + 1] for line in lines] == ["198.51.100.0/24", "192.0.2.0/24"]
    assert before.index("--dport 6443") < before.index("outside -j DROP") < before.index("PREROUTING")


def test_metals_metadata_service_is_out_of_the_pods_reach() -> None:
    before = files(render(paths.data("terraform", "packet"), variables())["worker-1"])["/etc/crosscloud/before.sh"]
    assert "iptables -t mangle -A FORWARD -d 192.80.8.124 -j DROP\n" in before.partition("if ip link show bond0")[2]


def test_clusters_have_vlans_of_their_own() -> None:
    module = paths.data("terraform", "packet")
    numbers = set()
    for name in ("xc-0123abcd-packet", "xc-4567cdef-packet"):
        before = files(render(module, variables(name=name, workers=0))["control-plane"])["/etc/crosscloud/before.sh"]
        numbers.add(int(before.partition("vlan id ")[2].split()[0]))
    assert len(numbers) == 2
    assert all(2 <= number < 4000 for number in numbers)


#: A machine with bond0, whose other end is the outside with two addresses; on the machine everybody may have a page.
OUTSIDE = """
set -eu
ip link set lo up
unshare --net sleep 60 & outside=$!
until [ "$(readlink /proc/$outside/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add bond0 type veth peer name eth0 netns $outside
ip address add 198.51.100.1/24 dev bond0
ip link set bond0 up
from="nsenter --net=/proc/$outside/ns/net"
$from ip address add 198.51.100.9/24 dev eth0
$from ip address add 198.51.100.200/24 dev eth0
$from ip link set eth0 up
$from ip route add 203.0.113.1 via 198.51.100.1
ip address add 10.240.0.10/32 dev lo  # it has its address: the VLAN is there
for port in 6443 10250; do python3 -m http.server --directory /proc/sys/kernel/random $port >/dev/null 2>&1 & done
until curl -s localhost:6443 >/dev/null && curl -s localhost:10250 >/dev/null; do sleep 0.05; done
NODE_NAME=control-plane NODE_ADDRESS=10.240.0.10 bash before.sh
ip -oneline address show dev lo to 203.0.113.1 | grep -q .
for address in 198.51.100.9 198.51.100.200; do
  for server in 203.0.113.1:6443 198.51.100.1:6443 198.51.100.1:10250; do
    $from curl -s --max-time 2 --interface $address $server >/dev/null && echo $address reaches $server
  done
done
kill $(jobs -p)
"""


@pytest.mark.root
def test_from_outside_nothing_is_reached_but_the_api_by_who_may(tmp_path: Path) -> None:
    rendered = render(paths.data("terraform", "packet"), variables(allowed_cidrs=["198.51.100.9/32"]))
    (tmp_path / "before.sh").write_text(files(rendered["control-plane"])["/etc/crosscloud/before.sh"])
    argv = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", OUTSIDE]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["198.51.100.9 reaches 203.0.113.1:6443"], done.stderr
