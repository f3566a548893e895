"""AWS, as moto has it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

from clouds.aws.api import Api, Credentials
from clouds.aws.owned import filters
from pytest_crosscloud.testing.machines import Node
from tests import bucket

from .front import Answer, Faults, fronted

REGION = "eu-central-1"

#: Like the key's secret: it must be in no text that a program shows.
TOKEN = "FwoGZXIvYXdzE-not-a-real-token"

#: Debian's own images, which moto does not know by itself; see terraform/aws.
_IMAGES = [
    {
        "ami_id": f"ami-0debian12{arch}",
        "name": f"debian-12-{arch}-20251112-2294",
        "owner_id": "136693071363",
        "architecture": architecture,
        "root_device_type": "ebs",
        "root_device_name": "/dev/xvda",
        "virtualization_type": "hvm",
        "hypervisor": "xen",
        "description": "Debian 12",
        "public": True,
        "creation_date": "2025-11-12T00:00:00.000Z",
    }
    for arch, architecture in (("amd64", "x86_64"), ("arm64", "arm64"))
]

#: What can be there, how it is listed, and where its name is in the answer. Of network interfaces only those with a
#: tag: moto keeps the others, of instances that have ended.
_KINDS = (
    ("ec2", "DescribeAddresses", ".//addressesSet/item/allocationId"),
    ("ec2", "DescribeInternetGateways", ".//internetGatewaySet/item/internetGatewayId"),
    ("ec2", "DescribeRouteTables", ".//routeTableSet/item/routeTableId"),
    ("ec2", "DescribeSecurityGroups", ".//securityGroupInfo/item/groupId"),
    ("ec2", "DescribeSubnets", ".//subnetSet/item/subnetId"),
    ("ec2", "DescribeVolumes", ".//volumeSet/item/volumeId"),
    ("ec2", "DescribeVpcs", ".//vpcSet/item/vpcId"),
    ("iam", "ListRoles", ".//Roles/member/RoleName"),
    ("iam", "ListInstanceProfiles", ".//InstanceProfiles/member/InstanceProfileName"),
)

#: AWS detaches all interfaces of an instance that ends; moto never does, and refuses to.
_STANDING = {"DetachNetworkInterface": (400, "InvalidAttachmentID.NotFound")}

_LIVING = {"instance-state-name": ["pending", "running"]}


@dataclass(frozen=True)
class Moto:
    """moto's server, from outside."""

    url: str
    secret: str = bucket.SECRET

    @property
    def environment(self) -> Mapping[str, str]:
        secrets = {"AWS_SECRET_ACCESS_KEY": self.secret, "AWS_SESSION_TOKEN": TOKEN}
        return {**bucket.environment(self.url), "AWS_REGION": REGION, **secrets}

    def api(self) -> Api:
        """Its API, with this process's environment set so that it is found."""
        os.environ["AWS_ENDPOINT_URL"] = self.url
        return Api(REGION, Credentials("AKIDEXAMPLE", self.secret))

    def instances(self) -> dict[str, Node]:
        found = {}
        for page in self.api().pages("ec2", "DescribeInstances", **filters(_LIVING)):
            for item in page.iterfind(".//instancesSet/item"):
                name, address = item.findtext("instanceId") or "", item.findtext("privateIpAddress") or ""
                # As EC2 names them: nothing may depend on a host's name being its node's.
                found[name] = Node(f"ip-{address.replace('.', '-')}", address, self.user_data(name))
        return found

    def user_data(self, instance: str) -> bytes:
        """As it was passed, gzipped or not."""
        answer = self.api().query("ec2", "DescribeInstanceAttribute", InstanceId=instance, Attribute="userData")
        return base64.b64decode(answer.findtext("userData/value") or "")

    def addresses(self) -> dict[str, str]:
        found = {}
        for page in self.api().pages("ec2", "DescribeAddresses"):
            for item in page.iterfind(".//addressesSet/item"):
                if private := item.findtext("privateIpAddress"):
                    found[item.findtext("publicIp") or ""] = private
        return found

    def everything(self) -> set[str]:
        """Names of all that is there; of instances, those that are not terminated."""
        found = set(self.instances())
        for service, action, path in _KINDS:
            for page in self.api().pages(service, action):
                found |= {element.text or "" for element in page.iterfind(path)}
        for page in self.api().pages("ec2", "DescribeNetworkInterfaces", **filters({"tag-key": ["crosscloud-run"]})):
            found |= {element.text or "" for element in page.iterfind(".//networkInterfaceSet/item/networkInterfaceId")}
        return found


@contextmanager
def moto(directory: Path, answer: Answer = lambda action, values: None, faults: Faults | None = None) -> Iterator[Moto]:
    """moto's server with Debian's images, behind a front; ``directory``: for its log."""
    failing = faults or Faults()
    failing.standing = _STANDING
    images = directory / "images.json"
    images.write_text(json.dumps(_IMAGES))
    with bucket.server(directory, {"MOTO_AMIS_PATH": str(images)}) as url, fronted(url, answer, failing) as front:
        yield Moto(front)


def console_output(instance: str, text: str) -> bytes:
    """An answer to GetConsoleOutput, with the last 64 KiB as AWS keeps them."""
    said = base64.b64encode(text.encode()[-65536:]).decode()
    return (
        '<GetConsoleOutputResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>twin</requestId>'
        f"<instanceId>{escape(instance)}</instanceId><timestamp>2026-01-01T00:00:00.000Z</timestamp>"
        f"<output>{said}</output></GetConsoleOutputResponse>"
    ).encode()
