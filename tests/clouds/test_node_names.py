"""Controller managers find a node's machine by the node's name."""

from __future__ import annotations

import re

import pytest

from pytest_crosscloud import paths
from pytest_crosscloud.testing.render import render, settings, variables


@pytest.mark.parametrize("cloud", ["azure", "gce", "huawei", "openstack", "packet"])
def test_with_a_controller_manager_nodes_are_called_as_their_machines(cloud: str) -> None:
    module = paths.data("terraform", cloud)
    rendered = render(module, variables(name="xc-0123abcd-it", cloud_provider="external"))
    assert {node: settings(text)["NODE_NAME"] for node, text in rendered.items()} == {
        "control-plane": "xc-0123abcd-it-control-plane",
        "worker-1": "xc-0123abcd-it-worker-1",
    }
    # The machines', of which no provider is asked here.
    assert re.search(r'(name|hostname)\s+= "\$\{var.name\}-\$\{each.key\}"', (module / "main.tf").read_text())
    alone = render(module, variables(name="xc-0123abcd-it"))
    assert settings(alone["worker-1"])["NODE_NAME"] == "worker-1"
