"""Microsoft Azure: terraform/azure."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud, answer, node_names, short

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud, ProvisionRequest

_LOCATION = "westeurope"
_SIZES = ("Standard_D2s_v5", "Standard_D2s_v6", "Standard_D2ps_v5", "Standard_D2ps_v6")

_PROGRAM = (
    "install the Azure CLI, and log it in: az login --service-principal"
    " --username $ARM_CLIENT_ID --password $ARM_CLIENT_SECRET --tenant $ARM_TENANT_ID"
)

#: Seconds to read a node's console, and to remove a resource group with all that is in it.
_CONSOLE = 30.0
_REMOVAL = 1800.0

#: A size of Azure's: letter, vCPUs, features, version, as in Standard_D2ps_v6.
_SIZE = re.compile(r"Standard_([A-Z]+?)(\d+)([a-z]*)(_v\d+)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class AzureCloud(RemoteCloud):
    """Knows the subscription's quotas where Azure's own program is there to ask."""

    def capacity(self, clusters: int) -> list[str]:
        if shutil.which("az") is None:
            return []
        location = str(self.variables.get("location", _LOCATION))
        argv = ["az", "vm", "list-usage", "--location", location, "--output", "json"]
        nodes = clusters * (1 + int(self.variables.get("workers", 0)))
        return lacking(answer(argv, _PROGRAM), location, str(self.variables.get("size") or _SIZES[0]), nodes)

    def console_texts(self, request: ProvisionRequest) -> dict[str, str]:
        texts = {}
        for node in node_names(request.workers):
            argv = ["az", "vm", "boot-diagnostics", "get-boot-log", "--resource-group", request.name]
            with contextlib.suppress(CrosscloudError):  # a look at what a node says must not end the wait for it
                texts[node] = answer([*argv, "--name", f"{request.name}-{node}"], _PROGRAM, timeout=_CONSOLE)
        return texts

    def sweep(self, run: str) -> None:
        for group in self.owned(run):
            answer(["az", "group", "delete", "--yes", "--name", group.rpartition("/")[2]], _PROGRAM, timeout=_REMOVAL)


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
            inventory=Inventory(
                ("az", "group", "list", "--tag", "crosscloud-run={run}", "--query", "[].id", "--output", "tsv"),
                _PROGRAM,
            ),
        )
    ]
