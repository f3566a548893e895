"""Google Kubernetes Engine: terraform/gke. Google runs the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud


def _list(kind: str, condition: str, field: str = "selfLink") -> tuple[str, ...]:
    return ("gcloud", *kind.split(), "list", f"--filter={condition}", f"--format=value({field})")


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        RemoteCloud(
            name="gke",
            display_name="Google Kubernetes Engine",
            order=45,
            billing="the cluster's management fee, its nodes and their disks",
            arch=("amd64", "arm64"),
            credentials=(
                Credential(
                    "GOOGLE_APPLICATION_CREDENTIALS",
                    "path of a service account's key, or of a workload identity's configuration: IAM & Admin > Service"
                    " Accounts > Keys, with the roles of terraform/gke/README.md",
                    secret=False,
                    is_file=True,
                ),
                Credential("GOOGLE_PROJECT", "the project's id: gcloud projects list", secret=False),
            ),
            regions=("europe-west4", "europe-west1", "us-central1", "us-east1", "asia-southeast1"),
            sizes=("e2-standard-2", "n2-standard-2", "c4a-standard-2", "t2a-standard-2"),
            variables={"zone": "europe-west4-a"},
            # Networks carry no labels, but they carry the run's name.
            inventory=Inventory(
                _list("container clusters", "resourceLabels.crosscloud-run={run}"),
                "install the Google Cloud CLI; it gets the same credentials",
                also=(
                    _list("compute instances", "labels.crosscloud-run={run}"),
                    _list("compute disks", "labels.crosscloud-run={run}"),
                    _list("compute networks subnets", "name~^xc-{run}-"),
                    _list("compute networks", "name~^xc-{run}-"),
                ),
                environment={
                    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": "GOOGLE_APPLICATION_CREDENTIALS",
                    "CLOUDSDK_CORE_PROJECT": "GOOGLE_PROJECT",
                },
                of_all=(
                    _list("container clusters", "name~^xc-"),
                    # Of nodes that outlived their cluster: GKE has its own names for them.
                    _list("compute instances", "labels.crosscloud-run:*", "labels.crosscloud-run"),
                    _list("compute disks", "labels.crosscloud-run:*", "labels.crosscloud-run"),
                    _list("compute networks subnets", "name~^xc-"),
                    _list("compute networks", "name~^xc-"),
                ),
            ),
        )
    ]
