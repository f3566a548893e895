"""A fake API server, and requests that go to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.model import E2E, Artifacts, Cluster, DeployRequest, Pin, Project, Ref
from pytest_crosscloud.stage import StageContext
from tests.deploy.fake_api import FakeApi, serve

_REF = Ref("stable", "v1.0.0")
_BUILD = GoProgram(directory=Path("nowhere"), image="x")


def pin(name: str) -> Pin:
    return Pin(name, f"198.18.0.1:5000/{name.lower()}", "v1.0.0", "sha256:" + "a" * 64)


@pytest.fixture
def fake() -> FakeApi:
    return FakeApi()


@pytest.fixture
def cluster(fake: FakeApi, tmp_path: Path) -> Iterator[Cluster]:
    with serve(fake, tmp_path) as kubeconfig:
        yield Cluster("c", "local", _REF, "amd64", kubeconfig)


@pytest.fixture
def stage(tmp_path: Path) -> StageContext:
    return StageContext("deploy dns-stable-local", "7f3a", tmp_path / "out", time.monotonic() + 20)


@pytest.fixture
def request_for(cluster: Cluster, stage: StageContext) -> Callable[[Path], DeployRequest]:
    """A request to deploy a project with the chart that is given."""

    def make(chart: Path) -> DeployRequest:
        project = Project(name="dns", build=_BUILD, chart=str(chart), e2e=E2E(build=_BUILD))
        artifacts = Artifacts("dns", _REF, "amd64", (pin("DNS"),), e2e=pin("E2E"))
        return DeployRequest(project, artifacts, cluster, "cell", "dns-stable", stage)

    return make
