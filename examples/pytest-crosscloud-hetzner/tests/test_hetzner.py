"""Hetzner Cloud keeps the contract that every cloud keeps; and what is its own."""

from __future__ import annotations

import gzip

import pytest
from pytest_crosscloud_hetzner import crosscloud_clouds

from pytest_crosscloud.testing import CloudContract
from pytest_crosscloud.testing.render import files

[HETZNER] = crosscloud_clouds()


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


@pytest.mark.parametrize("kind", ["server", "primary-ip", "firewall", "network"])
def test_everything_that_costs_is_listed_by_label(kind: str) -> None:
    inventory = HETZNER.inventory
    assert kind in [argv[1] for argv in (inventory.argv, *inventory.also)]
    assert all("crosscloud-run={run}" in argv for argv in (inventory.argv, *inventory.also))
