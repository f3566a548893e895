"""Alibaba Cloud: terraform/alibaba."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_crosscloud import hookimpl
from pytest_crosscloud.model import Credential
from pytest_crosscloud.provision.remote import Inventory, RemoteCloud

if TYPE_CHECKING:
    from pytest_crosscloud.model import Cloud


class ByTag(Inventory):
    """Alibaba's tag service knows all kinds of resources of a region."""

    def read(self, output: str) -> list[str]:
        return [found["ResourceARN"] for found in json.loads(output).get("TagResources", [])]


@hookimpl
def crosscloud_clouds() -> list[Cloud]:
    return [
        RemoteCloud(
            name="alibaba",
            display_name="Alibaba Cloud",
            order=110,
            billing="instances, their disks, a NAT gateway and its address",
            arch=("amd64", "arm64"),
            credentials=(
                Credential(
                    "ALICLOUD_ACCESS_KEY",
                    "AccessKey ID of a RAM user with the policy of terraform/alibaba/README.md: RAM console, Users",
                    secret=False,
                ),
                Credential("ALICLOUD_SECRET_KEY", "its AccessKey secret, which the console shows once"),
                Credential("ALICLOUD_REGION", "e.g. eu-central-1", secret=False),
                Credential(
                    "TF_VAR_controllers",
                    "another access key, for the cloud controller manager and the CSI driver, as JSON: see"
                    " terraform/alibaba/README.md",
                    required=False,
                ),
            ),
            regions=("eu-central-1", "ap-southeast-1", "us-east-1", "cn-hangzhou", "cn-beijing"),
            sizes=("ecs.g7.large", "ecs.c7.large", "ecs.g6.large", "ecs.g8y.large", "ecs.c8y.large"),
            inventory=ByTag(
                ("aliyun", "tag", "ListTagResources", "--Tags", '{"crosscloud-run":"{run}"}'),
                "install Alibaba's CLI: https://github.com/aliyun/aliyun-cli",
                environment={
                    "ALIBABA_CLOUD_ACCESS_KEY_ID": "ALICLOUD_ACCESS_KEY",
                    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "ALICLOUD_SECRET_KEY",
                    "ALIBABA_CLOUD_REGION_ID": "ALICLOUD_REGION",
                },
                of_all=(("aliyun", "tag", "ListTagValues", "--Key", "crosscloud-run", "--PageSize", "1000"),),
            ),
        )
    ]
