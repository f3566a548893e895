"""Modules' user-data, rendered without their providers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.testing.render import files, is_control_plane, render, settings, variables

PURE = """
locals {
  nodes = [for index in range(1 + var.workers) : {
    name    = index == 0 ? "control-plane" : "worker-${index}"
    address = cidrhost("192.0.2.0/24", 10 + index)
  }]
}

module "kubeadm" {
  source             = "../modules/kubeadm"
  name               = var.name
  kubernetes_version = var.kubernetes_version
  endpoint           = local.endpoint
  nodes              = local.nodes
  bundle             = var.bundle
  bootstrap          = var.bootstrap
  pod_cidr           = "10.244.0.0/16"
  service_cidr       = "10.96.0.0/16"
  cloud_conf         = local.cloud_conf
}
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    directory = tmp_path / "a-cloud"
    directory.mkdir()
    names = ("name", "kubernetes_version", "bundle", "workers", "bootstrap")
    (directory / "variables.tf").write_text("\n".join(f'variable "{name}" {{}}' for name in names))
    (directory / "main.tf").write_text('resource "somebodys_machine" "node" {}\n')
    (directory / "nodes.tf").write_text(PURE)
    return directory


def test_renders_each_node_the_control_plane_first(module: Path) -> None:
    rendered = render(module, variables(workers=2, unknown="left out"), endpoint="203.0.113.7", cloud_conf="[Global]\n")
    assert list(rendered) == ["control-plane", "worker-1", "worker-2"]
    assert [is_control_plane(text) for text in rendered.values()] == [True, False, False]
    assert settings(rendered["worker-2"])["NODE_ADDRESS"] == "192.0.2.12"
    written = files(rendered["control-plane"])
    assert "203.0.113.7" in written["/etc/crosscloud/kubeadm-init.yaml"]
    assert written["/etc/kubernetes/cloud.conf"] == "[Global]\n"


def test_nodes_that_are_not_pure_are_refused(module: Path) -> None:
    impure = PURE.replace('cidrhost("192.0.2.0/24", 10 + index)', "somebodys_machine.node.address")
    (module / "nodes.tf").write_text(impure)
    with pytest.raises(CrosscloudError, match="somebodys_machine") as error:
        render(module, variables())
    assert "local.endpoint" in error.value.remedy
