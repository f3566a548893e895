"""IBM Cloud Kubernetes Service on VPC: terraform/ibm. IBM runs the control plane."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud


@dataclass(frozen=True)
class Search(Inventory):
    """IBM's search prints tables or JSON, no plain list."""

    def read(self, output: str) -> list[str]:
        return [item["crn"] for item in json.loads(output)["items"]]


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        RemoteCloud(
            name="ibm",
            display_name="IBM Cloud",
            order=50,
            billing="worker nodes, a public gateway and a load balancer",
            timeout=3600.0,
            credentials=(
                Credential(
                    "IC_API_KEY",
                    "an API key of a service ID: ibmcloud iam service-api-key-create, with the access of"
                    " terraform/ibm/README.md",
                ),
            ),
            regions=("eu-de", "eu-gb", "us-south", "us-east", "jp-tok"),
            sizes=("bx2.2x8", "bx2.4x16", "cx2.2x4"),
            variables={"zone": "eu-de-1"},
            inventory=Search(
                ("ibmcloud", "resource", "search", 'tags:"crosscloud-run:{run}"', "--output", "json"),
                "install the IBM Cloud CLI, and log it in to the account of IC_API_KEY, whose resources alone it sees:"
                " with that key as IBMCLOUD_API_KEY in the environment, ibmcloud login --no-region",
                of_all=(("ibmcloud", "resource", "search", "name:xc-*", "--output", "json"),),
            ),
        )
    ]
