"""Whose fault it is, by the providers' own words."""

from __future__ import annotations

import pytest

from pytest_crosscloud.model import ErrorClass
from pytest_crosscloud.provision.diagnoses import classed, names_unknown

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


BUSY, FULL, UNREACHABLE = "come back later", "raise the quota", "check the network"
REFUSED, OFF, UNPAID, UNKNOWN = "credentials and their rights", "API on", "billing", "a region, size or image"

#: What clouds answer, as their providers repeat it.
ANSWERS = [
    ("azure", 'polling failed: Code="TooManyRequests" Message="The request is being throttled"', BUSY),
    ("azure", 'Code="PublicIPCountLimitReached" Message="Cannot create more than 10 public IP addresses"', FULL),
    ("azure", "ZonalAllocationFailed: Allocation failed. We do not have sufficient capacity", FULL),
    (
        "azure",
        "building account: could not acquire access token: AADSTS7000215: Invalid client secret provided",
        REFUSED,
    ),
    ("azure", "AuthorizationFailed: The client does not have authorization to perform action", REFUSED),
    ("azure", "MissingSubscriptionRegistration: The subscription is not registered to use Microsoft.Network", OFF),
    ("azure", "ReadOnlyDisabledSubscription: The subscription is disabled and therefore marked as read only", UNPAID),
    ("azure", "LocationNotAvailableForResourceType: The provided location 'westeurop' is not available", UNKNOWN),
    ("azure", "InvalidParameter: The value Standard_X provided for the VM size is not valid", UNKNOWN),
    ("gce", "Error 403: Compute Engine API has not been used in project 1 before or it is disabled", OFF),
    ("gce", "The zone 'x' does not have enough resources available: ZONE_RESOURCE_POOL_EXHAUSTED", FULL),
    ("gce", "Error 403: Quota exceeded for quota metric 'Queries' and limit 'per minute', rateLimitExceeded", BUSY),
    ("gce", "Error 400: Invalid value for field 'zone': 'europe-west9-x'. Unknown zone., invalid", UNKNOWN),
    ("gce", "Error 404: The resource 'projects/p/zones/z/machineTypes/e9-huge' was not found, notFound", UNKNOWN),
    ("gce", "Error 403: The billing account for the owning project is disabled in state absent", UNPAID),
    ("gce", "oauth2: 'invalid_grant' 'Invalid JWT Signature.'", REFUSED),
    ("openstack", "Expected HTTP response code [202] but got 403: Quota exceeded for cores: Requested 2", FULL),
    ("openstack", "No valid host was found. There are not enough hosts available.", FULL),
    ("openstack", "The request you have made requires authentication.", REFUSED),
    ("openstack", "Policy doesn't allow os_compute_api:servers:create to be performed. Forbidden", REFUSED),
    ("openstack", "No suitable endpoint could be found in the service catalog", UNKNOWN),
    ("openstack", "Unable to find flavor with name m9.huge", UNKNOWN),
    ("vsphere", "ServerFaultCode: Cannot complete login due to an incorrect user name or password.", REFUSED),
    ("vsphere", "ServerFaultCode: Permission to perform this operation was denied.", REFUSED),
    ("vsphere", "insufficient disk space on datastore 'ds1'", FULL),
    ("vsphere", "error fetching datacenter: datacenter 'DC9' not found", UNKNOWN),
    ("packet", "The metro am has no provisionable c3.small.x86 servers matching your criteria", FULL),
    ("packet", "401 Invalid authentication token", REFUSED),
    ("packet", "422 xx is not a valid metro", UNKNOWN),
    ("oci", "500-InternalError, Out of host capacity.", FULL),
    ("oci", "401-NotAuthenticated, The required information to complete authentication was not provided", REFUSED),
    ("oci", "404-NotAuthorizedOrNotFound, Authorization failed or requested resource not found.", REFUSED),
    ("oci", "can not create client, bad configuration: did not find a proper configuration for private key", REFUSED),
    ("alibaba", "ErrorCode: OperationDenied.NoStock, The requested resource is sold out", FULL),
    ("alibaba", "Code: Throttling.User Message: Request was denied due to user flow control.", BUSY),
    ("alibaba", "InvalidAccountStatus.NotEnoughBalance: Your account does not have enough balance.", UNPAID),
    ("alibaba", "ErrorCode: InvalidAccessKeyId.NotFound, Specified access key is not found.", REFUSED),
    ("alibaba", "Code: Forbidden.RAM, User not authorized to operate on the specified resource.", REFUSED),
    ("alibaba", "InvalidInstanceType.ValueNotSupported: The specified InstanceType is not supported", UNKNOWN),
    ("huawei", 'error_code: "APIGW.0301", error_msg: "Incorrect IAM authentication information"', REFUSED),
    ("huawei", "APIGW.0308: The throttling threshold has been reached", BUSY),
    ("huawei", "Your account has insufficient balance", UNPAID),
    ("ibm", "BXNIM0415E: Provided API key could not be found.", REFUSED),
    ("ibm", "The quota 'vpcs_per_region' is exceeded: over_quota", FULL),
    ("hetzner", "server limit exceeded (resource_limit_exceeded, 0123)", FULL),
    ("hetzner", "error during placement (resource_unavailable, 0123)", FULL),
    ("hetzner", "the token you provided is invalid, unable to authenticate (unauthorized)", REFUSED),
    ("hetzner", "server type cx99 not found", UNKNOWN),
    ("aws", "OptInRequired: You are not subscribed to this service", OFF),
    ("aws", "invalid AWS Region: eu-cental-1", UNKNOWN),
    ("aws", "InvalidParameterValue: Invalid value 't9.huge' for InstanceType. unsupported instance type", UNKNOWN),
    (
        "aws",
        "Unsupported: Your requested instance type (t4g.medium) is not supported in your Availability Zone",
        UNKNOWN,
    ),
]


@pytest.mark.parametrize(("cloud", "said", "remedy"), ANSWERS)
def test_what_helps_against_what_clouds_answer(cloud: str, said: str, remedy: str) -> None:
    error = classed("apply", said, ErrorClass.INFRASTRUCTURE)
    assert remedy in error.remedy, cloud
    passes = remedy in (BUSY, FULL, UNREACHABLE)
    assert error.error_class == (ErrorClass.INFRASTRUCTURE if passes else ErrorClass.CONFIGURATION)
    assert names_unknown(error) == (remedy == UNKNOWN)


@pytest.mark.parametrize(
    ("said", "error_class", "remedy"),
    [
        (
            "Failed to query available provider packages: Could not retrieve the list of available versions for"
            " provider hashicorp/aws: could not connect to registry.terraform.io: dial tcp: no such host",
            ErrorClass.INFRASTRUCTURE,
            "mirror",
        ),
        ("provider x/y was not found in any of the search locations", ErrorClass.INFRASTRUCTURE, "crosscloud doctor"),
        (
            "no available releases match the given constraints ~> 99.0",
            ErrorClass.CONFIGURATION,
            "required_providers",
        ),
    ],
)
def test_a_provider_that_cannot_be_had(said: str, error_class: ErrorClass, remedy: str) -> None:
    error = classed("init", said, ErrorClass.CONFIGURATION)
    assert (error.error_class, remedy in error.remedy) == (error_class, True)


@pytest.mark.parametrize(
    "said",
    [
        "local-exec: exit status 1: machine xc.0 did not start: node image plan",
        "InvalidVpcID.NotFound: The vpc ID 'vpc-1' does not exist",  # not known everywhere yet: passes
        "creating volume: unexpected state 'error'",
    ],
)
def test_what_is_not_known_is_tried_again(said: str) -> None:
    assert classed("apply", said, ErrorClass.INFRASTRUCTURE).error_class == ErrorClass.INFRASTRUCTURE
