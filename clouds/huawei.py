"""Huawei Cloud: terraform/huawei."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud

_TAG = ("--action=filter", "--tags.1.key=crosscloud-run", "--tags.1.values.1={run}")
_FORMAT = ("--cli-output=json",)


class ByTag(Inventory):
    """Huawei's services list by tag each for itself, in one form."""

    def read(self, output: str) -> list[str]:
        return [f"{item['resource_name']} ({item['resource_id']})" for item in json.loads(output).get("resources", [])]


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        RemoteCloud(
            name="huawei",
            display_name="Huawei Cloud",
            order=100,
            billing="servers, their disks and an elastic IP",
            arch=("amd64", "arm64"),
            credentials=(
                Credential(
                    "HW_ACCESS_KEY",
                    "an IAM user's, with the policy of terraform/huawei/README.md: My Credentials > Access Keys",
                    secret=False,
                ),
                Credential("HW_SECRET_KEY", "its secret, in the file that the console gives once"),
                Credential("HW_REGION_NAME", "e.g. eu-west-101", secret=False),
                Credential(
                    "TF_VAR_controllers",
                    "another access key, for the cloud controller manager and the CSI driver, as JSON: see"
                    " terraform/huawei/README.md",
                    required=False,
                ),
            ),
            regions=("eu-west-101", "ap-southeast-3", "ap-southeast-1", "cn-north-4", "la-north-2"),
            sizes=("c7.large.2", "c6.large.2", "s6.large.2", "kc1.large.2", "kc2.large.2"),
            inventory=ByTag(
                ("hcloud", "ECS", "ListServersByTag", *_TAG, *_FORMAT),
                "install KooCLI from Huawei's console, and log it in to the account and region of HW_ACCESS_KEY, whose"
                " resources alone it sees: hcloud configure init asks for the key",
                also=(
                    ("hcloud", "EIP", "ListPublicipsByTags", *_TAG, *_FORMAT),
                    ("hcloud", "VPC", "ListVpcsByTags", *_TAG, *_FORMAT),
                    ("hcloud", "VPC", "ListSubnetsByTags", *_TAG, *_FORMAT),
                ),
                # By tag these list the values that they are given. Addresses have the name of their bandwidth.
                of_all=(
                    ("hcloud", "ECS", "ListServersDetails", "--name=xc-", *_FORMAT),
                    ("hcloud", "EIP", "ListPublicips/v2", *_FORMAT),
                    ("hcloud", "VPC", "ListVpcs/v2", *_FORMAT),
                    ("hcloud", "VPC", "ListSubnets", *_FORMAT),
                ),
            ),
        )
    ]
