"""Makes a run of a bundle: its project, whose Build takes images out of the bundle, and its one cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from .. import hookimpl
from .. import matrix as matrices
from ..build import cache
from ..build import project as default_build
from ..build.distribution import Repository, is_inside
from ..build.images import Layout
from ..config import Config
from ..errors import ConfigurationError, StageError
from ..matrix import Matrix
from ..model import (
    E2E,
    Artifacts,
    BuildRequest,
    BuildStrategy,
    BuildTarget,
    Cell,
    ClusterTarget,
    ErrorClass,
    Pin,
    Project,
    Ref,
)
from ..plugins import Plugins
from .bundle import Bundle, unpack


@dataclass(frozen=True)
class Repetition:
    """What a run of a bundle is made of."""

    bundle: Bundle
    config: Config
    matrix: Matrix


def prepare(bundle: Bundle, plugins: Plugins, config: Config, clouds: str | None) -> Repetition:
    """Put the bundle's project into the configuration, and select its cell on ``clouds`` (None: the default one).

    A plugin that declares the project keeps its hooks and its names; what is built and installed is the bundle's.

    :raises ConfigurationError: the bundle is damaged or lacks an image, or there is no such cloud.
    """
    folder = unpack(bundle)
    if bundle.pins:
        _check_images(bundle)
        # Before any plugin's own: what is to be repeated is what those images did.
        plugins.manager.register(Unchanged(), "crosscloud-bundle")
    name = bundle["project"]["name"]
    project = _project(bundle, folder, config.projects.get(name))
    config = replace(config, projects={**config.projects, name: project})
    said = bundle["cell"]
    selected = matrices.select(
        config,
        clouds=clouds,
        projects=name,
        refs=bundle.ref.name,
        kubernetes=said["kubernetes"]["version"],
        arch=said["arch"],
    )
    if len(selected.cells) != 1:
        raise ConfigurationError("a bundle is repeated on one cloud", remedy="name one with --clouds")
    cell = _named(bundle, selected.cells[0])
    cloud = config.clouds[cell.cluster.cloud]
    cloud = replace(cloud, variables={**cloud.variables, "workers": said["workers"]})
    config = replace(config, clouds={**config.clouds, cloud.name: cloud})
    return Repetition(bundle, config, Matrix((cell,), (cell.build,), (cell.cluster,)))


def _check_images(bundle: Bundle) -> None:
    for pin in bundle.pins:
        if not pin.layout and is_inside(Repository.parse(pin.pin.image).host):
            why = next((said for said in bundle["left_out"] if pin.pin.name.lower() in said), "it was left out")
            raise ConfigurationError(
                f"{bundle.path} lacks the image {pin.pin.reference}, and its registry was of that computer: {why}"
            )


def _project(bundle: Bundle, folder: Path, installed: Project | None) -> Project:
    """:raises ConfigurationError: the bundle has no images, and no plugin is here to build them."""
    info: Mapping[str, str] = bundle["project"]
    build: BuildStrategy
    tests: BuildStrategy | None
    if bundle.pins:
        build, tests = BundleBuild(bundle, folder, "project"), BundleBuild(bundle, folder, "e2e")
    elif installed:
        build, tests = AtRef(installed.build, bundle.ref), installed.e2e.build if installed.e2e else None
    else:
        raise ConfigurationError(
            f"{bundle.path} has no images, since {bundle['failure']['stage']} failed, and no plugin declares "
            f"the project {info['name']!r}",
            remedy="repeat it where its plugin is, or install that",
        )
    declared = installed or Project(
        name=info["name"],
        build=build,
        chart=bundle["chart"]["reference"],
        display_name=info["display_name"],
        sub_title=info["sub_title"],
        project_url=info["project_url"],
        repository_url=info["repository_url"],
        logo_url=info["logo_url"],
        cncf_relation=info["cncf_relation"],
    )
    e2e = bundle["e2e"]
    container = None
    if e2e and tests:
        account = e2e.get("service_account", "")
        container = E2E(build=tests, env=e2e["env"], timeout=e2e["timeout"], service_account=account)
    return replace(
        declared,
        active=True,
        is_kubernetes=False,  # its one cluster finds the version by itself
        build=build,
        chart=str(folder / bundle["chart"]["path"]) if bundle["chart"]["path"] else declared.chart,
        arch=(bundle["cell"]["arch"],),
        values=yaml.safe_load((folder / "values.yaml").read_text(encoding="utf-8")),
        timeout=bundle["deploy_timeout"],
        e2e=container,
    )


def _named(bundle: Bundle, cell: Cell) -> Cell:
    """The cell with the names that it had: they are those of its release and its namespace."""
    said = bundle["cell"]
    build: BuildTarget = replace(cell.build, id=said["build"])
    same = cell.cluster.cloud == said["cloud"]
    cluster: ClusterTarget = replace(cell.cluster, id=said["cluster"]) if same else cell.cluster
    return Cell(build, cluster, said["id"] if same else f"{build.id}-{cluster.id}")


class Unchanged:
    """Builds as the framework does, whatever a plugin would do."""

    @hookimpl(tryfirst=True)
    def crosscloud_build(self, request: BuildRequest) -> Artifacts:
        return default_build.build(request)


@dataclass(frozen=True)
class BundleBuild:
    """A build strategy that pushes the images of a bundle."""

    bundle: Bundle
    folder: Path  #: where it is unpacked
    purpose: str  #: ``project`` or ``e2e``

    def resolve(self, project: Project, ref: str) -> Ref:
        return self.bundle.ref

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return cache.fingerprint("bundle", [pin.pin.digest for pin in self.bundle.pins if pin.purpose == self.purpose])

    def build(self, request: BuildRequest) -> Artifacts:
        pins = tuple(
            self._push(pin.pin, pin.layout, request) for pin in self.bundle.pins if pin.purpose == self.purpose
        )
        return Artifacts(request.project.name, self.bundle.ref, request.arch, pins, cached=True)

    def _push(self, pin: Pin, layout: str, request: BuildRequest) -> Pin:
        """:raises StageError: (class configuration) what is in the bundle is not what was pinned."""
        if not layout:
            request.stage.write(f"{pin.reference}: from its registry")
            return pin
        repository = Repository.at(request.registry, Repository.parse(pin.image).name)
        pushed = repository.push(Layout(self.folder / layout), pin.tag, request.stage)
        if pushed != pin.digest or repository.digest(pin.digest, request.stage) is None:  # the registry's own word
            raise StageError(
                f"the bundle's {layout} is {pushed}, and what failed was {pin.digest}",
                remedy="the bundle was changed after it was written",
                error_class=ErrorClass.CONFIGURATION,
            )
        request.stage.write(f"{repository}:{pin.tag} {pushed}")
        return replace(pin, image=str(repository))


@dataclass(frozen=True)
class AtRef:
    """A project's own strategy at the version that failed, whatever its ref means today."""

    strategy: BuildStrategy
    ref: Ref

    def resolve(self, project: Project, ref: str) -> Ref:
        return self.ref

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return self.strategy.fingerprint(project, ref, arch)

    def build(self, request: BuildRequest) -> Artifacts:
        project: Any = replace(request.project, build=self.strategy)  # a strategy may ask its project about itself
        return self.strategy.build(replace(request, project=project))
