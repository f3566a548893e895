"""Kubernetes on the real thing: its own conformance suite on a cluster of its build, whole and broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from projects import kubernetes
from pytest_crosscloud import machine
from pytest_crosscloud.build.conformance import ConformanceBuild
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.images import File, ImageConfig, write
from pytest_crosscloud.kube import Api
from pytest_crosscloud.model import Artifacts, Pin, Project
from pytest_crosscloud.toolchain import pins
from tests.e2e.site import Site, open_site

pytestmark = [pytest.mark.root, pytest.mark.slow]

VERSION: str = pins.load()["kubernetes"]["stable"]
PROJECT = kubernetes.crosscloud_projects()[0]

#: One spec that runs busybox, one that runs agnhost, and one that needs Services to lead somewhere.
ENVIRONMENT = "ConfigMap should be consumable via environment variable"
VOLUME = r"EmptyDir volumes should support \(root,0644,default\)"
SERVICE = "EndpointSlice should support a Service with multiple ports"


@dataclass(frozen=True)
class Place:
    """The site that the tests of this file share, on a cluster of the Kubernetes that it has built."""

    site: Site
    kubernetes: Artifacts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_site("e2ekubernetes", tmp_path_factory.mktemp("kubernetes"), VERSION) as site:
        yield Place(site, site.build(PROJECT, VERSION))


def focused(*specs: str, **env: str) -> Project:
    """The project with these specs alone."""
    assert PROJECT.e2e
    chosen = {"CONFORMANCE_FOCUS": f"({'|'.join(specs)})", "CONFORMANCE_LEAST": str(len(specs))}
    return replace(PROJECT, e2e=replace(PROJECT.e2e, env={**PROJECT.e2e.env, **chosen, **env}))


def test_the_cluster_is_what_was_built(place: Place) -> None:
    api = Api(place.site.cluster.kubeconfig)
    assert api.get("/version")["gitVersion"] == VERSION
    (node,) = api.get("/api/v1/nodes")["items"]
    assert node["status"]["nodeInfo"]["kubeletVersion"] == VERSION
    running = api.get("/api/v1/namespaces/kube-system/pods")["items"]
    ran = {pod["status"]["containerStatuses"][0]["imageID"] for pod in running}
    built = {_configuration(place, pin) for pin in place.kubernetes.pins if pin.name != "PAUSE"}
    assert len(running) == 4
    assert ran == built


def _configuration(place: Place, pin: Pin) -> str:
    """What containerd calls an image: the digest of its configuration."""
    repository = Repository.at(place.site.registry, pin.image.partition("/")[2])
    digest: str = repository.manifest(pin.digest)["config"]["digest"]
    return digest


def test_its_conformance_specs_pass(place: Place) -> None:
    result, failures = place.site.verdict("whole", PROJECT, place.kubernetes)
    assert failures == {}
    assert result.exit_code == 0, Path(result.log).read_text()[-5000:]
    assert result.counts
    assert (result.counts.passed, result.counts.failed, result.counts.skipped) == (len(kubernetes.QUICK), 0, 0)


def test_a_cluster_whose_services_lead_nowhere_is_red(place: Place) -> None:
    (node,) = [found.name for found in machine.machines() if found.network == place.site.cluster.name]
    stopping = [sys.executable, "-m", "pytest_crosscloud.machine", "exec", node, "--", "systemctl"]
    project = focused(ENVIRONMENT, SERVICE)
    release = place.site.deploy("no-proxy", project, place.kubernetes)
    subprocess.run([*stopping, "stop", "kube-proxy"], check=True, timeout=60)
    try:
        result = place.site.e2e(release, project, place.kubernetes)
    finally:
        subprocess.run([*stopping, "start", "kube-proxy"], check=True, timeout=60)
    assert result.exit_code == 1
    assert result.counts
    assert (result.counts.passed, result.counts.failed) == (1, 1)
    (failure,) = result.failures
    assert SERVICE in failure


def test_a_wrong_image_is_red_where_it_runs(place: Place) -> None:
    project = focused(ENVIRONMENT, VOLUME, CONFORMANCE_IMAGES="kubernetes/wrong")
    assert project.e2e
    assert isinstance(project.e2e.build, ConformanceBuild)
    suite = replace(project.e2e.build, folder="kubernetes/wrong")
    made = place.site.build(replace(project, e2e=replace(project.e2e, build=suite)), VERSION)
    stage = place.site.stage("push wrong")
    stage.directory.mkdir()
    files = [File("/agnhost", b"#!/bin/false\n", 0o755)]
    wrong = write(stage.directory / "image", files, ImageConfig("amd64", ["/agnhost"]))
    repository = Repository.at(place.site.registry, "kubernetes/wrong/agnhost")
    for tag in repository.tags():
        repository.push(wrong, tag, stage)

    result, failures = place.site.verdict("wrong", project, made)

    assert result.exit_code == 1
    assert result.counts
    assert (result.counts.passed, result.counts.failed) == (1, 1)
    assert "EmptyDir" in next(iter(failures))
