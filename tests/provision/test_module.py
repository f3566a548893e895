"""Terraform's language as it is written, and modules made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_crosscloud import paths
from pytest_crosscloud.errors import ConfigurationError
from pytest_crosscloud.provision.hcl import Malformed, parse
from pytest_crosscloud.provision.module import Module, Provider
from pytest_crosscloud.provision.providers import allows

TEXT = r"""
# a comment with { and "
variable "tags" { type = map(string) }
locals {
  labels = merge(var.tags, { "a" = "}" }) // the end }
  script = <<-EOT
    resource "no" "block" {
    EOT
  looped = { for name in ["a"] : name => "${name}-${join("\"", ["}"])}" }
}
/* resource "no" "either" { */
resource "lab_server" "node" {
  for_each = local.looped
  name     = each.value
  tags = [
    local.labels, # not the end
  ]
  dynamic "disk" {
    for_each = [1]
    content { labels = var.tags }
  }
}
"""


def test_blocks_and_expressions() -> None:
    body = parse(TEXT)
    assert [block.kind for block in body.blocks] == ["variable", "locals", "resource"]
    variable, values, server = body.blocks
    assert variable.body.attributes == {"type": "map(string)"}
    assert values.body.attributes["labels"] == 'merge(var.tags, { "a" = "}" })'
    assert values.body.attributes["script"].endswith("EOT")
    assert values.body.attributes["looped"].endswith('["}"])}" }')
    assert server.labels == ("lab_server", "node")
    assert (server.line, server.name) == (12, "lab_server.node")
    assert list(server.expressions())[-1] == "var.tags"
    assert "# not" not in server.body.attributes["tags"]


@pytest.mark.parametrize("text", ['a "b" {', 'a = "b', "a = [", "a = <<X\n", "= 1", 'a = "${"'])
def test_what_is_none(text: str) -> None:
    with pytest.raises(Malformed, match="line 1: "):
        parse(text)


def test_all_that_is_bundled_can_be_read() -> None:
    for path in paths.data("terraform").rglob("*.tf"):
        parse(path.read_text())


def test_references_are_followed(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(TEXT)
    module = Module(tmp_path)
    [server] = module.resources
    assert module.mentions(server.body.attributes["tags"], "var.tags", server)
    assert not module.mentions(server.body.attributes["name"], "var.tags", server)
    assert module.mentions("var.tags[0]", "var.tags")
    assert not module.mentions("var.tags_of", "var.tags")
    assert not module.mentions("other.var.tags", "var.tags")


def test_providers(tmp_path: Path) -> None:
    required = 'a = { source = "x/a", version = "= 1.0" }\nb = {}'
    (tmp_path / "main.tf").write_text(f"terraform {{\n required_providers {{\n{required}\n}}\n}}\n")
    assert Module(tmp_path).providers == [Provider("x/a", "= 1.0"), Provider("hashicorp/b")]


def test_no_module(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file ends with"):
        Module(tmp_path)
    (tmp_path / "main.tf").write_text("\na {")
    with pytest.raises(ConfigurationError, match=r"main.tf: line 2"):
        Module(tmp_path)


@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        ("", "1.0.0", "1.0.0-rc1"),
        ("1.2.3", "1.2.3", "1.2.4"),
        ("= 1.2.3-beta1", "1.2.3-beta1", "1.2.3-beta2"),
        ("~> 1.2", "1.9.0", "2.0.0"),
        ("~> 1.2.3", "1.2.9", "1.3.0"),
        ("~> 1.2.3", "1.2.3", "1.2.2"),
        (">= 1.2, < 2.0", "1.10.0", "2.0.0"),
        ("> 1.0, != 1.5.0", "1.4.0", "1.5.0"),
        ("<= 1.0.0", "1.0.0", "1.0.1"),
    ],
)
def test_constraints(constraint: str, yes: str, no: str) -> None:
    assert allows(constraint, yes)
    assert not allows(constraint, no)
