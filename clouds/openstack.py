"""OpenStack: terraform/openstack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud

#: What a cluster has that can carry a tag, with the column that names it.
_KINDS = (
    (("port",), "Name"),
    (("floating", "ip"), "Floating IP Address"),
    (("network",), "Name"),
    (("subnet",), "Name"),
    (("router",), "Name"),
    (("security", "group"), "Name"),
)


def _listing(kind: tuple[str, ...], column: str) -> tuple[str, ...]:
    # The program does not tell by itself what kind of credential it was given, as the provider does.
    selection = ("--tags", "crosscloud-run={run}", "--format", "value", "--column", column)
    return ("openstack", "--os-auth-type", "v3applicationcredential", *kind, "list", *selection)


_SERVERS = (
    *("openstack", "--os-auth-type", "v3applicationcredential", "server", "list"),
    *("--name", "^xc-{run}-", "--format", "value", "--column", "Name"),
)


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        RemoteCloud(
            name="openstack",
            display_name="OpenStack",
            order=70,
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
            ),
            sizes=("m1.medium",),
            inventory=Inventory(
                _SERVERS,
                "install OpenStack's client: pip install python-openstackclient",
                also=tuple(_listing(kind, column) for kind, column in _KINDS),
            ),
        )
    ]
