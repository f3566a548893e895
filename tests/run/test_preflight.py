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


@pytest.mark.parametrize(("registry", "says"), [("", True), ("registry.example/ci", False), ("run", False)])
def test_nodes_of_somebody_elses_cluster_are_told_of_no_registry_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: str, says: bool
) -> None:
    (tmp_path / "kubeconfig").touch()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    found = config.load(None, plugins.load(tmp_path), tmp_path)
    asked = matrix.select(found, clouds="existing", projects="coredns", refs="stable", kubernetes=None, arch=None)
    (lines,) = lacking(found, asked, (), registry).values()
    assert len(lines) == says
    assert all("somebody else's" in line and "--registry=HOST; or --registry=run" in line for line in lines)
