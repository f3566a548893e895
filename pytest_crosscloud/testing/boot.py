"""Boots what a module renders as machines of this computer, until they are a cluster. Needs root; takes a minute."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import machine
from ..errors import CrosscloudError
from ..model import Ref
from ..provision import cluster
from ..provision.bootstrap import Bootstrap, write_secret
from ..provision.remote import pause_image
from ..stage import StageContext
from ..toolchain.node import node_bundle
from ..toolchain.pins import host_arch, load
from .machines import Node, booted
from .render import render, settings, variables

#: Seconds for one cluster, the node bundle being there or not.
DEADLINE = 1800.0


def ready_nodes(module: Path, given: Mapping[str, Any], directory: Path) -> dict[str, str]:
    """Names and addresses of the nodes that became Ready, at the addresses that the module gave them.

    :param module: a root module's folder with a ``nodes.tf``.
    :param given: its variables, as ``render`` takes them.
    :param directory: for log and kubeconfig.
    :raises StageError: they did not become a cluster; the message has the end of their consoles.
    :raises CrosscloudError: something of the machines is left behind; or Terraform refuses the module.
    """
    kubernetes = Ref("stable", load()["kubernetes"]["stable"])
    stage = StageContext("provision boot", "", directory, deadline=time.monotonic() + DEADLINE)
    bundle = node_bundle(kubernetes, host_arch(), stage)
    bootstrap = Bootstrap.create()
    # The cache is visible in every machine, at the same place.
    files = {"binary_url": bundle.binary.as_uri(), "images_url": bundle.images.as_uri()}
    own = {
        "kubernetes_version": kubernetes.version,
        "arch": host_arch(),
        "bundle": {**files, "pause_image": pause_image(bundle)},
    }
    rendered = render(module, variables(bootstrap, **{**given, **own}))
    nodes = [Node(name, settings(text)["NODE_ADDRESS"], text) for name, text in rendered.items()]
    kubeconfig = directory / "kubeconfig"
    write_secret(kubeconfig, bootstrap.kubeconfig("boot", f"https://{nodes[0].address}:6443"))
    network = ipaddress.ip_network(f"{nodes[0].address}/24", strict=False)
    with booted(nodes, str(network)) as machines:
        found = cluster.wait_ready(kubeconfig, len(nodes), stage, machines.consoles)
    if left := machine.leftovers(machines.run):
        raise CrosscloudError(f"left behind: {', '.join(left)}")
    return {name: address for name, address, _ in map(cluster.identity, found)}
