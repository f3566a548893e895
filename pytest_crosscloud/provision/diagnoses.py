"""Whose fault it is that Terraform failed, as far as its diagnostics tell, and what would help."""

from __future__ import annotations

import re

from ..errors import StageError
from ..model import ErrorClass

_BUSY = "the cloud asks to come back later: fewer clusters at once, or a longer retries.backoff in cross-cloud.yml"
_FULL = "raise the quota, take another region or machine type (the cloud's variables), or run fewer clusters at once"
_LOST = "take machines that are not preemptible, or another region (the cloud's variables)"
_UNREACHABLE = "check the network and the proxy"
_REFUSED = (
    "check the cloud's credentials and their rights: crosscloud doctor names them, terraform/README.md leads to them"
)
_SWITCHED_OFF = "switch the cloud's API on for this project or subscription"
_UNPAID = "the account is not allowed to make anything: see its billing"
_UNKNOWN = "take a region, size or image that the cloud has (the cloud's variables in cross-cloud.yml)"
_NO_PROVIDER = (
    "check the network and the proxy, or put the provider into a mirror; crosscloud doctor says what is there"
)
_NO_VERSION = "the registry has no such provider: see required_providers of the module's main.tf"

#: What stands before an HTTP status, so that a line's number is none.
_CODE = r"(status|code|http|error)\W{0,3}"

#: In this order: what Terraform says before it asks a cloud, then what clouds say, some of which call a quota a 403.
#: The words are those of the providers' own errors: AWS, Azure, Google, OpenStack, vSphere, Equinix, OCI, Alibaba,
#: Huawei, IBM, Hetzner.
_FAULTS = tuple(
    (re.compile(words, re.IGNORECASE), error_class, remedy)
    for words, error_class, remedy in (
        (
            r"value for (required |undeclared )?(input )?variable|variable value|unsupported (argument|attribute)"
            r"|missing required argument|invalid (reference|expression|function argument)|reference to undeclared",
            ErrorClass.CONFIGURATION,
            "",
        ),
        (
            r"(query|retrieve|list).{0,40}(available|of) .{0,40}provider|not found in any of the search locations"
            r"|install provider|failed to request discovery document",
            ErrorClass.INFRASTRUCTURE,
            _NO_PROVIDER,
        ),
        (
            r"no available releases match|does not have a provider named|inconsistent dependency lock",
            ErrorClass.CONFIGURATION,
            _NO_VERSION,
        ),
        (
            r"billing|arrears|NotEnoughBalance|insufficient balance|overdue|account.{0,20}(suspended|frozen)"
            r"|SubscriptionNotFound|ReadOnlyDisabledSubscription|payment",
            ErrorClass.CONFIGURATION,
            _UNPAID,
        ),
        (
            r"accessNotConfigured|SERVICE_DISABLED|API has not been used|MissingSubscriptionRegistration"
            r"|OptInRequired|service is not enabled|not been (activated|enabled|opened)",
            ErrorClass.CONFIGURATION,
            _SWITCHED_OFF,
        ),
        (
            rf"throttl|RequestLimitExceeded|APIGW\.0308|rate.?limit|too.?many.?requests|{_CODE}429",
            ErrorClass.INFRASTRUCTURE,
            _BUSY,
        ),
        (
            r"quota|limit.?(exceeded|reached)|exceeds.{0,20}limit|CountLimit|maximum number of"
            r"|capacity|ResourceExhausted|RESOURCE_POOL_EXHAUSTED|SkuNotAvailable|stockout"
            r"|OperationNotAllowed|No valid host was found|NotEnoughResource|(not have|insufficient) enough resources"
            r"|insufficient (resources|disk space)|sold out|NoStock|NotOnSale|AllocationFailed|Overconstrained"
            r"|no provisionable|resource_unavailable|out of (host )?resources",
            ErrorClass.INFRASTRUCTURE,
            _FULL,
        ),
        (r"\bspot\b|preempt|evict", ErrorClass.INFRASTRUCTURE, _LOST),
        (
            r"dial tcp|proxyconnect|no such host|could not connect|connection (refused|reset|timed out)|i/o timeout"
            rf"|TLS handshake|unexpected EOF|network is unreachable|name resolution|{_CODE}50[0234]|deadline exceeded"
            r"|timed? ?out|internal ?(server ?)?error|Service ?Unavailable",
            ErrorClass.INFRASTRUCTURE,
            _UNREACHABLE,
        ),
        (
            r"UnauthorizedOperation|AccessDenied|AuthFailure|AuthorizationFailed|InvalidClientTokenId|invalid_client"
            r"|invalid_grant|(not|n't) (be )?authori[sz]ed|no valid credential|could not find default credentials"
            r"|SignatureDoesNotMatch|InvalidAccessKeyId|ExpiredToken|AADSTS\d+|BXNIM\w+|NotAuthenticated|APIGW\.0301"
            r"|NotAuthorizedOrNotFound|PERMISSION_DENIED|Forbidden|NoPermission|permission to perform"
            r"|does not have authorization|insufficient authentication scopes"
            r"|incorrect (user name|IAM authentication)|unable to authenticate"
            r"|(invalid|incorrect).{0,20}(token|api.?key|credentials)|did not find a proper configuration for"
            rf"|authentication (required|failed)|requires authentication|{_CODE}40[13]",
            ErrorClass.CONFIGURATION,
            _REFUSED,
        ),
        (
            r"\b(unknown|invalid|unsupported|no such|not a valid|unable to find|cannot find)\b.{0,30}"
            r"\b(region|zone|location|metro|datacenter|machine type|instance type|server type|flavor|shape|plan|vm size"
            r"|image|profile)|InvalidRegion|InvalidInstanceType|InvalidAMIID|LocationNotAvailable|InvalidParameter.{0,60}size"
            r"|(region|zone|location|metro|datacenter|type|types/\S+|flavor|shape|plan|size|image|profile)\b.{0,60}"
            r"(not found|does(n't| not) exist|not (be )?(supported|available|valid)|is invalid)"
            r"|not found in the list of supported|no suitable endpoint",
            ErrorClass.CONFIGURATION,
            _UNKNOWN,
        ),
    )
)


def classed(command: str, details: str, otherwise: ErrorClass) -> StageError:
    """The failure of ``terraform <command>``.

    :param details: its diagnostics; or what it said, if it gave none.
    :param otherwise: the class if none of the words is known.
    """
    known = ((error_class, remedy) for words, error_class, remedy in _FAULTS if words.search(details))
    error_class, remedy = next(known, (otherwise, ""))
    return StageError(f"terraform {command} failed: {details}", error_class=error_class, remedy=remedy)


def names_unknown(error: StageError) -> bool:
    """Whether the cloud said that it has no such region, size or image."""
    return error.remedy == _UNKNOWN
