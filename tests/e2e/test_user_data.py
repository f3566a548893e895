"""Every cloud's own user-data on machines of this computer, at the addresses that the cloud would give them."""

from __future__ import annotations

import ipaddress
import time
from pathlib import Path

import pytest

from clouds.local import SERVICE_CIDR, prepared_disk
from pytest_crosscloud import machine, paths
from pytest_crosscloud.model import Ref
from pytest_crosscloud.provision import cluster
from pytest_crosscloud.provision.bootstrap import Bootstrap, write_secret
from pytest_crosscloud.provision.remote import pause_image
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.testing.machines import Node, booted
from pytest_crosscloud.testing.render import render, settings, variables
from pytest_crosscloud.toolchain.node import node_bundle

pytestmark = [pytest.mark.root, pytest.mark.slow]

KUBERNETES = Ref("stable", "v1.36.3")

#: Modules of virtual or bare machines; a managed service has nodes of its own.
MODULES = sorted(path.parent for path in paths.data("terraform").glob("*/nodes.tf"))

#: Seconds for one cluster, the node bundle and the prepared disk being there or not.
DEADLINE = 900.0


def test_there_are_modules() -> None:
    assert MODULES, "else the test below tests nothing"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_control_plane_and_a_worker_become_ready(module: Path, tmp_path: Path) -> None:
    stage = StageContext("provision test", "", tmp_path / "out", deadline=time.monotonic() + DEADLINE)
    bundle = node_bundle(KUBERNETES, "amd64", stage)
    bootstrap = Bootstrap.create()
    given = variables(
        bootstrap,
        kubernetes_version=KUBERNETES.version,
        service_cidr=SERVICE_CIDR,
        bundle={
            "binary_url": bundle.binary.as_uri(),
            "images_url": bundle.images.as_uri(),
            "pause_image": pause_image(bundle),
        },
    )
    nodes = [
        Node(name, settings(user_data)["NODE_ADDRESS"], user_data) for name, user_data in render(module, given).items()
    ]
    assert [node.name for node in nodes] == ["control-plane", "worker-1"]
    kubeconfig = tmp_path / "kubeconfig"
    write_secret(kubeconfig, bootstrap.kubeconfig("test", f"https://{nodes[0].address}:6443"))
    network = ipaddress.ip_network(f"{nodes[0].address}/24", strict=False)
    disk = prepared_disk("cluster", bundle, SERVICE_CIDR, stage)
    with booted(nodes, str(network), disk) as machines:
        found = cluster.wait_ready(kubeconfig, len(nodes), stage, machines.consoles)
    assert sorted(cluster.identity(node)[:2] for node in found) == [(node.name, node.address) for node in nodes]
    assert machine.leftovers(machines.run) == []
