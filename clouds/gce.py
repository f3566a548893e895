"""Google Compute Engine: terraform/gce."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.errors import CrosscloudError
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud, answer, if_told, node_names, short

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud, ProvisionRequest

_ZONE = "europe-west4-a"
_SIZES = ("e2-standard-2", "n2-standard-2", "c4a-standard-2", "t2a-standard-2")

_PROGRAM = "install the Google Cloud CLI; it gets the same credentials"

#: What Google's program calls them.
_ENVIRONMENT = {
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CORE_PROJECT": "GOOGLE_PROJECT",
}

#: What a cluster has, all of it with names that begin with the cluster's.
_KINDS = ("instances", "disks", "addresses", "firewall-rules", "routes", "networks subnets", "networks")

#: Seconds to read a node's console.
_CONSOLE = 30.0


@dataclass(frozen=True, kw_only=True)
class GceCloud(RemoteCloud):
    """Knows the region's quotas where Google's own program is there to ask."""

    def capacity(self, clusters: int) -> list[str]:
        region = str(self.variables.get("zone", _ZONE)).rpartition("-")[0]
        argv = ["gcloud", "compute", "regions", "describe", region, "--format=json(quotas)"]
        nodes = 1 + int(self.variables.get("workers", 0))
        size = str(self.variables.get("size") or _SIZES[0])
        return if_told(lambda: lacking(answer(argv, _PROGRAM, _ENVIRONMENT), region, size, clusters, nodes))

    def console_texts(self, request: ProvisionRequest) -> dict[str, str]:
        zone = str(request.variables.get("zone", _ZONE))
        texts = {}
        for node in node_names(request.workers):
            name = f"{request.name}-{node}"
            argv = ["gcloud", "compute", "instances", "get-serial-port-output", name, f"--zone={zone}"]
            with contextlib.suppress(CrosscloudError):  # a look at what a node says must not end the wait for it
                texts[node] = answer(argv, _PROGRAM, _ENVIRONMENT, timeout=_CONSOLE)
        return texts


def lacking(described: str, region: str, size: str, clusters: int, nodes: int) -> list[str]:
    """What ``gcloud compute regions describe`` has no room for, a line each. ``nodes`` are those of one cluster.

    Of the families that have a quota of their own it does not always say it; then nothing is known of vCPUs.
    """
    family = size.partition("-")[0].upper()
    vcpus = re.search(r"-(\d+)$", size)
    # e2-medium and its like share two of them.
    cores = clusters * nodes * int(vcpus[1] if vcpus else 2)
    wanted = {
        "CPUS" if family in ("E2", "N1", "F1", "G1") else f"{family}_CPUS": ("vCPUs", cores),
        "IN_USE_ADDRESSES": ("addresses in use", clusters * nodes),
        "STATIC_ADDRESSES": ("static addresses", clusters),
    }
    lines = []
    for quota in json.loads(described)["quotas"]:
        if quota["metric"] in wanted:
            what, needed = wanted[quota["metric"]]
            lines += short(f"{what} of {region}", needed, int(quota["limit"]), int(quota["usage"]))
    return lines


def _list(kind: str, condition: str) -> tuple[str, ...]:
    return ("gcloud", "compute", *kind.split(), "list", f"--filter={condition}", "--format=value(selfLink)")


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        GceCloud(
            name="gce",
            display_name="Google Compute Engine",
            order=40,
            billing="instances, their disks and a static address",
            arch=("amd64", "arm64"),
            credentials=(
                Credential(
                    "GOOGLE_APPLICATION_CREDENTIALS",
                    "path of a service account's key, or of a workload identity's configuration: IAM & Admin > Service"
                    " Accounts > Keys, with the roles of terraform/gce/README.md",
                    secret=False,
                    is_file=True,
                ),
                Credential("GOOGLE_PROJECT", "the project's id: gcloud projects list", secret=False),
            ),
            regions=("europe-west4", "europe-west1", "us-central1", "us-east1", "asia-southeast1"),
            sizes=_SIZES,
            variables={"zone": _ZONE},
            # Networks, firewalls and routes carry no labels, but they carry the run's name.
            inventory=Inventory(
                _list("instances", "labels.crosscloud-run={run}"),
                _PROGRAM,
                also=(
                    _list("disks", "labels.crosscloud-run={run}"),
                    _list("addresses", "labels.crosscloud-run={run}"),
                    _list("firewall-rules", "name~^xc-{run}-"),
                    _list("routes", "name~^xc-{run}-"),
                    _list("networks subnets", "name~^xc-{run}-"),
                    _list("networks", "name~^xc-{run}-"),
                ),
                environment=_ENVIRONMENT,
                of_all=tuple(_list(kind, "name~^xc-") for kind in _KINDS),
            ),
        )
    ]
