"""Hetzner Cloud: a Terraform module, and what of it is said here."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Cloud, Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud

#: What a cluster has; networks take their subnets and routes along.
_KINDS = ("server", "primary-ip", "firewall", "network")


def _list(kind: str, selector: str) -> tuple[str, ...]:
    """All of a kind with such a label."""
    return ("hcloud", kind, "list", "--selector", selector, "--output", "noheader", "--output", "columns=name")


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        RemoteCloud(
            name="hetzner",
            display_name="Hetzner Cloud",
            order=120,
            module=Path(__file__).parent / "module",
            arch=("amd64", "arm64"),
            credentials=(
                Credential(
                    "HCLOUD_TOKEN",
                    "an API token with read and write: the project's Security > API Tokens in the console",
                ),
            ),
            regions=("fsn1", "nbg1", "hel1", "ash", "hil", "sin"),
            sizes=("cx23", "cpx22", "ccx13", "cax11", "cax21"),
            variables={"location": "fsn1"},
            inventory=Inventory(
                _list(_KINDS[0], "crosscloud-run={run}"),
                "install hcloud, Hetzner's own CLI: https://github.com/hetznercloud/cli",
                also=tuple(_list(kind, "crosscloud-run={run}") for kind in _KINDS[1:]),
                of_all=tuple(_list(kind, "crosscloud-run") for kind in _KINDS),
            ),
        )
    ]
