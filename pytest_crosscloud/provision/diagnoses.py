"""Whose fault it is that Terraform failed, as far as its diagnostics tell, and what would help."""

from __future__ import annotations

import re

from ..errors import StageError
from ..model import ErrorClass

_BUSY = "the cloud asks to come back later: fewer clusters at once, or a longer retries.backoff in cross-cloud.yml"
_FULL = "raise the quota, take another region or machine type (the cloud's variables), or run fewer clusters at once"
_LOST = "take machines that are not preemptible, or another region (the cloud's variables)"
_UNREACHABLE = "check the network and the proxy"
_REFUSED = "check the cloud's credentials and their rights; crosscloud list names them"

#: What stands before an HTTP status, so that a line's number is none.
_CODE = r"(status|code|http|error)\W{0,3}"

#: In this order: what Terraform says before it asks a cloud, then what clouds say, some of which call a quota a 403.
#: The words are those of the providers' own errors: AWS, Azure, Google, OpenStack, Equinix, OCI, Alibaba, Huawei, IBM.
_FAULTS = tuple(
    (re.compile(words, re.IGNORECASE), error_class, remedy)
    for words, error_class, remedy in (
        (
            r"value for (required |undeclared )?(input )?variable|variable value|unsupported (argument|attribute)"
            r"|missing required argument|invalid (reference|expression|function argument)|reference to undeclared",
            ErrorClass.CONFIGURATION,
            "",
        ),
        (rf"throttl|RequestLimitExceeded|rate.?limit|too.?many.?requests|{_CODE}429", ErrorClass.INFRASTRUCTURE, _BUSY),
        (
            r"quota|limit.?exceeded|capacity|ResourceExhausted|RESOURCE_POOL_EXHAUSTED|SkuNotAvailable|stockout"
            r"|OperationNotAllowed|No valid host was found|NotEnoughResource|sold out|NoStock",
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
            r"|invalid_grant|not authorized|no valid credential|could not find default credentials"
            rf"|authentication (required|failed)|{_CODE}40[13]",
            ErrorClass.CONFIGURATION,
            _REFUSED,
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
