"""node.sh's routes to the pods of other nodes: on one link, and on a cloud whose machines have no neighbours."""

from __future__ import annotations

import subprocess

import pytest

from pytest_crosscloud import paths

NODE = paths.data("terraform", "modules", "kubeadm", "files", "node.sh")

#: A machine with an interface, before it has an address.
MACHINE = """
set -e
ip link add eth0 type veth peer name cloud
ip link set eth0 up
ip link set cloud up
"""


def routes(network: str) -> str:
    """What the loop of node.sh makes of a machine whose network is set up so: its route to the other's pods."""
    script = NODE.read_text()
    loop = script[script.index("  for route in $ROUTES") : script.index("  # The metadata service")]
    program = f"{MACHINE}{network}\nROUTES=10.244.1.0/24=10.240.0.11\n{loop}\nip route show 10.244.1.0/24"
    done = subprocess.run(["unshare", "--net", "bash", "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.root
def test_a_neighbour_is_the_gateway_to_its_pods() -> None:
    assert routes("ip address add 10.240.0.10/24 dev eth0") == "10.244.1.0/24 via 10.240.0.11 dev eth0"


@pytest.mark.root
def test_who_has_no_neighbours_leaves_the_pods_to_the_clouds_routes() -> None:
    """Google gives each machine an address of a single host; the kernel takes no gateway that is behind another."""
    alone = (
        "ip address add 10.240.0.10/32 dev eth0\nip route add 10.240.0.1 dev eth0\nip route add default via 10.240.0.1"
    )
    assert routes(alone) == ""
