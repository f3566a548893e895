"""The real Build of CoreDNS, and the addresses of registries: with root, or minutes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud import plugins
from pytest_crosscloud.build import registry
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.model import BuildRequest
from pytest_crosscloud.stage import StageContext

pytestmark = pytest.mark.skipif(not shutil.which("docker-registry"), reason="docker-registry is not installed")


@pytest.fixture
def specs() -> Iterator[list[dict[str, Any]]]:
    """What started registries recorded; they are ended with it."""
    specs: list[dict[str, Any]] = []
    yield specs
    for spec in specs:
        registry.release(spec)


@pytest.mark.root
def test_each_registry_has_an_address_of_its_own_and_gives_only_that_back(
    tmp_path: Path, specs: list[dict[str, Any]]
) -> None:
    runs = [f"test-{uuid.uuid4()}" for _ in range(2)]
    hosts = [registry.start(run, tmp_path / run, specs.append, storage=tmp_path / "storage").host for run in runs]
    first, second = (host.rpartition(":")[0] for host in hosts)
    assert first != second
    assert {first, second} <= set(registry._labels())
    registry.release(specs[0])
    assert first not in registry._labels()
    assert second in registry._labels()
    assert Repository(hosts[1], "some/image").tags() == []


@pytest.mark.root
def test_an_address_that_is_taken_is_passed_over(tmp_path: Path, specs: list[dict[str, Any]]) -> None:
    run = f"test-{uuid.uuid4()}"
    first = registry.start(run, tmp_path / "1", specs.append, storage=tmp_path / "storage").host
    # The same place in the network to begin at, as another run may have.
    address = registry._claim_address(run)
    try:
        assert address not in first
    finally:
        subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
def test_coredns_is_built_once_and_another_tool_pulls_it(tmp_path: Path, specs: list[dict[str, Any]]) -> None:
    loaded = plugins.load(tmp_path)
    project = loaded.projects["coredns"]
    host = registry.start(f"test-{uuid.uuid4()}", tmp_path / "registry", specs.append).host
    stage = StageContext("build coredns-stable", "test", tmp_path / "stage", deadline=time.monotonic() + 1200)
    request = BuildRequest(project, project.build.resolve(project, "stable"), "amd64", host, stage)
    artifacts = loaded.hook.crosscloud_build(request=request)
    again = loaded.hook.crosscloud_build(request=request)
    assert again.cached
    assert again.pins == artifacts.pins

    # Whether it answers is tests/e2e/projects/test_coredns.py's to prove, on a cluster.
    for pin, program in ((artifacts.pins[0], "coredns"), (artifacts.e2e, "program")):
        unpack(pin.reference, tmp_path)
        assert os.access(tmp_path / program, os.X_OK)
    version = subprocess.run([tmp_path / "coredns", "-version"], capture_output=True, text=True, check=True, timeout=60)
    assert f"CoreDNS-{request.ref.version.removeprefix('v')}" in version.stdout


def unpack(reference: str, directory: Path) -> None:
    """Pull an image with another tool than ours, and unpack its files."""
    layout = directory / "pulled"
    shutil.rmtree(layout, ignore_errors=True)
    command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{reference}", f"dir:{layout}"]
    subprocess.run(command, check=True, timeout=60)
    manifest = json.loads((layout / "manifest.json").read_text())
    for layer in manifest["layers"]:
        with tarfile.open(layout / layer["digest"].partition(":")[2]) as tar:
            tar.extractall(directory, filter="tar")
