"""Hetzner Cloud: a Terraform module, and what of it is said here."""

from __future__ import annotations

from pathlib import Path

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Cloud, Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud


def _list(kind: str) -> tuple[str, ...]:
    """All of a kind that carries a run's label; networks take their subnets and routes along."""
    labelled = ("--selector", "crosscloud-run={run}", "--output", "noheader", "--output", "columns=name")
    return ("hcloud", kind, "list", *labelled)


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
                _list("server"),
                "install hcloud, Hetzner's own CLI: https://github.com/hetznercloud/cli",
                also=(_list("primary-ip"), _list("firewall"), _list("network")),
            ),
        )
    ]
