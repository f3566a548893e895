"""The node bundle: what goes into it, and when it is another."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from pytest_crosscloud.errors import StageError
from pytest_crosscloud.model import ErrorClass, Ref
from pytest_crosscloud.stage import StageContext
from pytest_crosscloud.toolchain import node, nodebuild
from pytest_crosscloud.toolchain.node import cached_bundle, node_bundle
from pytest_crosscloud.toolchain.pins import host_arch

from .conftest import Releases, tarball

VERSION = "v1.36.3"
REF = Ref("stable", VERSION)
IMAGES = [
    *(f"registry.k8s.io/{name}:{VERSION}" for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")),
    f"registry.k8s.io/kube-proxy:{VERSION}",
    "registry.k8s.io/coredns/coredns:v1.14.2",
    "registry.k8s.io/pause:3.10.2",
    "registry.k8s.io/etcd:3.6.8-0",
]


def component(name: str) -> bytes:
    output = "\n".join(IMAGES) if name == "kubeadm" else f"I am {name}"
    return f"#!/bin/sh\ncat <<.\n{output}\n.\n".encode()


@pytest.fixture
def official(releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releases:
    """The official binaries of this version, as scripts that say who they are."""
    arch = host_arch()
    names = [name for name in nodebuild.COMPONENTS if name != "etcd"]
    server = tarball({f"kubernetes/server/bin/{name}": component(name) for name in names})
    etcd = tarball({f"etcd-v3.6.8-linux-{arch}/etcd": component("etcd"), "README": b""})
    at = "github.com/etcd-io/etcd/releases/download/v3.6.8"
    sums = {
        "server": releases.add(f"dl.k8s.io/{VERSION}/kubernetes-server-linux-{arch}.tar.gz", server, "sha512"),
        "etcd": releases.add(f"{at}/etcd-v3.6.8-linux-{arch}.tar.gz", etcd),
    }
    pins = tmp_path / "pins.toml"
    lines = [f'{name}.{arch} = "{checksum}"\n' for name, checksum in sums.items()]
    pins.write_text(f'[kubernetes_release.versions."{VERSION}"]\netcd_version = "v3.6.8"\n{"".join(lines)}')
    monkeypatch.setenv("CROSSCLOUD_PINS", str(pins))
    return releases


def index(archive: Path) -> dict[str, str]:
    """Image name → digest of its manifest."""
    with tarfile.open(archive) as tar:
        content = tar.extractfile("index.json")
        assert content
        manifests = json.load(content)["manifests"]
    return {manifest["annotations"]["io.containerd.image.name"]: manifest["digest"] for manifest in manifests}


def test_a_bundle_is_made_of_official_binaries_where_they_can_be_reached(
    official: Releases, stage: StageContext, tmp_path: Path
) -> None:
    assert cached_bundle(REF, host_arch()) is None
    bundle = node_bundle(REF, host_arch(), stage)
    assert (bundle.version, bundle.origin) == (VERSION, "release")
    assert sorted(path.name for path in bundle.programs.iterdir()) == sorted(nodebuild.COMPONENTS)
    assert bundle.image_names == tuple(name for name in IMAGES if "proxy" not in name and "coredns" not in name)
    assert tuple(index(bundle.images)) == bundle.image_names
    assert bundle.sha256 == hashlib.sha256(bundle.binary.read_bytes()).hexdigest()

    # What a node does with it: a link of each component's name to the one binary.
    link = tmp_path / "kubelet"
    link.symlink_to(bundle.binary)
    assert subprocess.run([link], capture_output=True, text=True, check=True).stdout == "I am kubelet\n"

    asked = len(official.requests)
    assert node_bundle(REF, host_arch(), stage) == bundle == cached_bundle(REF, host_arch())
    assert len(official.requests) == asked, "a second time touches no network"


def test_official_binaries_with_another_sum_are_refused(official: Releases, stage: StageContext, cache: Path) -> None:
    archive = next(path for path in official.files if "kubernetes-server" in path)
    official.files[archive] = tarball({"kubernetes/server/bin/kubelet": b"evil"})
    with pytest.raises(StageError, match="is not the file that was pinned"):
        node_bundle(REF, host_arch(), stage)
    assert cached_bundle(REF, host_arch()) is None
    assert [path.name for path in (cache / "node").iterdir() if path.suffix != ".lock"] == []


def test_a_bundle_is_another_with_another_version_arch_or_source(monkeypatch: pytest.MonkeyPatch) -> None:
    before = node.fingerprint(REF, "amd64")
    assert before == node.fingerprint(Ref("v1.36.3", VERSION), "amd64"), "how it was asked for does not matter"
    assert before != node.fingerprint(REF, "arm64")
    assert before != node.fingerprint(Ref("stable", "v1.35.4"), "amd64")
    monkeypatch.setattr(node, "_sources", lambda: "changed")
    assert before != node.fingerprint(REF, "amd64")


def test_the_wrapper_module_repeats_what_kubernetes_replaces() -> None:
    upstream = {
        "Go": "1.26.0",
        "Require": [
            {"Path": "go.etcd.io/etcd/client/v3", "Version": "v3.6.8"},
            {"Path": "k8s.io/api", "Version": "v0.0.0"},
        ],
        "Replace": [
            {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
            {"Old": {"Path": "example.org/old"}, "New": {"Path": "example.org/fork", "Version": "v1.2.3"}},
        ],
    }
    assert nodebuild.module_file(upstream, "v1.37.0-rc.1").splitlines() == [
        "module crosscloud/node",
        "go 1.26.0",
        "require k8s.io/kubernetes v1.37.0-rc.1",
        "require go.etcd.io/etcd/server/v3 v3.6.8",
        "replace k8s.io/api => k8s.io/api v0.37.0-rc.1",
        "replace example.org/old => example.org/fork v1.2.3",
    ]


NO_SUCH = (
    'case "$1" in version) echo "go version go1.26.9" ;; *) echo "not found: unknown revision" >&2; exit 1 ;; esac'
)


def test_a_version_that_does_not_exist_is_the_user_s_mistake(
    stage: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "go"
    program.write_text(f"#!/bin/sh\n{NO_SUCH}\n")
    program.chmod(0o755)
    monkeypatch.setenv("CROSSCLOUD_GO", str(program))
    with pytest.raises(StageError, match=r"Kubernetes v1\.99\.0 cannot be had.*unknown revision") as caught:
        node_bundle(Ref("v1.99.0", "v1.99.0"), host_arch(), stage)
    assert caught.value.error_class == ErrorClass.CONFIGURATION


@pytest.mark.slow
def test_kubernetes_is_built_from_source(stage: StageContext, said: list[str]) -> None:
    bundle = node_bundle(REF, host_arch(), stage)
    assert bundle.origin == "built"
    done = subprocess.run([bundle.programs / "kubelet", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"Kubernetes {VERSION}\n"
    digests = index(bundle.images)
    assert len({digest for name, digest in digests.items() if "pause" not in name}) == 1, "one image with many names"
    assert bundle.images.stat().st_size < bundle.binary.stat().st_size * 1.1, "the program is in it once"
