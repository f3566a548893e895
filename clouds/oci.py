"""Oracle Cloud Infrastructure: terraform/oci."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud

_TAGGED = "query all resources where freeformTags.key = 'crosscloud-run'"
_THERE = " && lifecycleState != 'TERMINATED' && lifecycleState != 'TERMINATING' && lifecycleState != 'DELETED'"


class Search(Inventory):
    """Oracle's search knows all kinds of resources, and prints nothing at all where it finds none."""

    def read(self, output: str) -> list[str]:
        found = json.loads(output or "{}").get("data", {}).get("items", [])
        return [f"{item['display-name']} ({item['identifier']})" for item in found]


def _search(query: str) -> tuple[str, ...]:
    return ("oci", "search", "resource", "structured-search", "--query-text", query, "--output", "json")


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        RemoteCloud(
            name="oci",
            display_name="Oracle Cloud",
            order=90,
            billing="instances, their boot volumes and a load balancer",
            arch=("amd64", "arm64"),
            # Names that Oracle's provider reads itself; the last one is a variable of the module.
            credentials=(
                Credential("TF_VAR_tenancy_ocid", "the tenancy's OCID: console, Profile > Tenancy", secret=False),
                Credential("TF_VAR_user_ocid", "the user's OCID: console, Profile > My profile", secret=False),
                Credential("TF_VAR_fingerprint", "of the user's API key: My profile > API keys", secret=False),
                Credential(
                    "TF_VAR_private_key_path", "file with the API key's private half, PEM", secret=False, is_file=True
                ),
                Credential("TF_VAR_region", "e.g. eu-frankfurt-1", secret=False),
                Credential(
                    "TF_VAR_compartment_id",
                    "OCID of a compartment for clusters, with the policy of terraform/oci/README.md",
                    secret=False,
                ),
            ),
            regions=("eu-frankfurt-1", "uk-london-1", "us-ashburn-1", "us-phoenix-1", "ap-tokyo-1"),
            sizes=("VM.Standard.E5.Flex", "VM.Standard.E4.Flex", "VM.Standard.A1.Flex", "VM.Standard.A2.Flex"),
            inventory=Search(
                _search(f"{_TAGGED} && freeformTags.value = '{{run}}'{_THERE}"),
                "install Oracle's CLI: pip install oci-cli",
                environment={
                    "OCI_CLI_TENANCY": "TF_VAR_tenancy_ocid",
                    "OCI_CLI_USER": "TF_VAR_user_ocid",
                    "OCI_CLI_FINGERPRINT": "TF_VAR_fingerprint",
                    "OCI_CLI_KEY_FILE": "TF_VAR_private_key_path",
                    "OCI_CLI_REGION": "TF_VAR_region",
                },
                of_all=(_search(_TAGGED + _THERE),),
            ),
        )
    ]
