"""Hetzner Cloud keeps the contract that every cloud keeps; and what is its own."""

from __future__ import annotations

import gzip

import pytest
from pytest_crosscloud_hetzner import crosscloud_clouds

from pytest_crosscloud.testing import CloudContract
from pytest_crosscloud.testing.render import files

[HETZNER] = crosscloud_clouds()

#: Arguments and blocks in the documentation of hetznercloud/hcloud (docs/resources; primary_ip's location since 1.58).
DOCUMENTED = {
    "hcloud_firewall": "name labels rule apply_to",
    "hcloud_firewall.rule": "direction protocol port source_ips destination_ips description",
    "hcloud_network": "name ip_range labels delete_protection expose_routes_to_vswitch",
    "hcloud_network_route": "network_id destination gateway",
    "hcloud_network_subnet": "network_id type ip_range network_zone vswitch_id",
    "hcloud_primary_ip": "name type location assignee_id assignee_type auto_delete labels delete_protection",
    "hcloud_server": "name server_type image location user_data ssh_keys public_net keep_disk iso rescue labels backups"
    " firewall_ids network placement_group_id delete_protection rebuild_protection shutdown_before_deletion",
    "hcloud_server.network": "subnet_id network_id ip alias_ips",
    "hcloud_server.public_net": "ipv4_enabled ipv4 ipv6_enabled ipv6",
}

#: Every resource of Terraform's has them.
META = {"for_each", "count", "depends_on", "lifecycle", "provider"}


class TestHetzner(CloudContract):
    cloud = HETZNER

    # They are parts of the network, which has labels, and go with it.
    untagged = ("hcloud_network_subnet", "hcloud_network_route")

    def test_user_data_fits_hetzners_limit(self) -> None:
        """32 KiB, of base64."""
        assert all(len(gzip.compress(text.encode())) * 4 / 3 < 32 * 1024 for text in self.user_data().values())

    def test_nodes_wait_for_their_network(self) -> None:
        for text in self.user_data().values():
            assert "$NODE_ADDRESS" in files(text)["/etc/crosscloud/before.sh"]

    def test_arguments_are_documented_ones(self) -> None:
        for resource in self.module().resources:
            bodies = {resource.type: resource.body}
            bodies |= {f"{resource.type}.{block.kind}": block.body for block in resource.body.blocks}
            for name, body in bodies.items():
                used = {*body.attributes, *(block.kind for block in body.blocks)}
                assert used - META <= set(DOCUMENTED[name].split()), resource


@pytest.mark.parametrize("kind", ["server", "primary-ip", "firewall", "network"])
def test_everything_that_costs_is_listed_by_label(kind: str) -> None:
    inventory = HETZNER.inventory
    assert kind in [argv[1] for argv in (inventory.argv, *inventory.also)]
    assert all("crosscloud-run={run}" in argv for argv in (inventory.argv, *inventory.also))
    assert kind in [argv[1] for argv in inventory.of_all] and HETZNER.lists_runs
    assert all("crosscloud-run" in argv for argv in inventory.of_all)
