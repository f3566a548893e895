"""VMware vSphere: terraform/vsphere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud


@dataclass(frozen=True, kw_only=True)
class VSphereCloud(RemoteCloud):
    """Knows that a range of addresses, which vSphere does not give out, is enough for one cluster."""

    def capacity(self, clusters: int) -> list[str]:
        if clusters < 2:
            return []
        return [
            f"network_cidr: {clusters} clusters at a time would take the same addresses of it: max_clusters: 1 of this"
            " cloud in cross-cloud.yml, and one run at a time"
        ]


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        VSphereCloud(
            name="vsphere",
            display_name="vSphere",
            order=80,
            billing="nothing but room: memory, disk and addresses",
            credentials=(
                Credential("VSPHERE_SERVER", "vCenter's name or address, without https://", secret=False),
                Credential(
                    "VSPHERE_USER",
                    "an account of vCenter with the role of terraform/vsphere/README.md, e.g. ci@vsphere.local",
                    secret=False,
                ),
                Credential("VSPHERE_PASSWORD", "its password"),
                Credential(
                    "VSPHERE_ALLOW_UNVERIFIED_SSL",
                    "true, where vCenter's certificate is of its own making",
                    required=False,
                    secret=False,
                ),
                Credential(
                    "TF_VAR_controllers",
                    "another account, for the cloud controller manager and the CSI driver, as JSON: see"
                    " terraform/vsphere/README.md",
                    required=False,
                ),
            ),
            # Of machines and folders: their names have the run's id in them, and go with its tags.
            inventory=Inventory(
                ("govc", "find", "/", "-type", "m", "-name", "xc-{run}-*"),
                "install govc: go install github.com/vmware/govmomi/govc@latest",
                also=(("govc", "find", "/", "-type", "f", "-name", "xc-{run}-*"),),
                environment={
                    "GOVC_URL": "VSPHERE_SERVER",
                    "GOVC_USERNAME": "VSPHERE_USER",
                    "GOVC_PASSWORD": "VSPHERE_PASSWORD",
                    "GOVC_INSECURE": "VSPHERE_ALLOW_UNVERIFIED_SSL",
                },
                of_all=tuple(("govc", "find", "/", "-type", kind, "-name", "xc-*") for kind in ("m", "f")),
            ),
        )
    ]
