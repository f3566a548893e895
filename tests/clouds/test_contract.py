"""Every bundled cloud keeps the contract that third parties' clouds keep, by the same tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_crosscloud import plugins
from pytest_crosscloud.testing import CloudContract

#: What the tests of a cloud have to know beside the cloud: values for variables, and what cannot carry tags or names.
KNOWN: Mapping[str, Mapping[str, Any]] = {
    "local": {"variables": {"cidr": "198.19.255.0/24", "run": "0123abcd"}},
}

CLOUDS = plugins.load(Path(__file__).parent).clouds

for _name, _cloud in CLOUDS.items():
    _class = f"Test{_name.title()}"
    globals()[_class] = type(
        _class, (CloudContract,), {"cloud": _cloud, "__module__": __name__, **KNOWN.get(_name, {})}
    )


def test_only_clouds_that_there_are_have_exceptions() -> None:
    assert KNOWN.keys() <= CLOUDS.keys()
