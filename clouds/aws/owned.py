"""What a run has on AWS, found by its tag alone; removed in the order in which one thing lets go of another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_crosscloud.errors import CrosscloudError

from .api import ApiError

if TYPE_CHECKING:
    from .api import Api

TAG = "crosscloud-run"

#: Of IAM's roles and profiles, before the run's id: see terraform/aws/iam.tf.
PATH = "/crosscloud/"

#: Seconds until all is gone: an instance takes minutes to end, and what it used is not free before.
DEADLINE = 900.0

#: Seconds between two attempts; AWS shows for a moment what is gone already.
INTERVAL = 5.0

#: How error codes begin or end that say that something is not there.
_GONE = (".NotFound", "NoSuchEntity", "InvalidAllocationID", "Gateway.NotAttached")

#: What carries tags, in the order in which it is removed; how it is listed, and where its id is in the answer. Not
#: DescribeTags, which goes on to list what is gone.
_KINDS = (
    ("elastic IP", "DescribeAddresses", "addressesSet/item/allocationId"),
    ("volume", "DescribeVolumes", "volumeSet/item/volumeId"),
    ("network interface", "DescribeNetworkInterfaces", "networkInterfaceSet/item/networkInterfaceId"),
    ("security group", "DescribeSecurityGroups", "securityGroupInfo/item/groupId"),
    ("subnet", "DescribeSubnets", "subnetSet/item/subnetId"),
    ("route table", "DescribeRouteTables", "routeTableSet/item/routeTableId"),
    ("internet gateway", "DescribeInternetGateways", "internetGatewaySet/item/internetGatewayId"),
    ("VPC", "DescribeVpcs", "vpcSet/item/vpcId"),
)


@dataclass(frozen=True)
class Instance:
    """An EC2 instance that is not terminated."""

    id: str
    name: str  #: its tag Name


def instances(api: Api, tag: str, value: str) -> list[Instance]:
    """Those with the tag, as long as they are not terminated."""
    states = ("pending", "running", "shutting-down", "stopping", "stopped")
    found = []
    for page in api.pages(
        "ec2", "DescribeInstances", **filters({f"tag:{tag}": [value], "instance-state-name": states})
    ):
        for item in page.iterfind(".//instancesSet/item"):
            tags = {entry.findtext("key"): entry.findtext("value") for entry in item.iterfind("tagSet/item")}
            found.append(Instance(item.findtext("instanceId") or "", tags.get("Name") or ""))
    return found


def filters(wanted: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """EC2's filters as parameters."""
    parameters = {}
    for number, (name, values) in enumerate(wanted.items(), 1):
        parameters[f"Filter.{number}.Name"] = name
        parameters |= {f"Filter.{number}.Value.{index}": value for index, value in enumerate(values, 1)}
    return parameters


def tagged(api: Api, run: str) -> list[tuple[str, str]]:
    """Kind and id of each thing of EC2's that has the run's tag, in the order in which they are removed."""
    found = [("instance", instance.id) for instance in instances(api, TAG, run)]
    for kind, action, ids in _KINDS:
        for page in api.pages("ec2", action, **filters({f"tag:{TAG}": [run]})):
            found += [(kind, element.text or "") for element in page.iterfind(ids)]
    return found


def names(api: Api, run: str) -> list[str]:
    """What there is of a run, for a person."""
    found = [f"{kind} {name}" for kind, name in tagged(api, run)]
    found += [f"instance profile {name}" for name in _profiles(api, f"{PATH}{run}/")]
    return found + [f"role {name}" for name in _roles(api, f"{PATH}{run}/")]


def runs(api: Api) -> list[str]:
    """Ids of all runs that have anything."""
    found = set()
    for page in api.pages("ec2", "DescribeTags", **filters({"key": [TAG]})):
        found |= {item.text or "" for item in page.iterfind("tagSet/item/value")}
    for kind in ("Role", "InstanceProfile"):
        found |= {path.split("/")[2] for path, _ in _listed(api, kind, PATH)}
    return sorted(run for run in found if run and names(api, run))


def sweep(api: Api, run: str) -> None:
    """Remove all of it, and wait until it is gone.

    :raises CrosscloudError: something is not, in time.
    """
    limit = time.monotonic() + DEADLINE
    while found := tagged(api, run):
        # All at once: what is still in use is asked for again.
        reasons = [reason for kind, name in found if (reason := _remove(api, kind, name))]
        if time.monotonic() > limit:
            what = "; ".join(reasons or (f"{kind} {name}" for kind, name in found))
            raise CrosscloudError(f"AWS: not destroyed within {DEADLINE:.0f} s: {what}")
        time.sleep(INTERVAL if reasons else INTERVAL / 10)
    _remove_roles(api, f"{PATH}{run}/")


def _remove(api: Api, kind: str, name: str) -> str:
    """Have it removed; :returns: why it is still there, empty if it is not."""
    try:
        match kind:
            case "instance":
                api.query("ec2", "TerminateInstances", **{"InstanceId.1": name})
                return f"{kind} {name} is shutting down"
            case "elastic IP":
                answer = api.query("ec2", "DescribeAddresses", **{"AllocationId.1": name})
                if association := answer.findtext(".//associationId"):
                    api.query("ec2", "DisassociateAddress", AssociationId=association)
                api.query("ec2", "ReleaseAddress", AllocationId=name)
            case "volume":
                api.query("ec2", "DeleteVolume", VolumeId=name)
            case "network interface":
                api.query("ec2", "DeleteNetworkInterface", NetworkInterfaceId=name)
            case "security group":
                api.query("ec2", "DeleteSecurityGroup", GroupId=name)
            case "subnet":
                api.query("ec2", "DeleteSubnet", SubnetId=name)
            case "route table":
                answer = api.query("ec2", "DescribeRouteTables", **{"RouteTableId.1": name})
                for entry in answer.iterfind(".//associationSet/item"):
                    association = entry.findtext("routeTableAssociationId") or ""
                    api.query("ec2", "DisassociateRouteTable", AssociationId=association)
                api.query("ec2", "DeleteRouteTable", RouteTableId=name)
            case "internet gateway":
                answer = api.query("ec2", "DescribeInternetGateways", **{"InternetGatewayId.1": name})
                for vpc in answer.iterfind(".//attachmentSet/item/vpcId"):
                    api.query("ec2", "DetachInternetGateway", InternetGatewayId=name, VpcId=vpc.text or "")
                api.query("ec2", "DeleteInternetGateway", InternetGatewayId=name)
            case "VPC":
                api.query("ec2", "DeleteVpc", VpcId=name)
    except ApiError as error:
        if error.code.endswith(_GONE) or ".NotFound" in error.code:
            return ""
        return f"{kind} {name}: {error.message}"
    return ""


def _profiles(api: Api, path: str) -> list[str]:
    return [name for _, name in _listed(api, "InstanceProfile", path)]


def _roles(api: Api, path: str) -> list[str]:
    return [name for _, name in _listed(api, "Role", path)]


def _listed(api: Api, kind: str, path: str) -> list[tuple[str, str]]:
    """Path and name of IAM's roles or profiles below a path."""
    found = []
    for page in api.pages("iam", f"List{kind}s", PathPrefix=path):
        for item in page.iterfind(f".//{kind}s/member"):
            found.append((item.findtext("Path") or "", item.findtext(f"{kind}Name") or ""))
    return [one for one in found if one[0].startswith(path)]


def _remove_roles(api: Api, path: str) -> None:
    for profile in _profiles(api, path):
        answer = api.query("iam", "GetInstanceProfile", InstanceProfileName=profile)
        for role in answer.iterfind(".//Roles/member/RoleName"):
            api.query("iam", "RemoveRoleFromInstanceProfile", InstanceProfileName=profile, RoleName=role.text or "")
        api.query("iam", "DeleteInstanceProfile", InstanceProfileName=profile)
    for role_name in _roles(api, path):
        for page in api.pages("iam", "ListRolePolicies", RoleName=role_name):
            for policy in page.iterfind(".//PolicyNames/member"):
                api.query("iam", "DeleteRolePolicy", RoleName=role_name, PolicyName=policy.text or "")
        api.query("iam", "DeleteRole", RoleName=role_name)
