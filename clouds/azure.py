"""Microsoft Azure: terraform/azure."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud, answer, if_told, node_names, short

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud, ProvisionRequest

_LOCATION = "westeurope"
_SIZES = ("Standard_D2s_v5", "Standard_D2s_v6", "Standard_D2ps_v5", "Standard_D2ps_v6")

_PROGRAM = (
    "install the Azure CLI, and log it in as somebody who sees the subscription ARM_SUBSCRIPTION_ID: az login, or"
    " az login --service-principal with --certificate or --federated-token (a --password is in the list of processes)"
)

#: Seconds to read a node's console, and to remove a resource group with all that is in it.
_CONSOLE = 30.0
_REMOVAL = 1800.0

#: A size of Azure's: letter, vCPUs, features, version, as in Standard_D2ps_v6.
_SIZE = re.compile(r"Standard_([A-Z]+?)(\d+)([a-z]*)(_v\d+)?", re.IGNORECASE)


def az(*arguments: str, timeout: float | None = None) -> str:
    """What az says of the subscription that the provider is given, whichever it has been logged in to.

    :param timeout: seconds; None: as long as a listing may take.
    :raises CrosscloudError: as ``answer``.
    """
    argv = ("az", *arguments, *_subscription())
    return answer(argv, _PROGRAM) if timeout is None else answer(argv, _PROGRAM, timeout=timeout)


def _subscription() -> tuple[str, ...]:
    known = os.environ.get("ARM_SUBSCRIPTION_ID", "")
    return ("--subscription", known) if known else ()


@dataclass(frozen=True)
class Listing(Inventory):
    """Of one subscription."""

    def ask(self, argv: Sequence[str]) -> str:
        return az(*argv[1:])


@dataclass(frozen=True, kw_only=True)
class AzureCloud(RemoteCloud):
    """Knows the subscription's quotas where Azure's own program is there to ask."""

    def capacity(self, clusters: int) -> list[str]:
        location = str(self.variables.get("location", _LOCATION))
        size = str(self.variables.get("size") or _SIZES[0])
        nodes = clusters * (1 + int(self.variables.get("workers", 0)))
        question = ("vm", "list-usage", "--location", location, "--output", "json")
        return if_told(lambda: lacking(az(*question), location, size, nodes))

    def console_texts(self, request: ProvisionRequest) -> dict[str, str]:
        texts = {}
        for node in node_names(request.workers):
            argv = ("vm", "boot-diagnostics", "get-boot-log", "--resource-group", request.name)
            with contextlib.suppress(CrosscloudError):  # a look at what a node says must not end the wait for it
                texts[node] = az(*argv, "--name", f"{request.name}-{node}", timeout=_CONSOLE)
        return texts

    def sweep(self, run: str) -> None:
        for group in self.owned(run):
            az("group", "delete", "--yes", "--name", group.rpartition("/")[2], timeout=_REMOVAL)


def lacking(usage: str, location: str, size: str, nodes: int) -> list[str]:
    """What ``az vm list-usage`` has no room for, a line each; nothing about a size that is not understood."""
    found = _SIZE.fullmatch(size)
    if not found:
        return []
    letter, vcpus, features, version = found.groups(default="")
    family = f"standard{letter}{features}{version.replace('_', '')}family".lower()
    lines = []
    for quota in json.loads(usage):
        if quota["name"]["value"].lower() in ("cores", family):
            what = f"{quota['name']['localizedValue']} of {location}"
            # Numbers are text in some versions of the program.
            lines += short(what, nodes * int(vcpus), int(quota["limit"]), int(quota["currentValue"]))
    return lines


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        AzureCloud(
            name="azure",
            display_name="Azure",
            order=30,
            billing="virtual machines, their disks and a public address",
            arch=("amd64", "arm64"),
            credentials=(
                Credential(
                    "ARM_SUBSCRIPTION_ID", "the subscription that pays: az account show --query id", secret=False
                ),
                Credential(
                    "ARM_TENANT_ID", "the directory it belongs to: az account show --query tenantId", secret=False
                ),
                Credential(
                    "ARM_CLIENT_ID",
                    "a service principal's appId; az ad sp create-for-rbac makes one, with the role of"
                    " terraform/azure/README.md",
                    secret=False,
                ),
                Credential("ARM_CLIENT_SECRET", "its password, which az ad sp create-for-rbac shows once"),
            ),
            regions=(_LOCATION, "northeurope", "eastus2", "westus3", "southeastasia"),
            sizes=_SIZES,
            variables={"location": _LOCATION},
            # All of a cluster is in its resource group, and goes with it.
            inventory=Listing(
                ("az", "group", "list", "--tag", "crosscloud-run={run}", "--query", "[].id", "--output", "tsv"),
                _PROGRAM,
                of_all=(("az", "group", "list", "--tag", "crosscloud-run", "--query", "[].name", "--output", "tsv"),),
            ),
        )
    ]
