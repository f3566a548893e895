"""Every bundled cloud keeps the contract that third parties' clouds keep, by the same tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_crosscloud import plugins
from pytest_crosscloud.testing import CloudContract

#: What the tests of a cloud have to know beside the cloud: values for variables, and what cannot carry tags or names.
KNOWN: Mapping[str, Mapping[str, Any]] = {
    "alibaba": {
        "untagged": (
            "alicloud_security_group_rule",
            "alicloud_eip_association",
            "alicloud_snat_entry",
            "alicloud_forward_entry",
            "alicloud_route_entry",
        )
    },
    "aws": {"unnamed": ("aws_iam_role_policy",)},  # within its role
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
    "huawei": {"untagged": ("huaweicloud_networking_secgroup_rule", "huaweicloud_vpc_route")},
    "ibm": {"untagged": ("ibm_is_vpc_address_prefix",)},
    "local": {"variables": {"cidr": "198.19.255.0/24", "run": "0123abcd"}},
    "oci": {
        "untagged": (
            "oci_core_network_security_group_security_rule",
            "oci_core_route_table_attachment",
            "oci_network_load_balancer_backend",
            "oci_network_load_balancer_backend_set",
            "oci_network_load_balancer_listener",
        ),
        "unnamed": (  # within their load balancer
            "oci_network_load_balancer_backend",
            "oci_network_load_balancer_backend_set",
            "oci_network_load_balancer_listener",
        ),
    },
    "openstack": {
        "untagged": (
            "openstack_networking_router_interface_v2",
            "openstack_networking_secgroup_rule_v2",
            "openstack_networking_floatingip_associate_v2",
        )
    },
    "packet": {"untagged": ("equinix_metal_port", "equinix_metal_ip_attachment")},
    "vsphere": {
        "untagged": ("vsphere_tag_category", "vsphere_folder"),  # the folder has them, by way of vsphere_tag
        "unnamed": ("vsphere_tag",),  # within its category
    },
}

CLOUDS = plugins.load(Path(__file__).parent).clouds

for _name, _cloud in CLOUDS.items():
    _class = f"Test{_name.title()}"
    globals()[_class] = type(
        _class, (CloudContract,), {"cloud": _cloud, "__module__": __name__, **KNOWN.get(_name, {})}
    )


def test_only_clouds_that_there_are_have_exceptions() -> None:
    assert KNOWN.keys() <= CLOUDS.keys()
