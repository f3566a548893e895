"""Whose fault it is, by the providers' own words."""

from __future__ import annotations

import pytest

from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.provision.diagnoses import classed

INFRASTRUCTURE = [
    "creating EC2 Instance: operation error EC2: RunInstances, StatusCode: 400, VcpuLimitExceeded: You have requested",
    "InsufficientInstanceCapacity: We currently do not have sufficient t3.medium capacity in the Availability Zone",
    "googleapi: Error 403: Quota 'CPUS' exceeded. Limit: 24.0 in region us-central1., quotaExceeded",
    "googleapi: Error 403: Rate Limit Exceeded, rateLimitExceeded",
    "ZONE_RESOURCE_POOL_EXHAUSTED",
    'compute.VirtualMachinesClient: StatusCode=409 -- Code="SkuNotAvailable"',
    "Operation could not be completed as it results in exceeding approved Total Regional Cores quota.",
    "ThrottlingException: Rate exceeded",
    "POST https://api.equinix.com/metal/v1: 503 Service Unavailable",
    "Could not connect to registry.terraform.io: Failed to request discovery document: dial tcp: lookup: no such host",
    "Spot Instance was terminated",
    "something nobody has seen before",
]

CONFIGURATION = [
    "/x/main.tf:500: Invalid value for variable: capacity_type must be spot or on-demand",
    'No value for required variable: The root module input variable "region" is not set',
    'Unsupported argument: An argument named "quota" is not expected here.',
    "UnauthorizedOperation: You are not authorized to perform this operation",
    "googleapi: Error 403: Required 'compute.instances.create' permission, forbidden",
    "No valid credential sources found",
]


@pytest.mark.parametrize("said", INFRASTRUCTURE)
def test_what_may_be_otherwise_in_a_while(said: str) -> None:
    assert classed("apply", said, ErrorClass.INFRASTRUCTURE).error_class == ErrorClass.INFRASTRUCTURE


@pytest.mark.parametrize("said", CONFIGURATION)
def test_what_somebody_has_to_change(said: str) -> None:
    assert classed("apply", said, ErrorClass.INFRASTRUCTURE).error_class == ErrorClass.CONFIGURATION


def test_an_init_without_a_network_is_nobodys_configuration() -> None:
    assert classed("init", "Failed to query: dial tcp: i/o timeout", ErrorClass.CONFIGURATION).error_class == (
        ErrorClass.INFRASTRUCTURE
    )
    assert classed("init", "main.tf:503: no such provider", ErrorClass.CONFIGURATION).error_class == (
        ErrorClass.CONFIGURATION
    )


def test_a_quota_has_a_remedy() -> None:
    assert "raise the quota" in classed("apply", INFRASTRUCTURE[0], ErrorClass.INFRASTRUCTURE).remedy
