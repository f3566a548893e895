"""What stands in the way of a run, before anything is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud import config, matrix, plugins
from pytest_crosscloud.config import Config
from pytest_crosscloud.run.preflight import lacking


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A configuration in which the local cloud's nodes do not reach this computer, and nothing else is wrong."""
    found = config.load(None, plugins.load(tmp_path), tmp_path)
    local = replace(found.clouds["local"], is_elsewhere=True)
    monkeypatch.setattr(type(local), "preflight", lambda cloud: [])
    monkeypatch.setattr(type(local), "capacity", lambda cloud, clusters: [])
    return replace(found, clouds={**found.clouds, "local": local})


@pytest.mark.parametrize(
    ("registry", "says"), [("", True), ("registry.example/ci", False), ("run", False), (None, False)]
)
def test_nodes_elsewhere_need_a_registry_that_they_reach(elsewhere: Config, registry: str | None, says: bool) -> None:
    asked = matrix.select(elsewhere, clouds="local", projects="coredns", refs="stable", kubernetes=None, arch=None)
    (lines,) = lacking(elsewhere, asked, (), registry).values()
    assert any("--registry=HOST" in line for line in lines) == says
