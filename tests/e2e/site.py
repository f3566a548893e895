"""A local cluster and a registry for the tests of a file: projects are built, deployed and tested there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pluggy import HookRelay

from clouds.local import LocalCloud
from pytest_crosscloud import paths, plugins
from pytest_crosscloud.build import project as builds
from pytest_crosscloud.build import registry
from pytest_crosscloud.deploy import helm
from pytest_crosscloud.model import (
    Artifacts,
    BuildRequest,
    Cluster,
    DeployRequest,
    E2ERequest,
    E2EResult,
    Project,
    ProvisionRequest,
    Ref,
    Release,
)
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import pins
from tests.e2e.computer import Computer

#: Seconds for a cluster, or for a build of which nothing is cached.
_LONG = 1800.0


@dataclass(frozen=True)
class Site:
    """Where projects are tried. Every method is a stage of the pipelines, without the engine around it."""

    run: str  #: the run's id
    cluster: Cluster
    registry: str
    directory: Path

    def stage(self, key: str, seconds: float = 180) -> StageContext:
        return StageContext(key, self.run, self.directory / key.replace(" ", "-"), time.monotonic() + seconds)

    def build(self, project: Project, ref: str = "stable") -> Artifacts:
        """All of the project's images, and its e2e container."""
        resolved = project.build.resolve(project, ref)
        stage = self.stage(f"build {project.name}-{ref}", _LONG)
        return builds.build(BuildRequest(project, resolved, "amd64", self.registry, stage))

    def deploy(
        self,
        namespace: str,
        project: Project,
        artifacts: Artifacts,
        *,
        release: str = "",
        seconds: float = 180,
        in_place: bool = False,
    ) -> Release:
        """Install the project's chart as a release that is called as the project, unless ``release`` says otherwise.

        :param in_place: the release is there already, and is upgraded.
        """
        stage = self.stage(f"deploy {namespace}", seconds)
        name = release or project.name
        request = DeployRequest(project, artifacts, self.cluster, namespace, name, stage)
        return helm.deploy(request, in_place=in_place)

    def e2e(
        self,
        release: Release,
        project: Project,
        artifacts: Artifacts,
        *,
        name: str = "",
        env: Mapping[str, str] | None = None,
    ) -> E2EResult:
        """Run its e2e container.

        :param env: what the stage tells it, beside what every container is told.
        """
        stage = self.stage(f"e2e {name or release.namespace}", (project.e2e.timeout if project.e2e else 0) + 60)
        request = E2ERequest(project, artifacts, self.cluster, release, self.registry, stage, env=env or {})
        result: E2EResult = _hook().crosscloud_e2e(request=request)
        return result

    def verdict(
        self, namespace: str, project: Project, artifacts: Artifacts | None = None
    ) -> tuple[E2EResult, dict[str, str]]:
        """Deploy, then e2e: its result, and the message of each check that failed, by its name."""
        made = artifacts or self.build(project)
        result = self.e2e(self.deploy(namespace, project, made), project, made)
        return result, dict(failure.split(": ", 1) for failure in result.failures)


@cache
def _hook() -> HookRelay:
    """What a run calls: a project's plugin may do something around its e2e."""
    return plugins.load(paths.data()).hook


@contextmanager
def open_site(name: str, directory: Path, kubernetes: str = "") -> Iterator[Site]:
    """A site with one node, gone afterwards without a trace.

    :param name: of the run; the process is added, so that two checkouts can be tested at a time.
    :param kubernetes: a version; empty: the pinned one.
    """
    run = f"{name}{os.getpid()}"
    before = Computer()
    stage = StageContext("provision local", run, directory / "provision", time.monotonic() + _LONG)
    spec: dict[str, object] = {}
    cloud = LocalCloud(name="local")
    try:
        host = registry.start(run, directory, spec.update).host
        request = ProvisionRequest(
            cloud=cloud,
            name=f"xc-{run}",
            kubernetes=Ref("stable", kubernetes or pins.load()["kubernetes"]["stable"]),
            arch="amd64",
            workers=0,
            variables={},
            directory=directory / "cluster",
            tags={"crosscloud-run": run},
            registries=(host,),
            stage=stage,
        )
        request.directory.mkdir(mode=0o700)
        try:
            yield Site(run, cloud.provision(request), host, directory)
        finally:
            late = replace(stage, deadline=time.monotonic() + _LONG)
            cloud.destroy(replace(request, stage=late))
    finally:
        registry.release(spec)
    assert before.left(run) == []
