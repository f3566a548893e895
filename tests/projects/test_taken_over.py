"""Projects whose images are taken over from registries of their own, and the stand-ins of those images."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_crosscloud import plugins
from pytest_crosscloud.build import resolve
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.parts import Parts
from pytest_crosscloud.build.upstream import UpstreamBuild
from pytest_crosscloud.declared import faults
from pytest_crosscloud.model import BuildStrategy, Project
from pytest_crosscloud.run.summary import ProjectInfo
from tests import standins

PROJECTS = plugins.load(Path(__file__).parent).projects
TAKEN_OVER = [PROJECTS[name] for name in ("fluentd", "linkerd", "vitess", "onap-so")]
REGISTRY = "198.18.0.1:5000"

each = pytest.mark.parametrize("project", TAKEN_OVER, ids=lambda project: project.name)


def images(build: BuildStrategy) -> Iterator[str]:
    if isinstance(build, Parts):
        for part in build.parts.values():
            yield from images(part.build)
    if isinstance(build, UpstreamBuild):
        yield from build.images.values()


@each
def test_stable_is_a_release_by_the_projects_own_scheme(project: Project) -> None:
    assert resolve.is_release(project.stable_ref, project.release_tags)
    assert not resolve.is_release("latest", project.release_tags)


@pytest.mark.parametrize(
    ("name", "tags", "newest"),
    [
        ("fluentd", ["v1.19.3-debian-2.4", "v1.19.3-debian-2.10", "v1.19-debian-3", "edge-debian", "v1.20.0-2.0"], 1),
        ("linkerd", ["edge-26.9.3", "edge-26.10.1", "stable-2.14.10", "edge-25.12.9"], 1),
        ("vitess", ["v24.0.4-mysql84", "v24.0.10-mysql84", "v25.0.0-mysql80", "mysql84", "v24.0.11-rc1-mysql84"], 1),
        ("onap-so", ["1.9.2", "1.17.0", "1.18.0-STAGING-latest", "latest"], 1),
    ],
)
def test_the_newest_release_is_found_among_other_tags(name: str, tags: list[str], newest: int) -> None:
    assert resolve.newest(tags, PROJECTS[name].release_tags) == tags[newest]


def test_the_database_of_onap_so_moves_within_its_series() -> None:
    build = PROJECTS["onap-so"].build
    assert isinstance(build, Parts)
    database = build.parts["mariadb"]
    tags = ["11.4", "11.4.9", "11.4.10", "11.4.11-noble", "11.8.3", "12.1.2", "latest", "lts"]
    assert resolve.newest(tags, database.release_tags) == "11.4.10"
    assert resolve.is_release(database.stable_ref, database.release_tags)


@each
def test_a_stand_in_is_never_shown_as_the_project(project: Project) -> None:
    other = standins.stand_in(project, REGISTRY)
    assert list(faults(other)) == []
    mine, its = ProjectInfo.of(project), ProjectInfo.of(other)
    assert (its.name, its.display_name) == (f"{mine.name}-stand-in", f"{mine.display_name} (stand-in)")
    assert its.sub_title == "not the project"
    assert not its.project_url and not its.repository_url
    assert (other.chart, other.e2e) == (project.chart, project.e2e), "these are what is proven"


@each
def test_a_stand_ins_images_have_the_projects_paths_in_the_registry_that_is_given(project: Project) -> None:
    theirs = [Repository.parse(image).name for image in images(project.build)]
    assert theirs
    assert list(images(standins.stand_in(project, REGISTRY).build)) == [f"{REGISTRY}/{path}" for path in theirs]


def test_what_is_built_has_no_stand_in() -> None:
    with pytest.raises(TypeError, match="takes nothing over"):
        standins.stand_in(PROJECTS["coredns"], REGISTRY)


@pytest.mark.skipif(not shutil.which("go"), reason="go is not installed")
@each
def test_a_stand_in_is_the_e2e_containers_opposite_and_compiles(project: Project) -> None:
    directory = Path(standins.__file__).parent / project.name
    own = PROJECTS[project.name]
    assert own.e2e
    served = directory / "standin.go"
    assert served.resolve() == Path(own.e2e.build.directory, "standin_test.go").resolve()  # type: ignore[attr-defined]
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    done = subprocess.run(["go", "vet", "."], cwd=directory, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    unformatted = subprocess.run(["gofmt", "-l", "."], cwd=directory, capture_output=True, text=True, check=True)
    assert unformatted.stdout == ""
