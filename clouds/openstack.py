"""OpenStack: terraform/openstack."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud, answer, if_told, node_names, short

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud, ProvisionRequest

_VALUE = ("--format", "value", "--column")

#: What a cluster has that can carry a tag, with the column that names it.
_KINDS = (
    (("port",), "Name"),
    (("floating", "ip"), "Floating IP Address"),
    (("network",), "Name"),
    (("subnet",), "Name"),
    (("router",), "Name"),
    (("security", "group"), "Name"),
)

#: How all of a kind is listed with what tells its run: the name, but floating IPs have none.
_OF_ALL = tuple(
    (kind, ("--long", *_VALUE, "Tags") if kind == ("floating", "ip") else (*_VALUE, column)) for kind, column in _KINDS
)

_SIZE = "m1.medium"
_PROGRAM = "install OpenStack's client: pip install python-openstackclient"

#: The program does not tell by itself what kind of credential it was given, as the provider does.
_OPENSTACK = ("openstack", "--os-auth-type", "v3applicationcredential")

#: Seconds to read a node's console.
_CONSOLE = 30.0


def _listing(kind: tuple[str, ...], column: str) -> tuple[str, ...]:
    return (*_OPENSTACK, *kind, "list", "--tags", "crosscloud-run={run}", "--format", "value", "--column", column)


@dataclass(frozen=True, kw_only=True)
class OpenStackCloud(RemoteCloud):
    """Knows the project's quotas of machines where OpenStack's own program is there to ask."""

    def capacity(self, clusters: int) -> list[str]:
        return if_told(lambda: self._lacking(clusters * (1 + int(self.variables.get("workers", 0)))))

    def _lacking(self, nodes: int) -> list[str]:
        size = str(self.variables.get("size") or _SIZE)
        flavor = answer([*_OPENSTACK, "flavor", "show", size, "--format", "json"], _PROGRAM)
        limits = answer([*_OPENSTACK, "limits", "show", "--absolute", "--format", "json"], _PROGRAM)
        return lacking(limits, flavor, nodes)

    def console_texts(self, request: ProvisionRequest) -> dict[str, str]:
        texts = {}
        for node in node_names(request.workers):
            argv = [*_OPENSTACK, "console", "log", "show", f"{request.name}-{node}"]
            with contextlib.suppress(CrosscloudError):  # a look at what a node says must not end the wait for it
                texts[node] = answer(argv, _PROGRAM, timeout=_CONSOLE)
        return texts


def lacking(limits: str, flavor: str, nodes: int) -> list[str]:
    """What ``openstack limits show --absolute`` has no room for, a line each; -1 is no limit."""
    known = {limit["Name"]: int(limit["Value"]) for limit in json.loads(limits)}
    machine = json.loads(flavor)
    lines = []
    for what, needed, limit, used in (
        ("servers", nodes, "maxTotalInstances", "totalInstancesUsed"),
        ("vCPUs", nodes * int(machine["vcpus"]), "maxTotalCores", "totalCoresUsed"),
        ("MiB of memory", nodes * int(machine["ram"]), "maxTotalRAMSize", "totalRAMUsed"),
    ):
        if known.get(limit, -1) >= 0:
            lines += short(f"{what} of the project", needed, known[limit], known.get(used, 0))
    return lines


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        OpenStackCloud(
            name="openstack",
            display_name="OpenStack",
            order=70,
            billing="what the cloud charges for servers, volumes and a floating IP",
            arch=("amd64", "arm64"),
            credentials=(
                Credential("OS_AUTH_URL", "Keystone's address, https://…/v3: openstack catalog list", secret=False),
                Credential(
                    "OS_APPLICATION_CREDENTIAL_ID",
                    "openstack application credential create, with the role of terraform/openstack/README.md",
                    secret=False,
                ),
                Credential("OS_APPLICATION_CREDENTIAL_SECRET", "its secret, which the same command shows once"),
                Credential("OS_REGION_NAME", "the region, where there are several", required=False, secret=False),
                Credential(
                    "TF_VAR_controllers",
                    "another application credential, for the cloud controller manager and the CSI driver, as JSON: see"
                    " terraform/openstack/README.md",
                    required=False,
                ),
            ),
            sizes=(_SIZE,),
            inventory=Inventory(
                (*_OPENSTACK, "server", "list", "--name", "^xc-{run}-", "--format", "value", "--column", "Name"),
                _PROGRAM,
                also=tuple(_listing(kind, column) for kind, column in _KINDS),
                of_all=(
                    (*_OPENSTACK, "server", "list", "--name", "^xc-", "--format", "value", "--column", "Name"),
                    *((*_OPENSTACK, *kind, "list", *column) for kind, column in _OF_ALL),
                ),
            ),
        )
    ]
