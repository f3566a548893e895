"""Images of a project's own CI are taken over by digest, from a real registry."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_crosscloud.build import distribution
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.images import INDEX, File, ImageConfig, write
from pytest_crosscloud.build.upstream import UpstreamBuild
from pytest_crosscloud.errors import OutOfReach, StageError
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
    newest = replace(upstream, head="")
    assert newest.resolve(project(newest), "head").version == "1.10.0", "the newest release, where nothing is newer"


def test_a_head_that_is_not_there_is_told_before_the_run(upstream: UpstreamBuild) -> None:
    wrong = replace(upstream, head="edge")
    with pytest.raises(StageError, match="no such ref 'edge'"):
        wrong.resolve(project(wrong), "head")


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


@pytest.mark.parametrize("ref", ["stable", "head", "v1.0.0"])
def test_refs_of_a_registry_that_is_not_there_are_out_of_reach(ref: str) -> None:
    build = UpstreamBuild(images={"APP": "127.0.0.1:1/upstream/app"})
    with pytest.raises(OutOfReach, match=r"^registry unreachable: 127\.0\.0\.1:1: .*refused") as caught:
        build.resolve(project(build), ref)
    assert (caught.value.status, caught.value.error_class) == ("n/a", "infrastructure")
    assert "network" in caught.value.remedy


def test_a_build_whose_registry_went_away_is_out_of_reach_at_once(stage: StageContext) -> None:
    build = UpstreamBuild(images={"APP": "127.0.0.1:1/upstream/app"})
    with pytest.raises(OutOfReach) as caught:
        build.build(BuildRequest(project(build), Ref("stable", "v1.0.0"), "amd64", "unused.example.test", stage))
    assert caught.value.is_final


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], UpstreamBuild]]:
    """A registry that gives one answer to everything; 0 is none, for as long as a client waits."""
    with ExitStack() as stack:

        def start(status: int) -> UpstreamBuild:
            over = threading.Event()

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    if not status:
                        over.wait(60)
                        return
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

                do_HEAD = do_GET  # noqa: N815 - http.server's name

                def log_message(self, *arguments: object) -> None:
                    return

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            stack.callback(over.set)
            return UpstreamBuild(images={"APP": f"127.0.0.1:{server.server_port}/upstream/app"})

        monkeypatch.setattr(distribution, "ASKING", 0.2)
        yield start


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_a_registry_that_answers_nothing_of_use_is_out_of_reach(
    answers: Callable[[int], UpstreamBuild], status: int, tmp_path: Path
) -> None:
    build = answers(status)
    said = f"HTTP {status}" if status else "timed out"
    with pytest.raises(OutOfReach, match=f"registry unreachable: .*{said}"):
        build.resolve(project(build), "v1.0.0")
    stage = StageContext("build app", "test", tmp_path, deadline=time.monotonic() + (30 if status else 0.5))
    with pytest.raises(StageError) as caught:
        build.build(BuildRequest(project(build), Ref("stable", "v1.0.0"), "amd64", "unused.example.test", stage))
    assert not caught.value.is_final, "it may answer the next time"
    # A stage whose time is over has failed, whatever it waited for.
    assert caught.value.status == ("n/a" if status else "failed")


@pytest.mark.parametrize(
    ("status", "said"), [(401, "refuses access"), (403, "refuses access"), (404, "has no such tag"), (400, "HTTP 400")]
)
def test_a_registry_that_says_no_is_a_failed_build(
    answers: Callable[[int], UpstreamBuild], stage: StageContext, status: int, said: str
) -> None:
    build = answers(status)
    with pytest.raises(StageError, match=said) as caught:
        build.resolve(project(build), "v1.0.0")
    assert caught.value.status == "failed"
    assert caught.value.error_class == ("infrastructure" if status == 400 else "configuration")
    with pytest.raises(StageError) as caught:
        build.build(BuildRequest(project(build), Ref("stable", "v1.0.0"), "amd64", "unused.example.test", stage))
    assert caught.value.status == "failed"


def test_images_and_tag_change_the_fingerprint(upstream: UpstreamBuild) -> None:
    other = UpstreamBuild(images={"APP": "quay.io/app"}, tag="{number}")
    prints = {
        build.fingerprint(project(build), Ref("stable", version), "amd64")
        for build in (upstream, other)
        for version in ("v1.9.0", "v1.10.0")
    }
    assert len(prints) == 4
