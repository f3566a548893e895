"""Every bundled cloud keeps the contract that third parties' clouds keep, by the same tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_crosscloud import plugins
from pytest_crosscloud.testing import CloudContract

#: What the tests of a cloud have to know beside the cloud: values for variables, and what cannot carry tags or names.
KNOWN: Mapping[str, Mapping[str, Any]] = {
    "azure": {
        "untagged": (
            "azurerm_subnet",
            "azurerm_route",
            "azurerm_subnet_route_table_association",
            "azurerm_network_security_rule",
            "azurerm_subnet_network_security_group_association",
            "azurerm_role_assignment",
        ),
        "unnamed": ("azurerm_route", "azurerm_network_security_rule"),  # within their table and group
    },
    "local": {"variables": {"cidr": "198.19.255.0/24", "run": "0123abcd"}},
    "packet": {"untagged": ("equinix_metal_port", "equinix_metal_ip_attachment")},
}

CLOUDS = plugins.load(Path(__file__).parent).clouds

for _name, _cloud in CLOUDS.items():
    _class = f"Test{_name.title()}"
    globals()[_class] = type(
        _class, (CloudContract,), {"cloud": _cloud, "__module__": __name__, **KNOWN.get(_name, {})}
    )


def test_only_clouds_that_there_are_have_exceptions() -> None:
    assert KNOWN.keys() <= CLOUDS.keys()
