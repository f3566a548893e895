"""Build makes a project's images and its e2e container, whatever their strategies."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_crosscloud import defaults
from pytest_crosscloud.build.names import image_tag, pin_name
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import E2E, Artifacts, BuildRequest, Pin, Project, Ref
from pytest_crosscloud.stage import StageContext


@dataclass(frozen=True)
class Strategy:
    """Makes the images that it is told."""

    images: tuple[str, ...]
    cached: bool = False

    def resolve(self, project: Project, ref: str) -> Ref:
        return Ref(ref, "v1")

    def fingerprint(self, project: Project, ref: Ref, arch: str) -> str:
        return "fingerprint"

    def build(self, request: BuildRequest) -> Artifacts:
        pins = tuple(Pin(image.upper(), f"{request.registry}/{image}", "v1", "sha256:1") for image in self.images)
        return Artifacts(request.project.name, request.ref, request.arch, pins, cached=self.cached)


def build(stage: StageContext, images: Strategy, tests: Strategy | None) -> Artifacts:
    project = Project(name="my-app", build=images, chart="", e2e=E2E(build=tests) if tests else None)
    return defaults.crosscloud_build(BuildRequest(project, Ref("stable", "v1"), "amd64", "host", stage))


def test_the_e2e_container_is_pinned_beside_the_images(stage: StageContext) -> None:
    artifacts = build(stage, Strategy(("server", "client")), Strategy(("tests",)))
    assert [pin.name for pin in artifacts.pins] == ["SERVER", "CLIENT"]
    assert artifacts.e2e == Pin("MY_APP_E2E", "host/tests", "v1", "sha256:1")
    assert "MY_APP_E2E_DIGEST=sha256:1\n" in artifacts.release_env()


def test_a_project_without_e2e_has_no_such_pin(stage: StageContext) -> None:
    assert build(stage, Strategy(("server",), cached=True), None).e2e is None


@pytest.mark.parametrize(("images", "tests"), [(True, True), (True, False), (False, True)])
def test_a_build_is_cached_when_all_of_it_is(stage: StageContext, images: bool, tests: bool) -> None:
    artifacts = build(stage, Strategy(("server",), images), Strategy(("tests",), tests))
    assert artifacts.cached == (images and tests)


def test_an_e2e_build_without_an_image_is_a_mistake_of_the_plugin(stage: StageContext) -> None:
    with pytest.raises(StageError, match="its e2e build made no image") as caught:
        build(stage, Strategy(("server",)), Strategy(()))
    assert caught.value.error_class == "configuration"


def test_names_fit_where_they_go() -> None:
    project = Project(name="node-exporter.2", build=Strategy(()), chart="")
    assert pin_name(project) == "NODE_EXPORTER_2"
    assert image_tag("v1.0.0+build/7") == "v1.0.0-build-7"
    assert len(image_tag("x" * 200)) == 128
