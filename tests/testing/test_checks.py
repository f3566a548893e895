"""The kit's checks find what they look for: a module that is right, broken in one place at a time."""

from __future__ import annotations

import dataclasses
import random
import re
import shutil
from pathlib import Path

import pytest

from pytest_crosscloud import paths
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.module import Module
from pytest_crosscloud.provision.terraform import TerraformCloud
from pytest_crosscloud.testing import checks

RESOURCES = """
locals {
  nodes   = []
  endpoint = lab_network.this.address
  labels  = merge(var.tags, { role = "node" })
  servers = { for index in [0, 1] : "${var.name}-${index}" => index }
}
resource "lab_network" "this" {
  name   = var.name
  labels = var.tags
}
resource "lab_server" "node" {
  for_each = local.servers
  name     = each.key
  disk {
    labels = local.labels
  }
}
resource "lab_route" "pods" {
  network = lab_network.this.id
}
resource "lab_alias" "this" {
  name   = lab_network.this.name
  labels = local.labels
}
resource "terraform_data" "order" {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    folder.mkdir()
    local = paths.data("terraform", "local")
    shutil.copy(local / "interface.tf", folder / "variables.tf")
    shutil.copy(local / "outputs.tf", folder)
    (folder / "main.tf").write_text(RESOURCES)
    return folder


def cloud(folder: Path) -> TerraformCloud:
    return TerraformCloud(name="lab", module=folder)


def change(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))


def faults(folder: Path) -> str:
    """What all checks of a module say, a line each."""
    module = Module(folder)
    found = [
        *checks.interface(cloud(folder), module),
        *checks.naming(module),
        *checks.secrecy(module),
        *checks.references(module),
    ]
    return "\n".join([*found, *checks.tagging(module, ["lab_route"])])


def test_a_module_that_is_right(folder: Path) -> None:
    assert faults(folder) == ""


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("variables.tf", 'variable "registries"', 'variable "regstries"', "did you mean 'regstries'"),
        ("variables.tf", "map(string)", "any", "variable tags is any, not map(string)"),
        ("variables.tf", 'variable "name"', 'variable "size" {}\nvariable "name"', "'size' has no default"),
        ("variables.tf", "sensitive = true", "sensitive = false", "variable bootstrap is not sensitive"),
        ("variables.tf", 'variable "name"', 'variable "api_token" {\n default = ""\n}\nvariable "name"', "api_token"),
        ("outputs.tf", 'output "nodes"', 'output "machines"', "no output 'nodes'"),
        ("outputs.tf", "sensitive   = true", "", "output kubeconfig is not sensitive"),
        ("main.tf", "name   = var.name", 'name   = "network"', "main.tf:8: lab_network.this: name does not begin"),
        ("main.tf", "name     = each.key", 'name     = "n-${each.key}"', "lab_server.node: name does not begin"),
        ("main.tf", "name   = var.name", "name   = var.tags", "name does not begin with var.name"),
        ("main.tf", "labels = var.tags", "", "lab_network.this does not carry var.tags"),
        ("main.tf", "labels = local.labels", "", "lab_server.node does not carry var.tags"),
        ("main.tf", "local.servers", "local.srvers", "refers to local.srvers, which it has not; did you mean"),
        ("main.tf", "= lab_network.this.id", "= lab_network.that.id", "refers to lab_network.that"),
        ("main.tf", "= var.name", "= var.nme", "refers to var.nme"),
        ("main.tf", 'resource "lab_route"', 'resource "lab_rte"', "untagged names 'lab_route'"),
    ],
)
def test_one_fault_is_found(folder: Path, file: str, old: str, new: str, said: str) -> None:
    change(folder, file, old, new)
    assert said in faults(folder)


def test_tags_that_a_provider_puts_on_everything(folder: Path) -> None:
    change(folder, "main.tf", "labels = var.tags", "")
    (folder / "provider.tf").write_text('provider "lab" {\n  default_tags {\n    tags = var.tags\n  }\n}\n')
    module = Module(folder)
    assert list(checks.tagging(module)) == []
    change(folder, "provider.tf", "tags = var.tags", "tags = {}")
    assert list(checks.tagging(Module(folder), ["lab_route"])) != []


def test_variables_that_the_plugin_gives(folder: Path) -> None:
    given = dataclasses.replace(cloud(folder), variables={"workers": 1, "sise": "small"})
    [fault] = checks.interface(given, Module(folder))
    assert "'sise'" in fault


def test_declarations() -> None:
    wrong = TerraformCloud(
        name="Lab",
        arch=("amd64", "aarch64"),
        credentials=(Credential("lab key", "a key"), Credential("LAB_TOKEN", "")),
    )
    said = "\n".join(checks.declaration(wrong))
    for part in ("DNS label", "'aarch64'", "'lab key'", "LAB_TOKEN does not say"):
        assert part in said
    right = TerraformCloud(name="lab", credentials=(Credential("LAB_TOKEN", "the token of the lab"),))
    assert list(checks.declaration(right)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#cloud-config\nruncmd: [[true]]\n", ""),
        ("#!/bin/sh\n", "does not begin"),
        ("#cloud-config\n{", "is not YAML"),
        ("#cloud-config\n- a\n", "is list"),
        ("#cloud-config\na: " + random.Random(1).randbytes(20_000).hex(), "bytes gzipped"),
    ],
)
def test_user_data(text: str, said: str) -> None:
    assert re.search(said, "\n".join(checks.user_data(text)))
    assert bool(said) == bool(list(checks.user_data(text)))


def test_leaks() -> None:
    assert list(checks.leaks("key=planted-0", {"A": "planted-0", "B": "planted-1"})) == ["the value of A is shown"]
