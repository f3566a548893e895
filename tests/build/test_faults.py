"""Whose fault a failed build is, by the tools' own words."""

from __future__ import annotations

import pytest

from pytest_crosscloud.build.faults import classed
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import ErrorClass


def class_of(said: str, otherwise: ErrorClass = ErrorClass.PRODUCT) -> ErrorClass:
    with pytest.raises(StageError) as raised, classed("demo"):
        raise StageError(said, error_class=otherwise)
    return raised.value.error_class


@pytest.mark.parametrize(
    "said",
    [
        'go: module: Get "https://proxy.golang.org/x": dial tcp: lookup proxy.golang.org: server misbehaving',
        "proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused",
        "reading https://proxy.golang.org/x: 502 Bad Gateway",
        "fatal: unable to access 'https://git/x': Could not resolve proxy: proxy",
        "fatal: the remote end hung up unexpectedly",
        "toomanyrequests: You have reached your pull rate limit",
        "/usr/lib/go/compile: signal: killed",
    ],
)
def test_what_the_source_cannot_help(said: str) -> None:
    assert class_of(said) == ErrorClass.INFRASTRUCTURE


@pytest.mark.parametrize("said", ["./main.go:3:2: undefined: x", "exit status 2", "503 errors"])
def test_the_source_is_the_products(said: str) -> None:
    assert class_of(said) == ErrorClass.PRODUCT


def test_modules_that_a_proxy_refuses_are_named() -> None:
    said = "go: downloading a.test/x v1.0.0\nmain.go:4:2: {}: reading https://proxy.test/x.zip: 403 Forbidden\n\tserver"
    with pytest.raises(StageError) as raised, classed("demo"):
        raise StageError("\n".join(said.format(name) for name in ("a.test/x@v1.0.0", "b.test/y@v0.2.0")))
    assert raised.value.message == (
        "demo requires modules that the module proxy refuses: a.test/x@v1.0.0 (403 Forbidden),"
        " b.test/y@v0.2.0 (403 Forbidden)"
    )
    assert raised.value.error_class == ErrorClass.INFRASTRUCTURE


def test_a_newer_go_is_the_hosts() -> None:
    assert class_of("go.mod requires go >= 1.99 (running go 1.27.1; GOTOOLCHAIN=local)") == ErrorClass.CONFIGURATION
