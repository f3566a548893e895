"""Packet, later Equinix Metal: terraform/packet. The service closed; the row stays for what speaks its API."""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud, ProvisionRequest

#: The service's last day, as Equinix announced it.
LAST_DAY = datetime.date(2026, 6, 30)


@dataclass(frozen=True)
class Search(Inventory):
    """Metal's program prints tables, JSON or YAML, no plain list."""

    def read(self, output: str) -> list[str]:
        return [f"{device['hostname']} ({device['id']})" for device in json.loads(output)]


@dataclass(frozen=True, kw_only=True)
class PacketCloud(RemoteCloud):
    """Says that the service is closed, unless the provider is told of another place that speaks its API."""

    def preflight(self) -> list[str]:
        lacking = super().preflight()
        if datetime.date.today() > LAST_DAY and not os.environ.get("EQUINIX_API_ENDPOINT"):
            lacking.append(
                f"Equinix Metal, which was Packet, closed on {LAST_DAY}: nothing of it can be bought. Take another"
                " cloud, or set EQUINIX_API_ENDPOINT to what speaks its API; see terraform/packet/README.md"
            )
        return lacking

    def module_variables(self, request: ProvisionRequest) -> dict[str, Any]:
        # The provider reads the token from the environment, but no project.
        return {"project_id": os.environ.get("METAL_PROJECT_ID", ""), **super().module_variables(request)}


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        PacketCloud(
            name="packet",
            display_name="Packet (Equinix Metal)",
            order=60,
            billing="machines, by the hour, and a reserved address",
            arch=("amd64", "arm64"),
            credentials=(
                Credential("METAL_AUTH_TOKEN", "a project's API key: the project's settings > API Keys"),
                Credential("METAL_PROJECT_ID", "the project's id: its settings > General", secret=False),
                Credential(
                    "EQUINIX_API_ENDPOINT",
                    "what speaks Metal's API, now that Metal is closed",
                    required=False,
                    secret=False,
                ),
            ),
            regions=("am", "fr", "da", "dc", "sv"),
            sizes=("c3.small.x86", "m3.small.x86", "c3.medium.x86", "c3.large.arm64"),
            variables={"metro": "am"},
            inventory=Search(
                ("metal", "device", "get", "--search", "xc-{run}-", "--output", "json"),
                "install metal, Equinix Metal's CLI: go install github.com/equinix/metal-cli/cmd/metal@latest",
                of_all=(("metal", "device", "get", "--search", "xc-", "--output", "json"),),
            ),
        )
    ]
