"""Whether an AWS account has room for clusters: its quotas, less what is there."""

from __future__ import annotations

from collections.abc import Callable

from .api import Api, ApiError

#: Families that share one quota of vCPUs, by the first letter of a type's name.
_STANDARD = tuple("acdhimrtz")

#: service and code of Service Quotas; what is counted
_VCPUS = ("ec2", "L-1216C47A")
_ADDRESSES = ("ec2", "L-0263D0A3")
_NETWORKS = ("vpc", "L-F678F1CE")

_TARGET = "ServiceQuotasV20190624.GetServiceQuota"


def lacking(api: Api, clusters: int, workers: int, instance_type: str) -> list[str]:
    """What there is no room for, a line each. A quota that may not be asked for is not judged."""
    wanted: list[tuple[str, tuple[str, str], int, Callable[[], int]]] = [
        (f"VPCs in {api.region}", _NETWORKS, clusters, lambda: _count(api, "DescribeVpcs", "vpcSet/item")),
        (
            f"elastic IPs in {api.region}",
            _ADDRESSES,
            clusters,
            lambda: _count(api, "DescribeAddresses", "addressesSet/item"),
        ),
    ]
    if instance_type.startswith(_STANDARD):
        each = _vcpus(api, instance_type)
        nodes = clusters * (1 + workers)
        wanted.append((f"vCPUs in {api.region} ({nodes} {instance_type})", _VCPUS, nodes * each, lambda: _running(api)))
    lines = []
    for what, quota, needed, used in wanted:
        limit = _limit(api, *quota)
        if limit is not None and (left := limit - used()) < needed:
            lines.append(f"{what}: {needed} needed, {max(left, 0)} left of the quota of {limit} ({quota[1]})")
    return lines


def _limit(api: Api, service: str, code: str) -> int | None:
    try:
        answer = api.json("servicequotas", _TARGET, {"ServiceCode": service, "QuotaCode": code})
        return int(answer["Quota"]["Value"])
    except (ApiError, KeyError):  # no right to ask, or not known there
        return None


def _count(api: Api, action: str, items: str) -> int:
    return sum(len(page.findall(items)) for page in api.pages("ec2", action))


def _vcpus(api: Api, instance_type: str) -> int:
    """:raises ApiError: the region does not know the type."""
    answer = api.query("ec2", "DescribeInstanceTypes", **{"InstanceType.1": instance_type})
    return int(answer.findtext(".//vCpuInfo/defaultVCpus") or 0)


def _running(api: Api) -> int:
    """vCPUs of the instances that count."""
    filters = {"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "pending", "Filter.1.Value.2": "running"}
    total = 0
    for page in api.pages("ec2", "DescribeInstances", **filters):
        for instance in page.iterfind(".//instancesSet/item"):
            spot = instance.findtext("instanceLifecycle") == "spot"  # has a quota of its own
            if not spot and (instance.findtext("instanceType") or "").startswith(_STANDARD):
                cores, threads = (
                    instance.findtext(f"cpuOptions/{key}") or 0 for key in ("coreCount", "threadsPerCore")
                )
                total += int(cores) * int(threads)
    return total
