"""Whose fault a failed build is, as far as the tools' own words tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import StageError
from ..model import ErrorClass

#: What go, git and the container engines say when the build failed through no fault of the source.
_NOT_THE_PRODUCT = re.compile(
    r"dial tcp|proxyconnect tcp|no such host|could not resolve (host|proxy)|temporary failure in name resolution"
    r"|i/o timeout|connection (refused|reset|timed out)|network is unreachable|no route to host|TLS handshake timeout"
    r"|50[0234] (Internal Server Error|Bad Gateway|Service Unavailable|Gateway Timeout)|429 Too Many Requests"
    r"|toomanyrequests|remote end hung up|early EOF|unexpected EOF|no space left on device|signal: killed",
    re.IGNORECASE,
)

_NEWER_GO = re.compile(r"requires go >= (\S+) \(running go (\S+?)[;)]")

# What a module proxy will not give, though it is there: with another proxy the source may well compile.
_REFUSED = re.compile(r"(\S+@v\S+): reading \S+: (40[13] [A-Z]\w+|451 [A-Z]\w+)")


@contextmanager
def classed(what: str) -> Iterator[None]:
    """Give a failure of a tool that builds ``what`` the class that its words deserve.

    :raises StageError: what the block raised; class infrastructure when the network or the host was to blame.
    """
    try:
        yield
    except StageError as error:
        if needs := _NEWER_GO.search(error.message):
            raise StageError(
                f"{what} needs Go {needs[1]}, and here is {needs[2]}",
                remedy="install that Go, or allow `go env -w GOTOOLCHAIN=auto` to fetch it",
                error_class=ErrorClass.CONFIGURATION,
            ) from error
        if refused := dict(_REFUSED.findall(error.message)):
            listed = ", ".join(f"{module} ({answer})" for module, answer in refused.items())
            raise StageError(
                f"{what} requires modules that the module proxy refuses: {listed}",
                remedy="choose an older ref, or another proxy: go env GOPROXY",
                error_class=ErrorClass.INFRASTRUCTURE,
            ) from error
        if _NOT_THE_PRODUCT.search(error.message):
            error.error_class = ErrorClass.INFRASTRUCTURE
        raise
