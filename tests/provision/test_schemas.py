"""Resources, data sources and arguments of every Terraform module, against what the providers publish.

schemas/<provider>.json has what is published; schemas/record.py says where from, and records anew.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.provision.providers import allows
from tests.provision.schemas.modules import Block, Written, parse, requirements, roots, written

SCHEMAS = Path(__file__).with_name("schemas")

#: Every resource of every provider has it, where the provider's SDK is of the older kind.
_EVERYWHERE = {"id", "timeouts"}


@functools.cache
def schema(provider: str) -> dict[str, Any]:
    path = SCHEMAS / f"{provider}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def problems(found: Written) -> list[str]:
    recorded = schema(found.provider)
    if not recorded:
        return [f"{found}: schemas/{found.provider}.json is not there"]
    if found.kind == "provider":
        # What it requires may come from the environment.
        return [f"{found}: {text}" for text in _problems(found.block, recorded["provider"], complete=False)]
    if found.type not in recorded[found.kind]:
        return [f"{found}: {recorded['source']} has no such {found.kind}, or it is not recorded"]
    return [f"{found}: {text}" for text in _problems(found.block, recorded[found.kind][found.type])]


def _problems(block: Block, published: Mapping[str, Any], at: str = "", *, complete: bool = True) -> Iterator[str]:
    arguments, blocks = published["arguments"], published["blocks"]
    for name in sorted(block.arguments - arguments.keys() - _EVERYWHERE):
        yield f"{at}{name} is a block" if name in blocks else f"there is no argument {at}{name}"
    for name, content in block.blocks:
        if name in blocks:
            yield from _problems(content, blocks[name], f"{at}{name}.", complete=complete)
        elif name not in _EVERYWHERE:
            yield f"{at}{name} is no block" if name in arguments else f"there is no block {at}{name}"
    if complete:
        given = block.arguments | {name for name, _ in block.blocks}
        needed = {name for name, required in arguments.items() if required}
        needed |= {name for name, nested in blocks.items() if nested["required"]}
        yield from (f"{at}{name} is required" for name in sorted(needed - given))


@pytest.mark.parametrize("module", roots(), ids=lambda path: path.name)
def test_a_module_asks_providers_for_what_they_publish(module: Path) -> None:
    assert [problem for found in written(module) for problem in problems(found)] == []


@pytest.mark.parametrize("module", roots(), ids=lambda path: path.name)
def test_what_is_recorded_is_of_the_version_that_the_module_asks_for(module: Path) -> None:
    for provider, requirement in requirements(module).items():
        recorded = schema(provider)
        assert recorded["source"].lower() == requirement["source"].lower()
        assert requirement["version"], "a version that is not pinned"
        # Documentation has no version: it was written for what the module asks for.
        assert recorded["version"] == requirement["version"] or allows(requirement["version"], recorded["version"])


def undeclared(module: Path) -> set[str]:
    """What a module refers to and does not have: variables, local values, resources, data sources."""
    text = "\n".join(re.sub(r"(^|\s)#.*", "", path.read_text()) for path in module.glob("*.tf"))
    parsed = [parse(path.read_text()) for path in sorted(module.glob("*.tf"))]
    names = {f"{found.type}.{found.name}" for found in written(module) if found.kind == "resource"}
    names |= {f"data.{found.type}.{found.name}" for found in written(module) if found.kind == "data"}
    for kind, prefix in (("variable", "var."), ("module", "module.")):
        names |= {prefix + label.strip('"') for file in parsed for block in file.get(kind, []) for label in block}
    names |= {f"local.{name}" for file in parsed for block in file.get("locals", []) for name in block}
    types = {found.type for found in written(module) if found.kind != "provider"} | {"terraform_data"}
    some = "|".join(sorted(types))
    references = re.findall(rf"(?<![\w.\"-])((?:var|local|module)\.\w+|(?:data\.)?(?:{some})\.\w+)", text)
    return set(references) - names


@pytest.mark.parametrize("module", roots(), ids=lambda path: path.name)
def test_a_module_has_what_it_refers_to(module: Path) -> None:
    assert undeclared(module) == set()


def test_what_is_not_declared_is_found(module: Path) -> None:
    path = module / "main.tf"
    text = path.read_text().replace('"R1"', "var.place").replace('"n"', "openstack_networking_port_v2.nodes.id")
    path.write_text(text)
    assert undeclared(module) == {"var.place", "openstack_networking_port_v2.nodes"}


# -- the check itself ---------------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "main.tf").write_text(
        """
        provider "openstack" {
          region = "R1"
        }
        resource "openstack_networking_port_v2" "node" {
          network_id = "n"
          dynamic "fixed_ip" {
            for_each = ["192.0.2.1"]
            content {
              ip_address = fixed_ip.value
            }
          }
          lifecycle {
            ignore_changes = [tags]
          }
        }
        """
    )
    return tmp_path


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("", "", ""),
        ("port_v2", "port_v3", "port_v3 node: terraform-provider-openstack/openstack has no such resource"),
        ("resource", "data", "data openstack_networking_port_v2 node: terraform-provider-openstack/openstack has no"),
        ("network_id =", "network =", "there is no argument network"),
        ("network_id = ", "name = ", "network_id is required"),
        ("ip_address =", "address =", "there is no argument fixed_ip.address"),
        ('dynamic "fixed_ip"', 'dynamic "fixed"', "there is no block fixed"),
        (
            "network_id =",
            'network_id = "n"\nallowed_address_pairs {}\nname =',
            "allowed_address_pairs.ip_address is required",
        ),
        ("network_id =", 'network_id = "n"\nbinding = 1\nname =', "binding is a block"),
        ("network_id =", 'network_id = "n"\nname {}\ndescription =', "name is no block"),
        ("region =", "place =", "provider openstack: there is no argument place"),
        ('"openstack_', '"other_', "schemas/other.json is not there"),
    ],
)
def test_the_check_finds(module: Path, right: str, wrong: str, problem: str) -> None:
    path = module / "main.tf"
    path.write_text(path.read_text().replace(right, wrong) if right else path.read_text())
    found = "\n".join(problem for one in written(module) for problem in problems(one))
    assert problem in found if problem else found == ""
