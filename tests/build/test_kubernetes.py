"""Kubernetes' builds: the node bundle's images as pins, and the images that conformance specs run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_crosscloud.build import kubernetes
from pytest_crosscloud.build.conformance import ConformanceBuild
from pytest_crosscloud.build.distribution import Repository
from pytest_crosscloud.build.go import GoProgram
from pytest_crosscloud.build.images import Layout
from pytest_crosscloud.build.kubernetes import KubernetesBuild
from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import AUTO, BuildRequest, ErrorClass, Project, Ref
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import conformance as suites
from pytest_crosscloud.toolchain import node
from pytest_crosscloud.toolchain.nodeimages import write_archive
from pytest_crosscloud.toolchain.pins import host_arch

REF = Ref("stable", "v1.36.3")
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
IMAGES = [*(f"registry.k8s.io/{name}:v1.36.3" for name in CONTROL_PLANE), "registry.k8s.io/etcd:3.6.8-0"]
PAUSE = "registry.k8s.io/pause:3.10.2"
BUILD = KubernetesBuild()
PROJECT = Project(name="kubernetes", build=BUILD, chart="kubernetes", is_kubernetes=True)


@pytest.fixture
def request_(registry_host: str, stage: StageContext) -> BuildRequest:
    return BuildRequest(PROJECT, REF, host_arch(), registry_host, stage)


@pytest.fixture(params=[True, False], ids=["one program", "a program each"])
def bundle(request: pytest.FixtureRequest, stage: StageContext, cache_directory: Path) -> None:
    """The node bundle of the ref, in the cache as if it had been built or downloaded."""
    directory = cache_directory / "node" / node.fingerprint(REF, host_arch())
    programs = directory / "bin"
    programs.mkdir(parents=True)
    for name in ("node", "pause", *(f"bin/{name}" for name in (*CONTROL_PLANE, "etcd"))):
        (directory / name).write_text("the same" if request.param else name)
    names = write_archive(
        directory / "images.tar",
        host_arch(),
        programs,
        directory / "pause",
        [*IMAGES, PAUSE],
        one_program=request.param,
    )
    manifest = {"version": REF.version, "arch": host_arch(), "origin": "built", "sha256": "", "image_names": names}
    (directory / "bundle.json").write_text(json.dumps(manifest))


@pytest.mark.usefixtures("bundle")
def test_the_images_of_the_control_plane_are_its_pins(
    request_: BuildRequest, cache_directory: Path, registry_host: str
) -> None:
    made = BUILD.build(request_)

    assert {pin.name: (pin.image, pin.tag) for pin in made.pins} == {
        "KUBE_APISERVER": (f"{registry_host}/kubernetes/kube-apiserver", "v1.36.3"),
        "KUBE_CONTROLLER_MANAGER": (f"{registry_host}/kubernetes/kube-controller-manager", "v1.36.3"),
        "KUBE_SCHEDULER": (f"{registry_host}/kubernetes/kube-scheduler", "v1.36.3"),
        "ETCD": (f"{registry_host}/kubernetes/etcd", "3.6.8-0"),
        "PAUSE": (f"{registry_host}/kubernetes/pause", "3.10.2"),
    }
    for pin in made.pins:
        assert Repository.at(registry_host, pin.image.partition("/")[2]).digest(pin.tag) == pin.digest
    assert not made.cached
    again = BUILD.build(request_)
    assert again == replace(made, cached=True)
    # What is one content is one file, however many images it is in.
    blobs = [path.stat() for path in (cache_directory / "builds").rglob("sha256/*")]
    assert len({found.st_ino for found in blobs}) == len({path.name for path in _blobs(cache_directory)})


def _blobs(cache_directory: Path) -> list[Path]:
    return list((cache_directory / "builds").rglob("sha256/*"))


def test_another_version_is_another_build() -> None:
    assert BUILD.fingerprint(PROJECT, REF, "amd64") == BUILD.fingerprint(PROJECT, Ref("v1.36.3", "v1.36.3"), "amd64")
    assert BUILD.fingerprint(PROJECT, REF, "amd64") != BUILD.fingerprint(PROJECT, Ref("stable", "v1.35.4"), "amd64")


def test_stable_is_the_projects_or_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(kubernetes, "resolve_kubernetes", lambda name, names: asked.append((name, names)))
    BUILD.resolve(PROJECT, "stable")
    BUILD.resolve(replace(PROJECT, stable_ref="v1.35.4"), "stable")
    assert asked == [("stable", {"stable": AUTO}), ("stable", {"stable": "v1.35.4"})]


# -- the conformance suite ------------------------------------------------------------------------------------


@pytest.fixture
def suite(cache_directory: Path) -> Path:
    """The suite of the ref, in the cache as if it had been compiled."""
    directory = cache_directory / "conformance" / suites.fingerprint(REF, host_arch())
    directory.mkdir(parents=True)
    for name in ("e2e.test", "ginkgo", "kubectl", "agnhost", "pause", "nc", *suites.PORTER):
        (directory / name).write_text(f"I am {name}")
    images = [
        "gcr.io/k8s-authenticated-test/agnhost:2.6",  # nobody here has its password
        "registry.k8s.io/e2e-test-images/agnhost:2.55",
        "registry.k8s.io/e2e-test-images/agnhost:2.63.0",
        "registry.k8s.io/e2e-test-images/busybox:1.37.0-1",
        "registry.k8s.io/e2e-test-images/nginx:1.27-0",
        PAUSE,
    ]
    (directory / "suite.json").write_text(json.dumps({"images": images}))
    return directory


@pytest.fixture
def strategy(tmp_path: Path) -> ConformanceBuild:
    directory = tmp_path / "runner"
    directory.mkdir()
    (directory / "go.mod").write_text("module example.test/runner\n\ngo 1.24\n")
    (directory / "main.go").write_text("package main\n\nfunc main() {}\n")
    return ConformanceBuild(runner=GoProgram(directory=directory, image="kubernetes/e2e"))


@pytest.mark.usefixtures("suite")
def test_the_suite_and_the_images_of_its_specs_are_in_the_registry(
    request_: BuildRequest, strategy: ConformanceBuild, registry_host: str
) -> None:
    made = strategy.build(request_)

    assert [(pin.name, pin.image.partition("/")[2], pin.tag) for pin in made.pins] == [
        ("KUBERNETES", "kubernetes/e2e", "v1.36.3"),
        ("CONFORMANCE_AGNHOST", "kubernetes/conformance/agnhost", "2.55"),
        ("CONFORMANCE_AGNHOST", "kubernetes/conformance/agnhost", "2.63.0"),
        ("CONFORMANCE_BUSYBOX", "kubernetes/conformance/busybox", "1.37.0-1"),
        ("CONFORMANCE_PAUSE", "kubernetes/conformance/pause", "3.10.2"),
    ]
    for pin in made.pins:
        assert Repository.at(registry_host, pin.image.partition("/")[2]).digest(pin.tag) == pin.digest
    assert strategy.build(request_).cached


@pytest.mark.usefixtures("suite")
def test_what_is_in_the_images(request_: BuildRequest, strategy: ConformanceBuild, tmp_path: Path) -> None:
    pins = {pin.name: pin for pin in strategy.build(request_).pins}
    container = _files(request_, pins["KUBERNETES"].image, pins["KUBERNETES"].tag, tmp_path / "container")
    assert {"runner", "usr/local/bin/e2e.test", "usr/local/bin/ginkgo", "usr/local/bin/kubectl"} <= container.keys()
    agnhost = _files(request_, pins["CONFORMANCE_AGNHOST"].image, pins["CONFORMANCE_AGNHOST"].tag, tmp_path / "agnhost")
    assert {"agnhost", "agnhost-2", "bin/sh", "bin/env", "bin/hexdump", "usr/local/bin/nc", "tmp"} <= agnhost.keys()
    # Programs of this computer find their libraries there as here.
    root = tmp_path / "agnhost" / "root"
    done = subprocess.run(["chroot", root, "/usr/local/bin/curl", "--version"], capture_output=True, text=True)
    if done.returncode != 125:  # not root
        assert done.stdout.startswith("curl "), done.stderr


def _files(request: BuildRequest, image: str, tag: str, directory: Path) -> dict[str, Path]:
    """Fetch an image and unpack it; its files by name."""
    repository = Repository.at(request.registry, image.partition("/")[2])
    layout: Layout = repository.pull(repository.digest(tag) or "", directory, request.stage, limit=1 << 30)
    (layer,) = list(layout.blobs())[1:]
    root = directory / "root"
    root.mkdir()
    subprocess.run(["tar", "-xf", layout.path(layer.digest), "-C", root], check=True)
    return {str(path.relative_to(root)): path for path in root.rglob("*")}


@pytest.mark.usefixtures("suite")
def test_images_are_made_for_this_arch_alone(request_: BuildRequest, strategy: ConformanceBuild) -> None:
    with pytest.raises(StageError, match="alone") as caught:
        strategy.build(replace(request_, arch="s390x"))
    assert caught.value.error_class == ErrorClass.CONFIGURATION


@pytest.mark.usefixtures("suite")
def test_a_program_that_is_not_here_is_named(
    request_: BuildRequest, strategy: ConformanceBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    which: Callable[[str], str | None] = lambda name: None  # noqa: E731
    monkeypatch.setattr(shutil, "which", which)
    with pytest.raises(StageError, match="busybox is not installed"):
        strategy.build(request_)
