"""Images of a project's own CI are taken over by digest, from a real registry."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from pytest_crosscloud.build.distribution import RegistryUnreachable, Repository
from pytest_crosscloud.build.images import INDEX, File, ImageConfig, write
from pytest_crosscloud.build.upstream import UpstreamBuild
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import BuildRequest, Project, Ref
from pytest_crosscloud.stage import StageContext


@pytest.fixture(scope="module")
def pushed(registry_host: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests by tag of the repository ``upstream/app``, whose tags have no v."""
    directory = tmp_path_factory.mktemp("images")
    repository = Repository(registry_host, "upstream/app")
    stage = StageContext("build upstream", "test", directory)
    digests = {}
    for tag in ("1.9.0", "1.10.0", "latest"):
        image = write(directory / tag, [File("/a", tag.encode())], ImageConfig("amd64", ["/a"]))
        digests[tag] = repository.push(image, tag, stage)
    # The same image under an index that offers one architecture, as multi-architecture images have it.
    entry = {**image.manifest.descriptor(), "platform": {"os": "linux", "architecture": "amd64"}}
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    url = f"http://{registry_host}/v2/upstream/app/manifests/multi"
    request = urllib.request.Request(url, index, {"Content-Type": INDEX}, method="PUT")
    with urllib.request.urlopen(request) as answer:
        digests["multi"] = answer.headers["Docker-Content-Digest"]
    return digests


@pytest.fixture
def upstream(registry_host: str, pushed: dict[str, str]) -> UpstreamBuild:
    return UpstreamBuild(images={"APP": f"{registry_host}/upstream/app"}, tag="{number}")


def project(build: UpstreamBuild, **values: Any) -> Project:
    return Project(name="app", build=build, chart="", **values)


def test_refs_are_tags(upstream: UpstreamBuild) -> None:
    assert upstream.resolve(project(upstream), "stable").version == "1.10.0"
    assert upstream.resolve(project(upstream, stable_ref="v1.9.0"), "stable").version == "v1.9.0"
    assert upstream.resolve(project(upstream), "v1.9.0").version == "v1.9.0"
    head = upstream.resolve(project(upstream), "head")
    assert head.version == "latest"
    assert head.note.startswith("tag latest of ")


def test_a_tag_that_is_not_there_is_named_with_the_closest(upstream: UpstreamBuild) -> None:
    with pytest.raises(StageError, match=r"no such ref 'v1\.9\.7'.*has no such tag") as caught:
        upstream.resolve(project(upstream), "v1.9.7")
    assert caught.value.error_class == "configuration"
    assert "1.9.0" in caught.value.remedy


@pytest.mark.parametrize(("version", "tag"), [("v1.9.0", "1.9.0"), ("latest", "latest"), ("multi", "multi")])
def test_a_tag_is_pinned_to_its_digest(
    upstream: UpstreamBuild,
    stage: StageContext,
    registry_host: str,
    pushed: dict[str, str],
    version: str,
    tag: str,
) -> None:
    request = BuildRequest(project(upstream), Ref("stable", version), "amd64", "unused.example.test", stage)
    artifacts = upstream.build(request)
    (pin,) = artifacts.pins
    assert pin.reference == f"{registry_host}/upstream/app@{pushed[tag]}"
    assert (pin.name, pin.tag, artifacts.cached) == ("APP", tag, False)


def test_an_architecture_that_is_not_offered_is_said_before_a_node_finds_out(
    upstream: UpstreamBuild, stage: StageContext
) -> None:
    request = BuildRequest(project(upstream), Ref("stable", "multi"), "arm64", "unused.example.test", stage)
    with pytest.raises(StageError, match="has no image for arm64, only amd64") as caught:
        upstream.build(request)
    assert caught.value.error_class == "configuration"


def test_a_registry_that_is_not_there_is_infrastructure() -> None:
    build = UpstreamBuild(images={"APP": "127.0.0.1:1/upstream/app"})
    with pytest.raises(RegistryUnreachable, match=r"registry 127\.0\.0\.1:1 unreachable") as caught:
        build.resolve(project(build), "v1.0.0")
    assert caught.value.error_class == "infrastructure"


def test_images_and_tag_change_the_fingerprint(upstream: UpstreamBuild) -> None:
    other = UpstreamBuild(images={"APP": "quay.io/app"}, tag="{number}")
    prints = {
        build.fingerprint(project(build), Ref("stable", version), "amd64")
        for build in (upstream, other)
        for version in ("v1.9.0", "v1.10.0")
    }
    assert len(prints) == 4
